"""Why the API does not give the answer that was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.instants import rfc3339


class WrongOwner(Exception):
    """Another worker owns the site."""

    def __init__(self, site_id: str, owner: str) -> None:
        super().__init__(f"site {site_id} is owned by the worker at {owner}")
        self.owner = owner


class NotReady(Exception):
    """Nobody can say yet; asking again later helps."""


class Busy(Exception):
    """So many requests wait that another would only make it worse."""

    def __init__(self, inside: int, retry_after_s: int) -> None:
        super().__init__(f"{inside} requests are being computed or wait; come back in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class TooLate(Exception):
    """The answer was not there in time."""

    def __init__(self, deadline_s: float, retry_after_s: int) -> None:
        super().__init__(
            f"not computed within {deadline_s:g} s (VELOCITY_API__COMPUTE_DEADLINE): ask for fewer SKUs at a time, "
            f"or come back in {retry_after_s} s"
        )
        self.retry_after_s = retry_after_s


class NotFound(Exception):
    """There is no such thing here."""


class NoRun(NotFound):
    """A site has no calculation of a horizon for an instant, or, without an instant, none at all."""

    def __init__(self, site_id: str, as_of_ms: int | None, horizon: str) -> None:
        at = None if as_of_ms is None else rfc3339(as_of_ms)
        super().__init__(
            f"site {site_id} keeps no calculation of {horizon} for {at}: "
            f"`velocity recalc --as-of {at} --horizon {horizon}` makes one"
            if at
            else f"site {site_id} has no calculation of {horizon} yet: none of its windows is complete"
        )


class Ambiguous(Exception):
    """There are several sites, and none was named."""

    def __init__(self, site_ids: Sequence[str]) -> None:
        shown = ", ".join(site_ids[:5]) + (", …" if len(site_ids) > 5 else "")
        super().__init__(f"site_id must say which of the {len(site_ids)} sites is meant: {shown}")


@dataclass(frozen=True, slots=True)
class IncompleteSite:
    """Why an instant is not complete for a site."""

    site_id: str
    reason: str
    complete_until: str | None


class Incomplete(Exception):
    """An instant is not complete for some sites, and a partial calculation was not asked for."""

    def __init__(self, as_of: str, sites: list[IncompleteSite]) -> None:
        super().__init__(f"{as_of} is not complete: " + "; ".join(f"{site.site_id}: {site.reason}" for site in sites))
        self.sites = sites
