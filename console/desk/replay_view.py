"""How replays and dry runs are told."""

from typing import TYPE_CHECKING, Any

from console import screen
from console.desk.acts import Leftovers
from schemas.instants import rfc3339

if TYPE_CHECKING:
    from console.desk.dry_run import DryRun
    from console.desk.replay import Replayed

WINDOWS_SHOWN = 20
_DONE = {"replay": "replayed", "discard": "discarded", "park": "parked"}


def already_rows(leftovers: Leftovers) -> list[dict[str, Any]]:
    """What had been done before, a row for each command that did it."""
    return [
        {
            "action": one.act.action,
            "who": one.act.who,
            "at": rfc3339(one.act.at),
            "why": one.act.why,
            "recipe": one.act.recipe,
            "letters": one.letters,
            "samples": one.samples,
        }
        for one in leftovers
    ]


def say_already(rows: list[dict[str, Any]]) -> None:
    """Which letters were left because something had been done to them: what, by whom, when, with which recipe."""
    for row in rows:
        recipe = f" with recipe {row['recipe']}" if row["recipe"] else ""
        done = f"{_DONE[row['action']]} by {row['who']} at {row['at']}{recipe}"
        screen.say(f"{row['letters']:,} were left: {done} (such as {row['samples'][0]})", style="yellow")


def say_result(result: "Replayed") -> None:
    """What a replay did."""
    screen.say(f"{result.sent:,} dead letters sent{_classes(result.by_class)}")
    screen.say(f"{result.skipped:,} were acted on before and skipped")
    say_already(result.already)
    if result.judged:
        screen.say(f"{result.judged:,} have their verdict, {result.failed_again:,} failed again")
    for count, what in (
        (result.parked, "were parked: they failed too often; --include-parked sends them all the same"),
        (result.unmatched, "are none that the recipe matches, and were left"),
        (result.elsewhere, "came from topics that are no sources here, and were left"),
    ):
        if count:
            screen.say(f"{count:,} {what}", style="yellow")
    _say_unrepairable(result.unrepairable_by_reason)


def _classes(counts: dict[str, int]) -> str:
    return "".join(f"; {name}: {count:,}" for name, count in sorted(counts.items()))


def _say_unrepairable(reasons: dict[str, int]) -> None:
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        screen.say(f"{count:,} cannot be repaired: {reason}", style="yellow")


def dry_run_json(result: "DryRun", missing: list[str]) -> dict[str, Any]:
    """The stable shape of `dlq fix --dry-run --json` and of `dlq replay --dry-run --json`."""
    tally = result.tally
    return {
        "dry_run": True,
        "sent": result.fixed + result.still_failing,
        "by_class": dict(tally.by_class),
        "fixed": result.fixed,
        "still_failing": result.still_failing,
        "failures": list(result.failures.values()),
        "unrepairable": tally.unrepairable,
        "unrepairable_by_reason": dict(tally.reasons),
        "parked": result.parked,
        "skipped": len(tally.leftovers),
        "already": already_rows(tally.leftovers),
        "unmatched": tally.unmatched,
        "elsewhere": tally.elsewhere,
        "on_time": result.on_time,
        "repeated_ids": result.repeated_ids,
        "corrected_skus": result.corrected_skus,
        "corrected_windows": [
            {
                "site": one.site,
                "start": rfc3339(one.window.start),
                "end": rfc3339(one.window.end),
                "records": one.records,
                "skus": len(one.skus),
            }
            for _, one in sorted(result.corrected.items())
        ],
        "differences": [
            {"id": one.letter_id, "changes": [change._asdict() for change in one.changes]} for one in result.differences
        ],
        "missing": missing,
    }


def say_dry_run(result: "DryRun") -> None:
    """What would become of the records."""
    tally = result.tally
    sent = result.fixed + result.still_failing
    screen.say(f"{sent:,} dead letters would be sent{_classes(dict(tally.by_class))}")
    screen.say(f"{result.fixed:,} would pass the gate, {result.still_failing:,} would fail again")
    if result.failures:
        rows = [(f.error_class, f.path, f.letters, f.sample, f.message) for f in result.failures.values()]
        screen.say_table(("still fails as", "path", "letters", "such as", "message"), rows)
    _say_unrepairable(dict(tally.reasons))
    screen.say(f"{len(tally.leftovers):,} were acted on before and would be skipped")
    say_already(already_rows(tally.leftovers))
    for count, what in (
        (result.parked, "would be parked: they failed too often"),
        (tally.unmatched, "are none that the recipe matches"),
        (tally.elsewhere, "came from topics that are no sources here"),
        (result.repeated_ids, "repeat an event id among these letters: such a fact counts once"),
    ):
        if count:
            screen.say(f"{count:,} {what}", style="yellow")
    _say_corrections(result)
    for difference in result.differences:
        rows = [(change.field or "(the whole)", change.before, change.after) for change in difference.changes]
        screen.say_table(("field", "before", "after"), rows, difference.letter_id)


def _say_corrections(result: "DryRun") -> None:
    screen.say(f"{result.on_time:,} would fall into windows that are still open")
    if not result.corrected:
        return
    ordered = [one for _, one in sorted(result.corrected.items())]
    screen.say(f"{len(ordered):,} closed windows and {result.corrected_skus:,} SKUs of sites would be corrected:")
    rows = [
        (one.site, rfc3339(one.window.start), rfc3339(one.window.end), one.records, len(one.skus))
        for one in ordered[:WINDOWS_SHOWN]
    ]
    screen.say_table(("site", "window", "until", "records", "SKUs"), rows)
    if len(ordered) > WINDOWS_SHOWN:
        screen.say(f"… and {len(ordered) - WINDOWS_SHOWN:,} more windows; --json has all")
