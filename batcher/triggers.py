"""When a site is calculated anew, and for which instant. Pure.

1. A site is due when more of its windows are complete than at its last calculation, early ones among them, when facts
   before the last instant have changed, when reference data that it uses has, and once after a start: the same run
   again changes nothing.
2. However many reasons come together, a site is calculated once, for the end of its latest complete window.
3. A site that is being loaded waits: what comes next would make the calculation stale. It does not wait longer than
   `patience_ms`, so that a steady stream of batches cannot put it off for ever. One with a batch on hold does: its
   data is not all there.
4. A site in a blackout waits until that ends, however long it has been due and for whatever reason. What comes
   meanwhile adds up: it is calculated once then. What a person asks for does not come this way and is not put off.
5. Sites take turns: the one that has been due longest comes first.

Times are UTC milliseconds, except `now`, milliseconds of any clock that only goes forward.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum


class Cause(StrEnum):
    """Why a run was made; `REQUEST` is a person, `SCHEDULE` the job of the night."""

    WINDOWS = "windows complete"
    FACTS = "facts changed"
    REFERENCE = "reference changed"
    START = "worker started"
    REQUEST = "requested"
    SCHEDULE = "schedule"


@dataclass(frozen=True, slots=True)
class Due:
    """A calculation to be made: `causes` in the order in which they came."""

    site_id: str
    as_of_ms: int
    causes: tuple[Cause, ...]


@dataclass(slots=True)
class _Site:
    complete_ms: int | None = None
    calculated_ms: int | None = None
    causes: list[Cause] = field(default_factory=list[Cause])
    due_since: int = 0

    def raise_cause(self, cause: Cause, now: int) -> None:
        if not self.causes:
            self.due_since = now
        if cause not in self.causes:
            self.causes.append(cause)


def never(_: str) -> bool:
    """No site is in a blackout: there is no schedule."""
    return False


class Triggers:
    """What is due, over all sites of a worker."""

    def __init__(self, patience_ms: int) -> None:
        self._patience_ms = patience_ms
        self._sites: dict[str, _Site] = {}

    def begin(self, site_id: str, complete_ms: int | None, now: int) -> None:
        """A site is here now; its windows that end by `complete_ms` are known to be complete, None if none is."""
        site = self._sites[site_id] = _Site(complete_ms)
        if complete_ms is not None:
            site.raise_cause(Cause.START, now)

    def forget(self, site_id: str) -> None:
        """A site is no longer ours."""
        self._sites.pop(site_id, None)

    def knows(self, site_id: str) -> bool:
        """Whether the site is ours."""
        return site_id in self._sites

    def windows_complete(self, site_id: str, complete_ms: int, now: int) -> None:
        """The site's windows that end by `complete_ms` are complete."""
        site = self._sites.setdefault(site_id, _Site())
        if site.complete_ms is None or complete_ms > site.complete_ms:
            site.complete_ms = complete_ms
            site.raise_cause(Cause.WINDOWS, now)

    def earlier_complete(self, site_id: str, now: int) -> None:
        """Windows before those known to be complete are, too: the coverage of the last calculation has grown."""
        site = self._sites.setdefault(site_id, _Site())
        if site.calculated_ms is not None:
            site.raise_cause(Cause.WINDOWS, now)

    def facts_changed(self, site_id: str, earliest_ms: int, now: int) -> None:
        """Facts from `earliest_ms` on have come or changed; those that no calculation has seen are no reason."""
        site = self._sites.setdefault(site_id, _Site())
        if site.calculated_ms is not None and earliest_ms < site.calculated_ms:
            site.raise_cause(Cause.FACTS, now)

    def reference_changed(self, site_id: str, now: int) -> None:
        """Reference data that the site's facts use has changed."""
        site = self._sites.setdefault(site_id, _Site())
        if site.calculated_ms is not None:
            site.raise_cause(Cause.REFERENCE, now)

    def take(
        self,
        is_loading: Callable[[str], bool],
        held: Collection[str],
        now: int,
        is_blacked_out: Callable[[str], bool] = never,
    ) -> Due | None:
        """The next calculation to make, which is then no longer due; None if none is, or all have to wait."""
        due = sorted((site.due_since, site_id) for site_id, site in self._sites.items() if site.causes)
        for since, site_id in due:
            site = self._sites[site_id]
            patient = now - since < self._patience_ms
            if (
                site.complete_ms is None
                or site_id in held
                or is_blacked_out(site_id)
                or (patient and is_loading(site_id))
            ):
                continue
            causes, site.causes = tuple(site.causes), []
            return Due(site_id, site.complete_ms, causes)
        return None

    def put_back(self, due: Due, now: int) -> None:
        """A calculation could not be made: it is due as before."""
        for cause in due.causes:
            self._sites.setdefault(due.site_id, _Site(due.as_of_ms)).raise_cause(cause, now)

    def calculated(self, site_id: str, as_of_ms: int) -> None:
        """A calculation was made."""
        site = self._sites.setdefault(site_id, _Site())
        site.calculated_ms = max(as_of_ms, site.calculated_ms or as_of_ms)

    @property
    def uncalculated_sites(self) -> set[str]:
        """Sites with complete windows that have not been calculated since they came here."""
        return {
            site_id
            for site_id, site in self._sites.items()
            if site.complete_ms is not None and site.calculated_ms is None
        }

    @property
    def due_sites(self) -> set[str]:
        """Sites that are due."""
        return {site_id for site_id, site in self._sites.items() if site.causes and site.complete_ms is not None}
