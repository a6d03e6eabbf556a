"""What a demo prints at its end."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from console import screen
from console.demo import Outcome
from console.screen import Cell
from schemas.errors import MEANINGS, ErrorClass

MOVERS = 10
ABC = ("A", "B", "C")
XYZ = ("X", "Y", "Z")


def show(outcome: Outcome, names: Mapping[str, str]) -> None:
    """Dead letters, the fastest movers (with their `names`, by SKU), the classes."""
    screen.say()
    dead = [(name, count, MEANINGS[ErrorClass(name)]) for name, count in outcome.letters.by_class.most_common()]
    screen.say_table(("class", "letters", "meaning"), dead, title="Dead letters by class")
    screen.say()
    columns = ("sku", "name", "picks per day", "units per day", "class")
    title = f"The {MOVERS} fastest movers of {outcome.coefficients.num_rows:,} SKUs"
    screen.say_table(columns, movers(outcome.coefficients, names), title=title)
    screen.say()
    screen.say_table(("", *XYZ, "SKUs"), class_table(outcome.coefficients), title="How often × how steadily (SKUs)")


def movers(table: pa.Table, names: Mapping[str, str]) -> list[tuple[Cell, ...]]:
    """The fastest: SKU, name, normalised picks and net units per day, classes."""
    ranked = table.sort_by([("velocity_coefficient", "descending"), ("sku", "ascending")]).slice(0, MOVERS)
    return [
        (
            row["sku"],
            names.get(row["sku"], ""),
            round(row["velocity_coefficient"], 2),
            round(row["units_per_day"], 1),
            row["abc_class"] + row["xyz_class"],
        )
        for row in ranked.to_pylist()
    ]


def class_table(table: pa.Table) -> list[tuple[Cell, ...]]:
    """SKUs by ABC class (rows) and XYZ class (columns), with sums."""
    pairs = zip(table.column("abc_class").to_pylist(), table.column("xyz_class").to_pylist(), strict=True)
    counts = Counter(pairs)
    rows: list[tuple[Cell, ...]] = [
        (abc, *(counts[abc, xyz] for xyz in XYZ), sum(counts[abc, xyz] for xyz in XYZ)) for abc in ABC
    ]
    sums = [sum(counts[abc, xyz] for abc in ABC) for xyz in XYZ]
    return [*rows, ("all", *sums, sum(sums))]


def show_ways_on(file: Path, console_url: str, api_url: str, site_id: str, sku: str) -> None:
    """Where to look further into a demo that still runs: its console, and commands."""
    velocity = f"velocity --config {file}"
    screen.say(f"The web console: {console_url}", style="bold")
    screen.say()
    screen.say("How to look further, in another terminal:", style="bold")
    for command, what in (
        (f"{velocity} coefficients --format csv", "all columns of all SKUs"),
        (f"{velocity} explain {sku}", "why it is what it is, and how far from the next class"),
        (f"{velocity} schedule show", "when the site may be calculated and delivered to"),
        (f"{velocity} dlq groups", "what is wrong in the same way; `dlq show ID` shows one letter and its story"),
        (f"{velocity} windows", "what is closed and complete"),
        (f"{velocity} audit --deep", "the proof again"),
        (f"{velocity} doctor", "how the parts are"),
        (
            f"curl -s {api_url}/api/v1/velocity/compute -d "
            f"""'{{"skus": ["{sku}"], "window": "rolling_30d", "site_id": "{site_id}"}}'""",
            "what a WMS asks",
        ),
    ):
        screen.say(f"  {command}")
        screen.say(f"      {what}", style="dim")
