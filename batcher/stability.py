"""Hysteresis of classes: which classes a run starts from, and by how much a bound has to be passed."""

from dataclasses import dataclass
from decimal import Decimal

from batcher import runs
from batcher.queries import Connection, load_queries
from runtime.settings import VelocitySettings

_QUERIES = load_queries("stability")
_BILLIONTH = Decimal("1e-9")


@dataclass(frozen=True, slots=True)
class Former:
    """Where a run finds the stable classes of before, one of the two at most.

    In the results of `former_run_id`, or, after the database was lost, in what the coefficients topic held, which
    `recovered` is a hash of.
    """

    former_run_id: str | None = None
    recovered: str | None = None


def find_former(connection: Connection, site_id: str, horizon: str, as_of_ms: int) -> Former:
    """That of the latest instant: a current run of one before `as_of_ms`, or what was recovered as of one up to it."""
    run = runs.find_newest(connection, site_id, horizon, as_of_ms - 1)
    values = {"site_id": site_id, "horizon": horizon, "as_of_ms": as_of_ms}
    ((recovered_ms, content),) = _QUERIES["find_recovered"].rows(connection, **values)
    if recovered_ms is not None and (run is None or run.as_of_ms < recovered_ms):
        return Former(recovered=content)
    return Former(run.run_id if run else None)


def recover(connection: Connection, partition: int) -> None:
    """Take the stable classes from what is published of a partition's sites, where that is newer than all runs."""
    for step in ("name_newer_published", "forget_recovered", "recover"):
        _QUERIES[step].rows(connection, partition=partition)


def margins(rules: VelocitySettings) -> dict[str, str]:
    """The shares that `is_beyond` compares with, 9 decimals, as the parameters of queries."""
    shares = {
        f"{verb}_{name}": Decimal(str(bound)) * (1 + sign * Decimal(str(rules.class_margin)))
        for name, bound in (("a", rules.abc_a), ("b", rules.abc_b))
        for verb, sign in (("join", -1), ("leave", 1))
    }
    return {name: str(share.quantize(_BILLIONTH)) for name, share in shares.items()}
