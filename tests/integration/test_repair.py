"""Dead letters come home: repaired, judged again by the real worker, and followed until they count.

Each test is something that goes wrong on other desks. All share one pipeline; the site of a line tells whose it is.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import command_line
import pytest
from pipeline_world import PipelineWorld, until

from console.desk.recipes import saved_recipe
from console.desk.replay_job import ReplayJob
from console.desk.replay_order import ReplayOrder, ReplayProgress, State
from sandbox.kafka import EmbeddedKafka
from schemas.dead_letters import DeadLetter
from schemas.sources import Source


@pytest.fixture(scope="module")
def pipeline(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PipelineWorld]:
    """One source partition, and a stream worker that runs all the time."""
    world = PipelineWorld.whole(broker.bootstrap_servers, tmp_path_factory.mktemp("repair"), 1, {})
    world.start("stream", "w1")
    yield world
    world.close()


RECIPE = """
name = "{name}"
why = "Scanner 7 writes American local times and its own units"

[match]
source = "orders"
producer = "-"

{steps}
"""
TIMES = """
[[steps]]
op = "time"
path = "/event_time"
format = "%m/%d/%Y %H:%M"
zone = "America/Chicago"

[[steps]]
op = "map"
path = "/uom"
values = {{ CRATE = "EA", CASE = "CS" }}
"""
POISON = '[[steps]]\nop = "set"\npath = "/quantity"\nvalue = -1'
SLIP = '[[steps]]\nop = "map"\npath = "/uom"\nvalues = { CRATE = "CRTE" }'


def recipe(world: PipelineWorld, name: str, steps: str) -> str:
    """A saved recipe; its name."""
    folder = world.directory / "recipes"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.toml").write_text(RECIPE.format(name=name, steps=steps.replace("{{", "{").replace("}}", "}")))
    return name


def line(site: str, number: int, **changes: Any) -> bytes:
    """An order of 1 March 2011 as scanner 7 writes it, which nobody can read."""
    event = {
        "event_id": f"{site}-{number}",
        "site_id": site,
        "sku": f"S{number % 5}",
        "event_time": f"03/01/2011 {number % 12:02}:{number % 60:02}",
        "quantity": 1.50,
        "uom": "CRATE",
        "order_id": "o1",
        "line": 1,
    }
    return json.dumps({**event, **changes}).encode()


def broken(world: PipelineWorld, site: str, lines: list[bytes]) -> list[DeadLetter]:
    """Lines that become letters; those, once they are all there."""
    before = len(of_site(world, site))
    world.produce(Source.ORDERS, lines, partition=0)
    letters = until(lambda: found if len(found := of_site(world, site)) >= before + len(lines) else [], within_s=90)
    assert letters, world.logs
    return letters[before:]


def of_site(world: PipelineWorld, site: str) -> list[DeadLetter]:
    """The letters of a site, oldest first."""
    letters = [one for one in world.dead_letters() if f'"{site}"'.encode() in (one.value or b"")]
    return sorted(letters, key=lambda one: one.offset)


def dlq(world: PipelineWorld, *arguments: str, code: int = 0) -> Any:
    """What a command of the desk prints with `--json`."""
    return json.loads(command_line.velocity(world, "dlq", *arguments, "--json", code=code).stdout)


def test_a_repair_is_tried_out_sent_once_and_followed_until_it_counts(pipeline: PipelineWorld) -> None:
    """Neither original and repaired version both go back, nor is a second edit dropped in silence; each one that
    was sent comes to "counted in batch B, window W", and in the end to the run that it entered or corrected."""
    site, name = "HOME", recipe(pipeline, "times", TIMES)
    lines = [line(site, n) for n in range(5)] + [line(site, 5, uom="PALETTE"), line(site, 6, quantity=-2)]
    letters = broken(pipeline, site, lines)
    chosen = ("--class", "bad_format", "--site", site)
    tried = dlq(pipeline, "fix", "--recipe", name, *chosen, "--preview", "9")
    assert (tried["fixed"], tried["still_failing"], tried["unrepairable"], tried["on_time"]) == (5, 1, 1, 5)
    assert [(f["error_class"], f["path"], f["letters"]) for f in tried["failures"]] == [
        ("out_of_range", "$.quantity", 1)
    ]
    assert tried["unrepairable_by_reason"] == {"step 2: the map has no value for what is at /uom": 1}
    of_first = next(one["changes"] for one in tried["differences"] if one["id"] == letters[0].id)
    changes = {change["field"]: change["after"] for change in of_first}
    assert changes == {"/event_time": '"2011-03-01T00:00:00-06:00"', "/uom": '"EA"'}
    command_line.velocity(pipeline, "dlq", "fix", "--recipe", name, *chosen, code=2)
    some = [part for letter in letters[:5] for part in ("--id", letter.id)]
    done = dlq(pipeline, "fix", "--recipe", name, *some, "--why", "clock set right", "--follow")
    assert (done["sent"], done["judged"], done["failed_again"]) == (5, 5, 0)

    assert_done_with(pipeline, name, some)
    assert of_site(pipeline, site)[:5] == letters[:5], "a letter itself was changed"
    told = dlq(pipeline, "show", letters[4].id)["story"]
    act = told["letters"][0]["acts"][0]
    assert (act["action"], act["recipe"], act["why"]) == ("replay", name, "clock set right")
    window = "2011-03-01T10:00:00Z to 2011-03-01T11:00:00Z"
    assert (told["outcome"]["state"], told["outcome"]["window"]) == ("open_window", window)

    pipeline.start("batch", "b1")
    pipeline.drain()
    outcome = until(lambda: found if (found := told_of(pipeline, letters[2]))["state"] == "counted" else {})
    results = command_line.velocity(pipeline, "coefficients", "--site", site, "--format", "json").stdout
    assert outcome["run_id"] in results, told_of(pipeline, letters[2])
    assert any(m.batch_id == outcome["batch_id"] and m.site_id == site for m in pipeline.manifests())
    said = command_line.velocity(pipeline, "dlq", "show", letters[2].id).stdout
    assert f"with recipe {name}" in said
    assert f"run {outcome['run_id']} as of 2011-03-01T11:00:00Z" in said
    assert_held_and_corrected(pipeline, site, name)


def told_of(world: PipelineWorld, letter: DeadLetter) -> dict[str, Any]:
    """How the story of a letter ends."""
    return dlq(world, "show", letter.id)["story"]["outcome"]


def assert_done_with(world: PipelineWorld, name: str, chosen: list[str]) -> None:
    """Neither a second repair nor a plain replay sends those again, and both say what was done, by whom."""
    sources = len(world.read(world.source_topic(Source.ORDERS)))
    other = recipe(world, "second-edit", POISON)
    for command in (("fix", "--recipe", other, "--why", "better"), ("replay",)):
        again = dlq(world, *command, *chosen)
        assert (again["sent"], again["skipped"]) == (0, 5)
        assert [(row["action"], row["recipe"], row["letters"]) for row in again["already"]] == [("replay", name, 5)]
        said = command_line.velocity(world, "dlq", *command, *chosen).stdout
        assert f"with recipe {name}" in said
    assert len(world.read(world.source_topic(Source.ORDERS))) == sources


def assert_held_and_corrected(world: PipelineWorld, site: str, name: str) -> None:
    """Repaired events of windows that are closed by now: the dry run names windows and SKUs, the story the correction;
    one with a unit that its item does not have is held, and the story says so."""
    late, held = broken(world, site, [line(site, 15), line(site, 16, uom="CASE")])
    tried = dlq(world, "fix", "--recipe", name, "--id", late.id, "--id", held.id, "--dry-run")
    assert (tried["corrected_skus"], tried["on_time"]) == (2, 0)
    windows = [(window["site"], window["start"], window["skus"]) for window in tried["corrected_windows"]]
    assert windows == [(site, "2011-03-01T09:00:00Z", 1), (site, "2011-03-01T10:00:00Z", 1)]
    dlq(world, "fix", "--recipe", name, "--id", late.id, "--id", held.id, "--why", "late", "--follow")

    def told(letter: DeadLetter, state: str) -> dict[str, Any]:
        outcome = told_of(world, letter)
        return outcome if outcome["state"] == state else {}

    outcome = until(lambda: told(late, "counted"))
    assert outcome, told_of(world, late)
    assert "counted in correction " in outcome["text"]
    assert "it corrected run " in outcome["text"]
    assert "held, it does not count yet" in until(lambda: told(held, "held"))["text"]


def test_a_repair_that_fails_again_keeps_its_history_until_it_is_resolved(pipeline: PipelineWorld) -> None:
    """Failed again as …; a plain retry keeps root, attempts and what was done before; then a better recipe resolves
    it: the story has all of it. A loop ends in the car park."""
    site, slip = "LOOP", recipe(pipeline, "slip", SLIP)
    steps = '[[steps]]\nop = "map"\npath = "/uom"\nvalues = { CRTE = "EA" }'
    better = recipe(pipeline, "better", steps)
    (first,) = broken(pipeline, site, [line(site, 1, event_time="2011-03-01T10:00:00Z")])
    done = dlq(pipeline, "fix", "--recipe", slip, "--id", first.id, "--why", "slip", "--follow")
    assert (done["failed_again"], done["failed_by_class"]) == (1, {"unknown_unit": 1})
    second = of_site(pipeline, site)[-1]
    assert (second.attempts, second.root, b"CRTE" in (second.value or b"")) == (2, first.id, True)
    assert dlq(pipeline, "show", first.id)["story"]["outcome"]["text"].startswith(
        f"failed again as {second.id} (unknown"
    )
    dlq(pipeline, "replay", "--id", second.id, "--why", "try again", "--follow")
    third = of_site(pipeline, site)[-1]
    assert (third.attempts, third.root) == (3, first.id)
    pipeline.extra["VELOCITY_DESK__MAX_ATTEMPTS"] = "3"
    parked = dlq(pipeline, "fix", "--recipe", better, "--id", third.id, "--why", "unit")
    assert (parked["sent"], parked["parked"]) == (0, 1)
    assert dlq(pipeline, "show", first.id)["story"]["outcome"]["state"] == "parked"
    freed = dlq(pipeline, "fix", "--recipe", better, "--id", third.id, "--why", "unit", "--include-parked", "--follow")
    assert (freed["sent"], freed["judged"], freed["failed_again"]) == (1, 1, 0)
    del pipeline.extra["VELOCITY_DESK__MAX_ATTEMPTS"]
    told = dlq(pipeline, "show", third.id)["story"]
    assert [letter["id"] for letter in told["letters"]] == [first.id, second.id, third.id]
    acts = [(act["action"], act["recipe"]) for letter in told["letters"] for act in letter["acts"]]
    assert acts == [("replay", slip), ("replay", ""), ("park", ""), ("replay", better)]
    assert told["outcome"]["state"] in ("open_window", "in_batch", "counted")


def test_a_poisoned_replay_stops_at_its_threshold(pipeline: PipelineWorld) -> None:
    """By its canary, of which all fail; after a canary that went well, as soon as too many of the rest have failed;
    and before anything is sent where the recipe repairs too little."""
    site, poison = "POISON", recipe(pipeline, "poison", POISON)
    letters = broken(pipeline, site, [line(site, n, event_time="2011-03-01T10:00:00Z") for n in range(40)])
    chosen = ("--site", site, "--class", "unknown_unit")
    ended = command_line.velocity(
        pipeline, "dlq", "fix", "--recipe", poison, *chosen, "--why", "w", "--canary", "3", code=1
    )
    assert "3 of 3 failed again, more than the 10% that --abort-above allows" in ended.output
    assert "run the same command to send the rest" in ended.output
    assert replayed(pipeline, letters) == 3

    unreadable = recipe(pipeline, "unreadable", '[[steps]]\nop = "number"\npath = "/quantity"')
    ended = command_line.velocity(pipeline, "dlq", "fix", "--recipe", unreadable, *chosen, "--why", "w", code=1)
    assert "37 of 37 cannot be repaired" in ended.output
    assert replayed(pipeline, letters) == 3

    operations = (
        '[{"op": "test", "path": "/order_id", "value": "o1"}, {"op": "replace", "path": "/uom", "value": "EA"}]'
    )
    fine = recipe(pipeline, "fine", f"[[steps]]\nop = \"patch\"\noperations = '{operations}'")
    ended = asyncio.run(replay_of_good_then_bad(pipeline, "LATER", fine))
    assert ended.state is State.ABORTED
    assert "failed again, more than the 10%" in ended.reason
    assert 3 < ended.sent < 120


async def replay_of_good_then_bad(world: PipelineWorld, site: str, name: str) -> ReplayProgress:
    """A replay whose canary passes: three good records go before 117 that fail again."""
    lines = [line(site, n, event_time="2011-03-01T10:00:00Z", quantity=1 if n < 3 else -1) for n in range(120)]
    letters = await asyncio.to_thread(broken, world, site, lines)
    settings = world.settings()
    chosen = saved_recipe(world.directory / "recipes", name)
    order = ReplayOrder(why="w", recipe=chosen, canary=3, rate=25)

    async def in_order() -> AsyncGenerator[DeadLetter, None]:
        for letter in letters:
            yield letter

    return await ReplayJob(settings, order, in_order()).run()


def replayed(world: PipelineWorld, letters: list[DeadLetter]) -> int:
    """How many of these letters the desk has sent back."""
    ids = {letter.id for letter in letters}
    return sum(row["replayed"] for row in dlq(world, "list", "--limit", "1000") if row["id"] in ids)


def test_recipes_are_listed_and_checked(pipeline: PipelineWorld, tmp_path: Path) -> None:
    """Name, steps, hash; a wrong file is told with step and field, exit 2."""
    recipe(pipeline, "times", TIMES)
    (pipeline.directory / "recipes" / "odd.toml").write_text('name = "odd"')
    listed = dlq(pipeline, "recipes")
    assert "times" in [one["name"] for one in listed["recipes"]]
    assert any("odd.toml: " in text for text in listed["wrong"])
    (pipeline.directory / "recipes" / "odd.toml").unlink()
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(RECIPE.format(name="wrong", steps='[[steps]]\nop = "remove"\npath = "quantity"'))
    said = command_line.velocity(pipeline, "dlq", "recipe", "check", str(wrong), code=2)
    assert f"{wrong}: step 1: 'quantity' is no JSON Pointer" in said.output
    checked = dlq(pipeline, "recipe", "check", str(pipeline.directory / "recipes" / "times.toml"))
    assert (checked["name"], checked["steps"], len(checked["sha256"])) == ("times", 2, 64)
    command_line.velocity(pipeline, "dlq", "fix", "--recipe", "../times", "--class", "bad_format", code=2)
