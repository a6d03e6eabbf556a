"""What pages rest on: static files, what was vendored, live feeds, and errors as pages."""

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
from console_world import ConsoleWorld, running

import console.web
from console.client import Incomplete, NotFound
from console.errors import CommandFailed, UsageError
from console.web.error_pages import status_of
from console.web.live import LiveFeeds
from console.web.masking import masked
from console.web.static_files import load_static_files
from runtime.access import new_secret
from runtime.refusals import AccessRefused

WEB = Path(console.web.__file__).parent
VENDORED = (WEB / "static" / "vendor", Path(__file__).parents[1] / "browser" / "vendor")


@pytest.mark.parametrize("folder", VENDORED, ids=lambda folder: folder.parent.name)
def test_what_was_vendored_is_what_was_published(folder: Path) -> None:
    """Each file with its package, version, licence and SHA-256, and each package with the text of its licence."""
    listed = json.loads((folder / "vendor.json").read_text("utf-8"))
    there = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert there - {"vendor.json", "README.md"} == set(listed)
    for name, entry in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == entry["sha256"], name
        assert re.fullmatch(r"\d+\.\d+\.\d+", entry["version"])
    assert {name.split("/")[0] for name in listed} == {name.split("/")[0] for name in listed if "LICENSE" in name}


def test_pages_load_and_run_nothing_of_others() -> None:
    """No address of another server, no style or script within a page, no handler in an attribute: the policy of the
    content would refuse it, and a page without it would be broken."""
    for file in (*WEB.rglob("templates/**/*.html"), *WEB.glob("static/*.js"), *WEB.glob("static/*.css")):
        if file.name.startswith("report"):
            continue  # one self-contained page, which no server sends
        text = file.read_text("utf-8")
        assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\(["']?http""", text), file
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text), file
        assert not re.search(r"<script(?![^>]*(src=|application/json))", text), file
        assert "|safe" not in text.replace(" ", ""), file


async def test_static_files_are_kept_as_long_as_their_content(tmp_path: Path) -> None:
    """For ever under the address that pages name; asked for again under any other; and only what is for browsers."""
    files = load_static_files()
    async with running(ConsoleWorld(tmp_path)) as world, aiohttp.ClientSession(world.url) as client:
        async with client.get(files.url("console.css")) as answer:
            assert (answer.status, answer.content_type) == (200, "text/css")
            assert "immutable" in answer.headers["Cache-Control"]
            assert await answer.read() == (WEB / "static" / "console.css").read_bytes()
            tag = answer.headers["ETag"]
        for query in ("", "?v=0000"):
            async with client.get(f"/static/console.css{query}", headers={"If-None-Match": tag}) as answer:
                assert (answer.status, answer.headers["Cache-Control"]) == (304, "no-cache")
        async with client.get("/static/vendor/vendor.json") as answer:
            assert answer.status == 404
    with pytest.raises(KeyError):
        files.url("nothing.css")


async def test_a_slow_page_gets_the_newest_and_never_a_queue() -> None:
    """A feed produces while somebody listens, once for all listeners; whoever was away has one piece of each part to
    read, and a part that cannot be produced for once is produced the next time."""
    asked = 0

    async def produce() -> Mapping[str, str]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        if asked == 2:
            raise RuntimeError("for once")
        return {"count": str(asked), "same": "x"}

    feed = LiveFeeds().feed("/x", produce, every_s=0.001)
    quick, slow = feed.open(), feed.open()
    assert await quick.next() == {"count": "1", "same": "x"}
    while asked < 6:
        assert set(await quick.next()) == {"count"}, "what has not changed is not sent again"
    found = await slow.next()
    assert (set(found), int(found["count"]) >= 4) == ({"count", "same"}, True)
    await feed.close(quick)
    await feed.close(slow)
    before = asked
    await asyncio.sleep(0.02)
    assert asked == before, "nobody listens"


async def test_streams_end_at_once_when_the_server_stops(tmp_path: Path) -> None:
    """And the events of its next life have other ids."""
    ids = list[str]()
    world = ConsoleWorld(tmp_path)
    async with aiohttp.ClientSession(world.url) as client:
        for _ in range(2):
            await world.start()
            async with client.get("/sample/live") as answer:
                assert answer.content_type == "text/event-stream"
                ids.append((await answer.content.readline()).decode())
                async with asyncio.timeout(1.5):
                    await world.stop()
                    await answer.content.read()
    assert len(set(ids)) == 2
    assert all(re.fullmatch(r"id: [0-9a-f]{8}-1\r\n", line) for line in ids)


def test_secrets_in_what_is_shown_are_masked() -> None:
    """Whatever an error of another system repeats; and nothing else."""
    token = new_secret()
    shown = masked(
        f"http://bob:pa55@kafka:1/x?token=abc&y=1 Authorization: Bearer abc.def, {token} password=x;ssl postgres://u:p@h"
    )
    assert shown == (
        "http://***@kafka:1/x?token=***&y=1 Authorization: Bearer *** *** password=***;ssl postgres://***@h"
    )
    for plain in ("mail a@b.example", "http://kafka:1/a@b", "velocity_worker_ready 0", "the token of bob"):
        assert masked(plain) == plain


async def test_the_pages_mask_what_settings_and_errors_say(tmp_path: Path) -> None:
    """An address with a password on the start page."""
    world = ConsoleWorld(tmp_path, changes={"api": {"url": "http://bob:pa55@127.0.0.1:1"}})
    async with running(world), aiohttp.ClientSession(world.url) as client, client.get("/") as answer:
        page = await answer.text()
        assert "http://***@127.0.0.1:1" in page
        assert "pa55" not in page


def test_what_others_say_no_with_has_a_status() -> None:
    """A page whose question fails says which kind of failure it is."""
    kinds = {UsageError: 400, NotFound: 404, Incomplete: 409, AccessRefused: 409, CommandFailed: 502}
    assert {kind: status_of(kind("x")) for kind in kinds} == kinds
