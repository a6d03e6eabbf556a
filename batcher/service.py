"""What the API answers, apart from HTTP: for the sites that this worker owns and is ready for."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import aiohttp
import pyarrow as pa

from batcher.agenda import Agenda
from batcher.announced import until_taken
from batcher.completeness import open_before
from batcher.database import Database
from batcher.explanation import Explanation
from batcher.objections import Ambiguous, Incomplete, IncompleteSite, NoRun, NotFound, NotReady, WrongOwner
from batcher.owners import Member, Owners
from batcher.recalculation import Parts, Recalculation
from batcher.runs import Run
from batcher.sites import Site
from batcher.triggers import Cause
from batcher.workbench import Workbench
from schemas.instants import rfc3339
from schemas.records import Frontier

P = ParamSpec("P")
T = TypeVar("T")


class Service:
    """Answers by the state that the other parts keep. `address` is where this worker's API answers."""

    def __init__(
        self, bench: Workbench, agenda: Agenda, parts: Parts, recalculation: Recalculation, owners: Owners, address: str
    ) -> None:
        self._bench, self._agenda, self._parts = bench, agenda, parts
        self._recalculation, self._owners = recalculation, owners
        self._url = f"http://{address}"

    # -- whose sites ---------------------------------------------------------------------------------------------------

    async def site(self, site_id: str) -> Site:
        """A site that is ours and ready.

        Raises:
            WrongOwner, NotReady: it is not.
            NotFound: no batch has named it.
        """
        home = self._bench.home_of(site_id)
        owned = self._parts.ownership.partitions.get(home)
        if owned is None:
            member = await self._owners.owner_of(home)
            if member is None or member.url == self._url:
                raise NotReady(f"partition {home} of {self._bench.batches_topic}, that of {site_id}, is changing hands")
            raise WrongOwner(site_id, member.url)
        if reason := self._why_not_ready(site_id):
            raise NotReady(reason)
        site = self._agenda.book.get(site_id)
        if site is None:
            raise NotFound(f"no batch has named site {site_id}")
        return site

    @property
    def assignment(self) -> frozenset[int]:
        """The partitions that the group has assigned to this worker."""
        return self._parts.ownership.assignment

    def sites(self) -> tuple[list[Site], dict[str, str]]:
        """Our sites that are ready, and why others are not.

        Raises:
            NotReady: a partition of ours is still catching up: which sites there are is not known.
        """
        ownership = self._parts.ownership
        if not ownership.assignment:
            raise NotReady("this worker owns no partition at the moment")
        for number in sorted(ownership.assignment):
            owned = ownership.partitions.get(number)
            if owned is None or not owned.ready:
                raise NotReady(self._catching_up(number))
        ours = self._agenda.book.of(ownership.partitions)
        known = self._parts.loader.holds.sites.union(site.site_id for site in ours)
        reasons = {site_id: reason for site_id in sorted(known) if (reason := self._why_not_ready(site_id))}
        return [site for site in ours if site.site_id not in reasons], reasons

    async def only_site(self) -> str:
        """The site, where there is but one in all of the group.

        Raises:
            NotReady: a partition is owned by nobody, or not all workers say which sites they have.
            NotFound: there is none.
            Ambiguous: there are several.
        """
        owners = [member for member in await self.members() if member.partitions]
        unowned = set(range(self.partitions)).difference(*(owner.partitions for owner in owners))
        if unowned:
            raise NotReady(f"partitions {sorted(unowned)} of {self.batches_topic} are owned by no batch worker yet")
        try:
            found = sorted(set().union(*[await self._names_of(owner) for owner in owners]))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotReady(f"another worker does not say which sites it has: {error!r}") from error
        if not found:
            raise NotFound("no batch has named a site yet")
        if len(found) > 1:
            raise Ambiguous(found)
        return found[0]

    async def _names_of(self, owner: Member) -> set[str]:
        if owner.url != self._url:
            return await self._owners.sites_of(owner)
        sites, not_ready = self.sites()
        return {site.site_id for site in sites}.union(not_ready)

    async def chosen(self, site_id: str | None) -> tuple[list[Site], dict[str, str]]:
        """The one site, or all of ours; see `site` and `sites`."""
        return self.sites() if site_id is None else ([await self.site(site_id)], {})

    async def members(self) -> list[Member]:
        """The workers of the group."""
        return await self._owners.members()

    @property
    def batches_topic(self) -> str:
        """Name of the batches topic."""
        return self._bench.batches_topic

    @property
    def partitions(self) -> int:
        """How many partitions the batches topic has."""
        return self._bench.partitions

    def frontiers(self) -> list[Frontier]:
        """The newest record of every source partition."""
        return list(self._parts.frontiers.records.values())

    async def read(self, work: Callable[Concatenate[Database, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask the database."""
        return await self._bench.database.read(work, *args, **kwargs)

    def _why_not_ready(self, site_id: str) -> str | None:
        owned = self._parts.ownership.of_site(site_id)
        if owned is None or not owned.ready:
            return self._catching_up(self._bench.home_of(site_id))
        if owned.progress.next_offset_of(site_id) < owned.end:
            return self._parts.loader.holds.reason(site_id) or f"site {site_id} is catching up"
        return None if self._agenda.book.get(site_id) else self._parts.loader.holds.reason(site_id)

    def _catching_up(self, number: int) -> str:
        owned = self._parts.ownership.partitions.get(number)
        how = f"catching up, {owned.remaining} offsets to go" if owned else "being taken over"
        return f"partition {number} of {self._bench.batches_topic} is {how}"

    # -- results -------------------------------------------------------------------------------------------------------

    async def run(self, site: Site, as_of_ms: int | None, horizon: str) -> Run:
        """The site's run of an instant, or its newest one of a complete instant.

        Raises:
            NotFound: there is none.
        """
        until_ms = site.complete_until_ms if as_of_ms is None else as_of_ms
        read = self._bench.database.read
        run = None if until_ms is None else await read(Database.newest_run, site.site_id, horizon, until_ms)
        if run is None or (as_of_ms is not None and run.as_of_ms != as_of_ms):
            raise NoRun(site.site_id, as_of_ms, horizon)
        return run

    async def coefficients(self, run: Run) -> pa.Table:
        """All results of a run."""
        return await self._bench.database.read(Database.results, run.site_id, run.as_of_ms, run.horizon)

    async def explain(self, site: Site, as_of_ms: int | None, horizon: str, sku: str) -> Explanation:
        """What the coefficient of a SKU is made of, of an instant or of the newest.

        Raises:
            NotFound: there is no such calculation, or no such SKU in it.
        """
        run = await self.run(site, as_of_ms, horizon)
        explanation = await self._bench.database.read(Database.explain, run, sku)
        if explanation is None:
            raise NotFound(f"{sku} has no fact at {site.site_id} in the horizon that ends at {rfc3339(run.as_of_ms)}")
        return explanation

    async def recalculate(self, site_id: str | None, as_of_ms: int, horizon: str, *, partial: bool) -> list[Run]:
        """Calculate for an instant. Only the end of the latest complete window is ever published, of the
        horizons that are calculated by themselves.

        Raises:
            Incomplete: the instant is not, and no `partial` result was asked for; nothing was calculated.
            NotReady: this worker does not keep up.
        """
        await until_taken(self._bench, self._parts)
        await self._recalculation.settle()
        still_open = self._still_open(site_id, as_of_ms)
        if still_open and not partial:
            raise Incomplete(rfc3339(as_of_ms), still_open)
        sites, not_ready = await self.chosen(site_id)
        if not_ready:
            raise NotReady("; ".join(not_ready.values()))
        missing = [found for site in sites if (found := self._incomplete(site, as_of_ms))]
        if missing and not partial:
            raise Incomplete(rfc3339(as_of_ms), missing)
        return [await self._calculate(site, as_of_ms, horizon) for site in sites]

    async def _calculate(self, site: Site, as_of_ms: int, horizon: str) -> Run:
        is_newest = as_of_ms == site.complete_until_ms and horizon in self._bench.settings.velocity.horizons
        return await self._recalculation.calculate(site.site_id, as_of_ms, horizon, Cause.REQUEST, newest=is_newest)

    def _still_open(self, site_id: str | None, as_of_ms: int) -> list[IncompleteSite]:
        """Sites at home here of which a source partition holds open windows, facts or none: they would be missing."""
        found = open_before(self.frontiers(), as_of_ms)
        ours = {site for site in found if self._bench.home_of(site) in self.assignment}
        return [
            IncompleteSite(
                site,
                f"window {rfc3339(found[site].start)} to {rfc3339(found[site].end)} is open",
                self._complete_until(site),
            )
            for site in sorted(ours if site_id is None else ours & {site_id})
        ]

    def _complete_until(self, site_id: str) -> str | None:
        site = self._agenda.book.get(site_id)
        return rfc3339(site.complete.end) if site and site.complete else None

    def _incomplete(self, site: Site, as_of_ms: int) -> IncompleteSite | None:
        until = self._complete_until(site.site_id)
        if held := self._parts.loader.holds.reason(site.site_id):
            return IncompleteSite(site.site_id, held, until)
        window = site.incomplete_before(as_of_ms)
        if window is None:
            return None
        name = f"window {rfc3339(window.start)} to {rfc3339(window.end)} is not complete"
        return IncompleteSite(site.site_id, name, until)
