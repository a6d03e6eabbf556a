"""The desk over HTTP, as a program or a browser without scripts uses it, on a real pipeline."""

import asyncio
import csv
import html
import io
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from console_world import ConsoleWorld, running
from hostile_input import PATHS
from letters_world import LettersWorld, letters_world

from runtime.access import Role
from sandbox.kafka import EmbeddedKafka

KINDS = 12


@dataclass
class Visitor:
    """Who calls the console with a token."""

    session: aiohttp.ClientSession

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text."""
        async with self.session.get(path) as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, **form: str) -> tuple[int, str, str]:
        """Status, text, and where it leads."""
        async with self.session.post(path, data=form, allow_redirects=False) as answer:
            return answer.status, await answer.text(), answer.headers.get("Location", "")

    async def rows(self, path: str) -> list[dict[str, str]]:
        """A table as its CSV file has it."""
        return list(csv.DictReader(io.StringIO((await self.get(path))[1])))

    async def group(self, producer: str, error_class: str) -> str:
        """The group of letters of a producer and a class, as soon as all of them are in the index."""
        for _ in range(100):
            for row in await self.rows("/letters?format=csv"):
                if (row["producer"], row["error_class"], row["letters"]) == (producer, error_class, str(KINDS)):
                    return row["group"]
            await asyncio.sleep(0.1)
        raise AssertionError(f"no group of {error_class} of {producer}")

    async def draft(self, group: str) -> str:
        """The recipe that the repair page of a group proposes."""
        _, text = await self.get(f"{group}/repair")
        return html.unescape(re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", text, re.S)[0])

    async def until(self, path: str, pattern: str, within_s: float = 60) -> str:
        """The text of a page, once it has what is waited for."""
        text = ""
        for _ in range(int(within_s / 0.2)):
            _, text = await self.get(path)
            if re.search(pattern, text):
                return text
            await asyncio.sleep(0.2)
        raise AssertionError(f"{path} never had {pattern}:\n{text}")


@pytest.fixture(scope="module")
def letters(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LettersWorld]:
    """Dead letters of twelve kinds."""
    with letters_world(broker.bootstrap_servers, tmp_path_factory.mktemp("letters-console"), KINDS) as world:
        yield world


@asynccontextmanager
async def visited(letters: LettersWorld, directory: Path) -> AsyncIterator[tuple[ConsoleWorld, Visitor, Visitor]]:
    """A console, an operator named ann, and a viewer."""
    world = letters.console(directory)
    tokens = world.token("ann"), world.token("wall", Role.VIEWER)
    async with running(world):
        sessions = [
            aiohttp.ClientSession(world.url, headers={"Authorization": f"Bearer {token}", "Accept": "text/html"})
            for token in tokens
        ]
        async with sessions[0], sessions[1]:
            yield world, *map(Visitor, sessions)


async def test_letters_are_repaired_and_counted(letters: LettersWorld, tmp_path: Path) -> None:
    """Group, draft, preview, dry run, saved recipe, replay, and each letter in a correction; the acts bear the name of
    the token. The same replay again finds nothing to do, and a second one beside it is refused."""
    async with visited(letters, tmp_path) as (_, ann, wall):
        group = await ann.group("erp-export", "wrong_type")
        at = f"/letters/group/{group}"
        draft = html.unescape(
            re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", (await ann.get(f"{at}/repair"))[1], re.S)[0]
        )
        _, text, _ = await ann.post(f"{at}/repair", text=draft, do="preview")
        assert text.count("the gate would take it") == 5
        _, text, _ = await ann.post(f"{at}/dry-run", text=draft)
        assert f"The gate would take all {KINDS}." in text
        assert "Closed windows that would be corrected" in text
        status, _, where = await ann.post(f"{at}/repair", text=draft, do="save")
        assert status == 303
        recipe = where.partition("recipe=")[2]
        status, text, _ = await ann.post(f"{at}/replay", recipe=recipe, why=" ")
        assert (status, "say why" in text) == (400, True)

        order = {"recipe": recipe, "why": "numbers as texts", "canary": "3", "abort_above": "0", "rate": ""}
        status, _, job = await ann.post(f"{at}/replay", **order)
        assert status == 303
        status, text, _ = await ann.post(f"{at}/replay", **order)
        assert (status, "one at a time" in text) == (409, True)
        text = await wall.until(job, r'badge good">done')
        assert re.findall(r"<dt>(sent|judged|failed again)</dt>\s*<dd>(\d+)", text) == [
            ("sent", str(KINDS)),
            ("judged", str(KINDS)),
            ("failed again", "0"),
        ]
        await ann.until(at, rf"<dt>replayed</dt>\s*<dd>{KINDS}")
        status, text, _ = await ann.post(f"{at}/replay", **order)
        assert (status, "no letter of this group waits" in text) == (400, True)

        for row in await ann.rows(f"{at}?format=csv"):
            assert "correction" in await wall.until(f"/letters/home/{row['letter']}", "counted in")
        acts = [row for row in await ann.rows("/letters/acts?format=csv") if row["recipe"] == recipe]
        assert len(acts) == KINDS
        assert {(row["who"], row["why"], row["failed_again_as"]) for row in acts} == {("ann", "numbers as texts", "")}


async def test_a_group_is_set_aside(letters: LettersWorld, tmp_path: Path) -> None:
    """Parked letters are still there to be discarded, with a reason for each; discarded ones are done with."""
    async with visited(letters, tmp_path) as (_, ann, _):
        at = f"/letters/group/{await ann.group('handheld-9', 'bad_format')}"
        for act, why in (("park", "ask handheld-2"), ("discard", "test items")):
            status, _, where = await ann.post(f"{at}/act", act=act, why=why)
            assert (status, where) == (303, at)
            await ann.until(at, rf"<dt>{act}ed</dt>\s*<dd>{KINDS}")
        assert (await ann.post(f"{at}/act", act="burn", why="x"))[0] == 400
        (row, *_) = await ann.rows(f"{at}?format=csv")
        _, text = await ann.get(f"/letters/one/{row['letter']}")
        assert text.index("ask handheld-2") < text.index("test items")


async def test_a_viewer_only_looks_and_no_name_is_a_path(letters: LettersWorld, tmp_path: Path) -> None:
    """What would act is refused and has no button; bytes come as a file that nobody opens; a recipe's name, a group, a
    letter or a replay that is a path leads nowhere."""
    async with visited(letters, tmp_path) as (world, ann, wall):
        group = await ann.group("scanner-7", "bad_format")
        at = f"/letters/group/{group}"
        for path in (f"{at}/act", f"{at}/repair", f"{at}/dry-run", f"{at}/replay", "/letters/jobs/x/stop"):
            assert (await wall.post(path, act="discard", why="x", text="x", do="save"))[0] == 403, path
        for path in (at, f"{at}/repair", f"{at}/replay"):
            _, text = await wall.get(path)
            assert "<button" not in text.partition("<main")[2].replace('<button type="submit">Apply', ""), path
        (row, *_) = await wall.rows(f"{at}?format=csv")
        async with wall.session.get(f"/letters/raw/{row['letter']}") as answer:
            assert (answer.content_type, answer.headers["X-Content-Type-Options"]) == (
                "application/octet-stream",
                "nosniff",
            )
            assert re.fullmatch(r'attachment; filename="[\w.-]+\.bin"', answer.headers["Content-Disposition"])
            assert b'"event_time":"' in await answer.read()
        draft = html.unescape(
            re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", (await ann.get(f"{at}/repair"))[1], re.S)[0]
        )
        for name in PATHS:
            wrong = re.sub('name = ".*"', lambda _, name=name: f"name = '{name}'", draft, count=1)
            status, text, _ = await ann.post(f"{at}/repair", text=wrong, do="save")
            assert (status, "must be 1 to 64" in text) == (200, True), name
            assert (await ann.get(f"{at}/repair?recipe={name}"))[0] == 400, name
            for place in ("one", "raw", "group", "home", "jobs"):
                assert (await ann.get(f"/letters/{place}/{name}"))[0] in (400, 404), (place, name)
        assert not list((world.directory / "recipes").rglob("*"))
