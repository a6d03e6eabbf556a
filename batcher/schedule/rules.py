"""What a schedule says about a site. Pure.

Where rules meet, the more particular one holds:

1. a dated blackout closes, whatever else is said of the day;
2. a dated opening opens: off-peak hours beyond the usual ones, and no weekly blackout;
3. a weekly blackout closes;
4. the off-peak window opens, once per local night;
5. all other times are closed, without being a blackout.
"""

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from schemas.wall_spans import WallSpan

DEFAULT_OFF_PEAK = WallSpan.parse("02:00-04:00")


class Kind(StrEnum):
    """What a blackout is for."""

    PICKING_WAVE = "picking wave"
    RECEIVING = "receiving"
    SHIFT_HANDOFF = "shift handoff"
    INVENTORY_AUDIT = "inventory audit"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Weekly:
    """A blackout of every week: `weekdays` count from Monday, 0. Across midnight it belongs to the day it begins on."""

    weekdays: frozenset[int]
    span: WallSpan
    kind: Kind


@dataclass(frozen=True, slots=True)
class Dated:
    """A blackout of one local day; without a span all of it."""

    day: date
    span: WallSpan | None
    kind: Kind


@dataclass(frozen=True, slots=True)
class Opening:
    """Off-peak hours of one local day beyond the usual ones; without a span all of it."""

    day: date
    span: WallSpan | None


@dataclass(frozen=True, slots=True)
class SiteRules:
    """The rules of a site."""

    off_peak: WallSpan = DEFAULT_OFF_PEAK
    weekly: tuple[Weekly, ...] = ()
    dated: tuple[Dated, ...] = ()
    openings: tuple[Opening, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of all sites; `default` are those of any that is not named."""

    default: SiteRules = SiteRules()
    sites: dict[str, SiteRules] = field(default_factory=dict[str, SiteRules])

    def of(self, site_id: str) -> SiteRules:
        """The rules of a site."""
        return self.sites.get(site_id, self.default)
