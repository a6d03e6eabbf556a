"""The answer of a dry run as a page shows it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from console.desk.dry_run import DryRun
from console.web.visible import clipped, visible
from schemas.instants import rfc3339

WINDOWS_SHOWN = 200
SKUS_SHOWN = 8
REASONS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Failing:
    """Letters that would not be taken for one reason, and one of them."""

    letters: int
    reason: str
    sample: str


@dataclass(frozen=True, slots=True)
class WindowRow:
    """A closed window that would be corrected."""

    site: str
    start: str
    end: str
    records: int
    skus: int
    named: str


@dataclass(frozen=True, slots=True)
class ShownDryRun:
    """Figures (name, count, tone), the reasons for which letters fail, and the windows that change."""

    total: int
    figures: Sequence[tuple[str, int, str]]
    failing: Sequence[Failing]
    windows: Sequence[WindowRow]
    more_windows: int
    skus: int
    remarks: Sequence[str]

    @property
    def verdict(self) -> tuple[str, str]:
        """Tone and sentence."""
        fixed = self.figures[0][1]
        if not self.total:
            return "warn", "No letter would be sent."
        if fixed == self.total:
            return "good", f"The gate would take all {fixed:,}."
        return "bad" if not fixed else "warn", f"The gate would take {fixed:,} of {self.total:,}."


def shown_dry_run(result: DryRun) -> ShownDryRun:
    """What is said of a dry run."""
    tally = result.tally
    figures = (
        ("would be taken", result.fixed, "good"),
        ("would fail again", result.still_failing, "bad"),
        ("cannot be repaired", tally.unrepairable, "bad"),
        ("would be parked", result.parked, "warn"),
        ("left alone", len(tally.leftovers) + tally.unmatched + tally.elsewhere, "plain"),
    )
    windows = sorted(result.corrected.values(), key=lambda one: (one.site, one.window.start))
    return ShownDryRun(
        total=sum(count for _, count, _ in figures),
        figures=[(name, count, tone if count else "plain") for name, count, tone in figures],
        failing=_failing(result)[:REASONS_SHOWN],
        windows=[
            WindowRow(
                visible(one.site),
                rfc3339(one.window.start),
                rfc3339(one.window.end),
                one.records,
                len(one.skus),
                _named(one.skus),
            )
            for one in windows[:WINDOWS_SHOWN]
        ],
        more_windows=max(0, len(windows) - WINDOWS_SHOWN),
        skus=result.corrected_skus,
        remarks=list(_remarks(result)),
    )


def _failing(result: DryRun) -> list[Failing]:
    tally = result.tally
    again = [
        Failing(one.letters, _text(f"{one.error_class} at {one.path}: {one.message}"), one.sample)
        for one in result.failures.values()
    ]
    unrepaired = [
        Failing(count, _text(f"cannot be repaired: {reason}"), tally.samples[reason])
        for reason, count in tally.reasons.items()
    ]
    return sorted([*again, *unrepaired], key=lambda one: -one.letters)


def _remarks(result: DryRun) -> list[str]:
    tally, remarks = result.tally, list[str]()
    if result.on_time:
        remarks.append(f"{result.on_time:,} would come in time for windows that are still open.")
    if result.repeated_ids:
        remarks.append(f"{result.repeated_ids:,} have an event id that another of them has, too: one fact each counts.")
    if tally.unmatched:
        remarks.append(f"{tally.unmatched:,} are not among those that the recipe says it is for, and are left alone.")
    if result.parked:
        remarks.append(f"{result.parked:,} have failed so often that they would be parked instead of sent.")
    return remarks


def _named(skus: set[str]) -> str:
    named = ", ".join(visible(sku) for sku in sorted(skus)[:SKUS_SHOWN])
    return named if len(skus) <= SKUS_SHOWN else f"{named}, …"


def _text(text: str) -> str:
    return clipped(visible(text), 300)
