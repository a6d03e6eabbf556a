"""The articles of the generated feed: their units, some known only from a later load, and the reference files.

Each kind of article makes one case of unit conversion happen; its name is the prefix of its SKUs.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

POPULARITY_EXPONENT = 0.9  # Zipf's law: a few articles make most of the picks


@dataclass(frozen=True, slots=True)
class Unit:
    """One row of the items file: `base_units` is a decimal text, an empty `valid_from` means always.

    `from_middle` units are valid from the middle of the feed. `late` ones are in the second load only.
    """

    uom: str
    base_units: str
    from_middle: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of article; it is sold in all its units, or in those of `sold_in`."""

    name: str
    units: tuple[Unit, ...]
    sold_in: tuple[str, ...] = ()

    @property
    def uoms(self) -> tuple[str, ...]:
        """The units its events come in, each once."""
        return self.sold_in or tuple(dict.fromkeys(unit.uom for unit in self.units))


_EACH = Unit("EA", "1")
_LATE_EACH = Unit("EA", "1", late=True)

KINDS = (
    Kind("EACH", (_EACH,)),
    Kind("CASED", (_EACH, Unit("PK", "6"), Unit("CS", "24"), Unit("PL", "960"))),
    Kind("RECASED", (_EACH, Unit("CS", "12"), Unit("CS", "10", from_middle=True))),
    Kind("WEIGHED", (Unit("KGM", "1"), Unit("PK", "2.5"), Unit("BX", "0.333"))),  # half a BX is a tie to round
    Kind("LATEUNIT", (_EACH, Unit("CS", "8", late=True))),  # cases are held until the second load
    Kind("LATEITEM", (_LATE_EACH, Unit("CS", "20", late=True))),  # singles count at once, cases are held
    Kind("HELD", (_LATE_EACH, Unit("DZN", "12", late=True)), sold_in=("DZN",)),  # no row before the second load
    Kind("RECONVERTED", (_EACH, Unit("PK", "4"), Unit("PK", "5", from_middle=True, late=True))),
)


@dataclass(frozen=True, slots=True)
class Article:
    """An article on sale on the days `[first_day, end_day)` of the feed; `weight` is its relative popularity."""

    sku: str
    kind: Kind
    weight: float
    first_day: int
    end_day: int


def catalogue(rng: random.Random, count: int, days: int) -> list[Article]:
    """`count` articles of all kinds: one in ten is given up in the first third, one in ten comes in the last sixth."""
    ranks = rng.sample(range(1, count + 1), count)
    spans = {3: (0, max(1, days // 3)), 7: (days - max(1, days // 6), days)}
    return [
        Article(
            f"{KINDS[number % len(KINDS)].name}-{number:03d}",
            KINDS[number % len(KINDS)],
            rank**-POPULARITY_EXPONENT,
            *spans.get(number % 10, (0, days)),
        )
        for number, rank in enumerate(ranks)
    ]


def items_csv(articles: Sequence[Article], middle: str, *, late: bool) -> str:
    """The first or the late load of the items file; `middle` is when the `from_middle` units begin (RFC 3339)."""
    rows = (
        (article.sku, unit.uom, unit.base_units, middle if unit.from_middle else "")
        for article in articles
        for unit in article.kind.units
        if unit.late == late
    )
    return csv_text(("sku", "uom", "base_units", "valid_from"), rows)


def promotions_csv(sites: Sequence[str], articles: Sequence[Article], instant: Callable[[int], str]) -> str:
    """Two promotions: one for all articles of the first site, one for the first article everywhere."""
    rows = [("SPRING", sites[0], "", instant(20), instant(30), "1.25"), ("SOLO", "", articles[0].sku, "", "", "1.1")]
    return csv_text(("promo_id", "site_id", "sku", "start", "end", "uplift"), rows)


def channels_csv(sites: Sequence[str], middle: str) -> str:
    """Weights of the channels `web` and `b2b`; `store` has none and so counts as 1."""
    rows = [(site, channel, weight, "") for site in sites for channel, weight in (("web", "1"), ("b2b", "0.5"))]
    return csv_text(("site_id", "channel", "weight", "valid_from"), [*rows, (sites[0], "b2b", "0.75", middle)])


def seasons_csv(sites: Sequence[str], articles: Sequence[Article]) -> str:
    """A season index for the first few articles of the second site in March."""
    rows = [(sites[1], article.sku, "3", "1.3", "") for article in articles[:5]]
    return csv_text(("site_id", "sku", "month", "index", "valid_from"), rows)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """CSV with a header; no value needs quoting."""
    return "".join(",".join(row) + "\n" for row in (header, *rows))
