"""An explanation as a person reads it: the answer, what it was made of, where it stands, what changed. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console.screen import Cell

Rows = Sequence[Sequence[Cell]]

_SHOWN_BATCHES = 20


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence, and a table where there is one."""

    title: str
    text: str = ""
    columns: tuple[str, ...] = ()
    rows: Rows = ()


def sections(explanation: Mapping[str, Any]) -> Iterator[Section]:
    """The parts of an explanation as the API gives it."""
    yield _answer(explanation)
    yield _factors(explanation)
    yield _conversions(explanation)
    yield _season(explanation)
    yield _standing(explanation)
    yield _classes(explanation)
    yield _origins(explanation)
    yield _previous(explanation)


def _answer(told: Mapping[str, Any]) -> Section:
    result = told["result"]
    text = (
        f"{result['velocity_coefficient']:.4g} normalised picks a day = {_number(result['normalized_lines'])} "
        f"normalised lines / {told['days']} days, from {told['start']} to {told['as_of']}"
    )
    if not told["up_to_date"]:
        text += "\nFacts, reference data or settings have changed since: the parts are those of now and need not add up"
    title = f"{told['sku']} at {told['site_id']}, {told['horizon']}: {result['abc_class']}{result['xyz_class']}"
    return Section(title, text)


def _factors(told: Mapping[str, Any]) -> Section:
    columns = (
        "lines",
        "channel",
        "weight",
        "season index",
        "uplift",
        "a line counts",
        "normalised lines",
        "by the rows",
    )
    rows: list[tuple[Cell, ...]] = [
        (
            *(row["lines"], row["channel"] or "–", _factor(row["weight"]), _factor(row["season_index"])),
            *(_factor(row["uplift"]), _number(row["line"]), _number(row["normalized_lines"])),
            ", ".join(row[key] for key in ("weight_key", "season_key", "promotion_key") if row[key]) or "–",
        )
        for row in told["factors"]
    ]
    total = told["result"]
    rows.append((total["order_lines"], "all", None, None, None, None, _number(total["normalized_lines"]), ""))
    return Section("Order lines: weight / (season index x uplift)", columns=columns, rows=rows)


def _conversions(told: Mapping[str, Any]) -> Section:
    columns = ("source", "unit", "base units", "facts", "quantity", "in base units")
    rows = [
        (
            *(row["source"], row["uom"], "held" if row["base_units"] is None else _number(row["base_units"])),
            *(row["facts"], _number(row["quantity"]), None if row["units"] is None else _number(row["units"])),
        )
        for row in (*told["conversions"], *told["held"])
    ]
    result = told["result"]
    text = f"{_number(result['units_ordered'])} ordered - {_number(result['units_returned'])} returned"
    held = sum(row["facts"] for row in told["held"])
    if held:
        text += f"; held for want of a unit, and in no sum: {held} (velocity facts --held)"
    return Section(f"Units: {_number(result['net_units'])} net", text, columns, rows)


def _season(told: Mapping[str, Any]) -> Section:
    text = (
        f"{_number(told['result']['forward_lines'])} normalised lines in the season of the 30 days from {told['as_of']}"
    )
    rows = [(row["days"], _number(row["season_index"]), row["season_key"]) for row in told["seasons_ahead"]]
    if not rows:
        return Section("Season ahead", text + ": no season's row applies, each index is 1")
    return Section("Season ahead", text, ("days", "season index", "by the row"), rows)


def _standing(told: Mapping[str, Any]) -> Section:
    standing = told["standing"]
    metric = standing["metric"].replace("_", " ")
    share = (
        "nothing was picked" if standing["share_before"] is None else f"{standing['share_before']:.2%} come before it"
    )
    text = (
        f"of the {_number(standing['site_demand'])} {metric} of the site {share}; it has {_number(standing['demand'])}"
    )
    rows = [
        (row["class"], f"{row['share']:.0%}", f"{row['demand']:,.4g}", _distance(row["distance"]))
        for row in standing["thresholds"]
    ]
    title = f"Rank {standing['rank']:,} of {standing['skus']:,}"
    return Section(title, text, ("class", "share before below", f"{metric} needed", "distance"), rows)


def _distance(distance: float) -> str:
    return f"{-distance:,.4g} are missing" if distance < 0 else f"{distance:,.4g} to spare"


def _classes(told: Mapping[str, Any]) -> Section:
    classes = told["classes"]
    return Section(f"Class {classes['abc_class']}, stable class {classes['stable_class']}", classes["reason"])


def _origins(told: Mapping[str, Any]) -> Section:
    facts = sum(row["facts"] for row in told["batches"])
    text = f"{facts:,} facts, {told['corrections']:,} of them by corrections"
    if len(told["batches"]) > _SHOWN_BATCHES:
        text += f"; the latest {_SHOWN_BATCHES} batches, --json has all"
    rows = [
        (row["batch_id"], row["source"], row["kind"], row["facts"], row["first_event"], row["last_event"])
        for row in told["batches"][-_SHOWN_BATCHES:]
    ]
    columns = ("batch", "source", "kind", "facts", "first event", "last event")
    return Section(f"From {len(told['batches']):,} batches", text, columns, rows)


def _previous(told: Mapping[str, Any]) -> Section:
    previous = told["previous"]
    if previous is None:
        return Section("Since the run before", "no earlier calculation is kept")
    text = (
        f"{previous['lines_entered']} order lines entered the horizon, {previous['lines_left']} left it, "
        f"{previous['lines_corrected']:+} by corrections and units; "
        f"reference data has {'changed' if previous['reference_changed'] else 'not changed'}"
    )
    rows = [(name, _plain(change["before"]), _plain(change["after"])) for name, change in previous["changes"].items()]
    columns = ("column", "before", "now") if rows else ()
    return Section(f"Since the run of {previous['as_of']}", text, columns, rows)


def _plain(value: Any) -> Cell:
    return f"{value:.6g}" if isinstance(value, float) else value


def _factor(value: float | None) -> str:
    return "–" if value is None else _number(value)


def _number(value: float) -> str:
    """Without zeros that say nothing."""
    return f"{value:,.9f}".rstrip("0").rstrip(".")
