"""A report as one file of HTML: styles and drawings are in it, it needs no script, and it prints."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from console.insight.classes import ClassCell, MigrationRow, class_cells, migration_rows, share_of_first
from console.insight.drawing import Drawing, Span, bars, curve, timeline
from console.insight.report import ReportContent, SiteResults
from console.screen import cell_text
from schemas.errors import MEANINGS, ErrorClass
from schemas.instants import parse_rfc3339

MOVERS = 10
_TONES = {"complete": 3, "closed": 2, "open": 1, "empty": 6}


@dataclass(frozen=True, slots=True)
class SitePart:
    """What the template shows of a site."""

    results: SiteResults
    cells: list[list[ClassCell]]
    pareto: Drawing | None
    first_80: float | None
    fastest: Drawing | None
    movers: Drawing | None
    migration_columns: list[str]
    migration: list[MigrationRow]
    windows: Drawing | None
    complete: int


def render_report(content: ReportContent) -> str:
    """The file's text. The same content gives the same text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("console.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = cell_text
    accounts = [*sorted(content.audit.by_source.items()), ("all", content.audit.totals)]
    return environment.get_template("report.html").render(
        content=content,
        accounts=accounts,
        sites=[site_part(site) for site in content.sites],
        letters=letter_rows(content.letters.by_class),
        letters_drawing=letters_drawing(content.letters.by_class),
    )


def site_part(results: SiteResults) -> SitePart:
    """The figures and drawings of one site."""
    told: Mapping[str, Any] = results.told or {"matrix": [], "pareto": [], "fastest": [], "movers": [], "migration": []}
    columns, rows = migration_rows(told["migration"])
    pareto = [(point["sku_share"], point["demand_share"]) for point in told["pareto"]]
    fastest = [
        (row["sku"], row["velocity_coefficient"], f"{row['velocity_coefficient']:,.4g} {row['class']}")
        for row in told["fastest"][:MOVERS]
    ]
    moved = [(row["sku"], row["change"], f"{row['change']:+,.4g}") for row in told["movers"][:MOVERS]]
    return SitePart(
        results=results,
        cells=class_cells(told["matrix"]),
        pareto=curve("Pareto curve", [(0.0, 0.0), *pareto], "share of SKUs", "share of demand") if pareto else None,
        first_80=share_of_first(told["pareto"], 0.8),
        fastest=bars("The fastest SKUs, normalised picks a day", fastest) if fastest else None,
        movers=bars("SKUs that moved the most, normalised picks a day", moved) if moved else None,
        migration_columns=columns,
        migration=rows,
        windows=windows_drawing(results.grid),
        complete=sum(row["complete"] for row in results.grid),
    )


def windows_drawing(grid: Sequence[Mapping[str, Any]]) -> Drawing | None:
    """The latest windows by source and state; None without a window."""
    spans = [
        Span(
            cell["source"],
            parse_rfc3339(row["start"]),
            parse_rfc3339(row["end"]),
            _TONES[cell["state"]],
            f"{cell['source']}, {row['start']} to {row['end']}: {cell['state']}, {cell['records']:,} records",
        )
        for row in reversed(grid)
        for cell in row["cells"]
    ]
    return timeline("Windows by source, UTC", spans) if spans else None


def letter_rows(by_class: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """Class, letters, meaning; the most first."""
    return [(name, count, MEANINGS[ErrorClass(name)]) for name, count in _most_first(by_class.items())]


def letters_drawing(by_class: Mapping[str, int]) -> Drawing | None:
    """Bars by class; None without a letter."""
    values = [(name, float(count), f"{count:,}") for name, count in _most_first(by_class.items())]
    return bars("Dead letters by error class", values, tone=5) if values else None


def _most_first(counts: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counts, key=lambda item: (-item[1], item[0]))
