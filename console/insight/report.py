"""What a report holds: everything that the workers, the topics and the store say of one moment. No clock is in it, so
that the same data give the same report."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import msgspec

from console.audit_run import AuditReport
from console.client import BatchApi, NotFound, Question
from console.desk.indexed import State
from console.desk.looking import letter_counts
from console.errors import CommandFailed, UsageError
from console.frontier_board import read_frontiers
from console.insight.kafka_failures import kafka_failures
from runtime.settings import Settings, describe
from schemas.records import Frontier

GRID = 48
FASTEST = 25
DISTRIBUTION = "velocity-slotting"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SiteResults:
    """A site's run as a whole, and its latest windows by source. `told` is None, and `why` says so, without a run."""

    site_id: str
    complete_until: str | None
    told: Row | None
    why: str
    grid: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Letters:
    """Dead letters that the topic holds, and how many of them wait for somebody."""

    total: int
    waiting: int
    by_class: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Identity:
    """What made the data: versions and hashes of the settings that decide on them, as the workers stamped them."""

    version: str
    pipeline_versions: tuple[str, ...]
    settings_hashes: tuple[str, ...]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReportContent:
    """Everything that is shown."""

    audit: AuditReport
    letters: Letters
    sites: Sequence[SiteResults]
    identity: Identity
    horizon: str
    as_of: str | None


async def gather_report(
    settings: Settings, audit: AuditReport, site: str | None, as_of: str | None, horizon: str | None
) -> ReportContent:
    """Ask everybody. `as_of` is an instant in RFC 3339; without it each site's newest run is meant.

    Raises:
        UsageError: there is no such site or horizon.
        CommandFailed: a worker or Kafka does not answer.
    """
    chosen = horizon or settings.velocity.horizons[0]
    with kafka_failures(settings):
        frontiers, letters = await asyncio.gather(read_frontiers(settings), _letters(settings))
    async with BatchApi(settings) as api:
        rows = sorted(await api.rows(Question("/api/v1/sites"), None), key=lambda row: row["site_id"])
        if site is not None and site not in {row["site_id"] for row in rows}:
            raise UsageError(f"--site {site!r}: no batch has named it")
        wanted = [row for row in rows if site in (None, row["site_id"])]
        sites = [await _site(api, row, chosen, as_of) for row in wanted]
    return ReportContent(audit, letters, sites, identity_of(settings, frontiers), chosen, as_of)


async def _letters(settings: Settings) -> Letters:
    found = await letter_counts(settings)
    return Letters(found.total, found.by_state[State.WAITING], found.by_class)


async def _site(api: BatchApi, row: Row, horizon: str, as_of: str | None) -> SiteResults:
    site = row["site_id"]
    grid = await _one(api, "/api/v1/insight/grid", site, {"limit": str(GRID)})
    params = {"horizon": horizon, "as_of": as_of, "limit": str(FASTEST)}
    try:
        told, why = await _one(api, "/api/v1/insight/classes", site, params), ""
    except NotFound as error:
        told, why = None, str(error)
    return SiteResults(site, row["complete_until"], told, why, grid["rows"])


async def _one(api: BatchApi, path: str, site: str, params: dict[str, str | None]) -> Row:
    answers = await api.ask(Question(path, {"site_id": site, **params}), site)
    if not answers:
        raise CommandFailed(f"no batch worker answers for site {site}")
    return msgspec.json.decode(answers[0])


def identity_of(settings: Settings, frontiers: Mapping[str, Frontier]) -> Identity:
    """Of the settings those that decide on results; secrets are among others."""
    known = describe(settings)
    return Identity(
        version=version(DISTRIBUTION),
        pipeline_versions=tuple(sorted({one.pipeline_version for one in frontiers.values()})),
        settings_hashes=tuple(sorted({one.settings_hash for one in frontiers.values()})),
        settings={name: known[name] for name in ("window", "intake", "velocity", "default_time_zone")},
    )
