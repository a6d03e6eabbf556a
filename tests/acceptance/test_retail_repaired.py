"""Dead letters come home: a spoilt sample, repaired by an operator at the command line, counts like one that was right
from the start."""

from collections.abc import Iterator
from typing import Any

import pytest
from acceptance_feeds import coefficients
from pipeline_world import PipelineWorld
from spoilt_retail import AS_OF, RECIPES, of_each_kind

from sandbox.spoilt_feed import SPOILT_KINDS, SpoiltKind


@pytest.mark.timeout(900)
@of_each_kind
def test_an_operator_brings_them_home(of_each: int, spoilt_world: PipelineWorld, pipeline: PipelineWorld) -> None:
    """Group, look, repair three kinds, discard the rest: the audit is complete, and coefficients and run ids are those
    of a feed that had been right from the start, to the byte."""
    groups = spoilt_world.json("dlq", "groups", "--waiting")
    by_kind = {kind.name: _groups_of(groups, kind) for kind in SPOILT_KINDS}
    letters = {name: sum(one["letters"] for one in found) for name, found in by_kind.items()}
    assert all(0.98 * of_each < count <= of_each for count in letters.values()), letters  # the rest: service lines
    replayed = sum(_repair(spoilt_world, kind, by_kind[kind.name]) for kind in SPOILT_KINDS if kind.repairable)
    useless = [kind for kind in SPOILT_KINDS if not kind.repairable]
    for kind in useless:
        ids = [one["id"] for one in by_kind[kind.name]]
        spoilt_world.run("dlq", "discard", *_each("--group", ids), "--why", f"{kind.name}: the right line came, too")
    spoilt_world.drain(within_s=240)
    audit = spoilt_world.json("audit", "--deep")
    assert audit["complete"] is True, audit
    assert audit["audit_log"]["intact"] is True
    assert coefficients(spoilt_world, AS_OF) == coefficients(pipeline, AS_OF)
    stats = spoilt_world.json("dlq", "stats")
    assert (stats["replayed"], stats["discarded"]) == (replayed, sum(letters[kind.name] for kind in useless))
    _assert_home(spoilt_world)


def _groups_of(groups: list[dict[str, Any]], kind: SpoiltKind) -> list[dict[str, Any]]:
    """Those of a kind; lines that are no merchandise fail by their SKU first, and are nobody's fault."""
    alike = [one for one in groups if (one["producer"], one["error_class"]) == (kind.producer, kind.error_class.value)]
    return [one for one in alike if one["path"] == "$.event_time"] if kind.name == "local time" else alike


def _repair(world: PipelineWorld, kind: SpoiltKind, groups: list[dict[str, Any]]) -> int:
    """By a recipe: dry run, then for good; how many were sent."""
    file = world.directory / f"{kind.producer}.toml"
    file.write_text(RECIPES[kind.producer])
    chosen = ["--recipe", str(file), *_each("--group", [one["id"] for one in groups])]
    dry = world.json("dlq", "fix", *chosen, "--dry-run")
    letters = sum(one["letters"] for one in groups)
    assert dry["fixed"] + dry["still_failing"] == letters
    assert dry["still_failing"] < letters // 50, dry["failures"]  # `POST` is no SKU, whenever it was picked
    assert dry["corrected_windows"]
    assert dry["corrected_skus"]
    done = world.json("dlq", "fix", *chosen, "--why", f"ticket of {kind.producer}", "--follow")
    assert (done["sent"], done["judged"], done["failed_again"]) == (letters, letters, dry["still_failing"])
    again = world.json("dlq", "fix", *chosen, "--why", "once more")
    assert (again["sent"], again["skipped"]) == (0, letters)
    return letters


def _each(option: str, values: list[str]) -> Iterator[str]:
    for value in values:
        yield from (option, value)


def _assert_home(world: PipelineWorld) -> None:
    """The story of a letter that was repaired ends in its correction."""
    for one in world.json("dlq", "list", "--state", "replayed", "--class", "wrong_type", "--limit", "1"):
        assert "counted in correction" in world.run("dlq", "show", one["id"]).stdout
