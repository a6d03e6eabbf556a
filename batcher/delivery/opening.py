"""From a sink's settings to its endpoints and its courier."""

from collections.abc import Sequence

from batcher.delivery.book import LedgerBook
from batcher.delivery.circuit import CircuitRules
from batcher.delivery.courier import Courier
from batcher.delivery.drop import Drop
from batcher.delivery.endpoints import Endpoint, Lines
from batcher.delivery.file_sink import FilesEndpoint
from batcher.delivery.http_sink import HttpEndpoint, open_session
from batcher.delivery.pace import Pace
from batcher.delivery.retries import RetryRules
from batcher.delivery.round import Clock
from batcher.horizon import HORIZONS
from runtime.refusals import SettingsRefused
from runtime.settings import Settings
from runtime.sink_settings import BreakerSettings, SinkSettings


def check_sinks(settings: Settings) -> None:
    """
    Raises:
        SettingsRefused: a sink wants a horizon that there is not, or a package that is not installed.
    """
    for name, sink in settings.sinks.items():
        if unknown := [horizon for horizon in sink.horizons if horizon not in HORIZONS]:
            known = ", ".join(HORIZONS)
            raise SettingsRefused(f"sinks.{name}.horizons: there is no horizon {', '.join(unknown)}; there are {known}")
        if sink.kind == "postgres":
            from batcher.delivery.postgres_sink import require_asyncpg

            require_asyncpg(name)


def open_lines(name: str, sink: SinkSettings) -> Lines:
    """The sink's endpoints, not connected yet. Needs a running event loop."""
    if sink.kind == "http":
        return Lines(name, _nodes(sink), _rules(sink.breaker))
    pause = CircuitRules(1, 1, 1.0, sink.breaker.open.total_seconds(), sink.breaker.longest_open.total_seconds(), 1)
    return Lines(name, [_other(sink)], pause)  # the one way there is: what does not work is waited for


def open_courier(name: str, sink: SinkSettings, lines: Lines, book: LedgerBook, clock: Clock | None = None) -> Courier:
    """The sink's courier."""
    retry = sink.retry
    return Courier(
        name,
        lines,
        book,
        rules=RetryRules(
            throttled_retries=retry.throttled,
            transient_retries=retry.transient,
            transient_base_s=retry.transient_base.total_seconds(),
            outage_retries=retry.outage,
        ),
        pace=Pace(sink.rate_skus_per_s),
        max_concurrency=1 if sink.kind == "files" else sink.max_concurrency,
        drop=Drop(sink.drop_dir, name) if sink.drop_dir else None,
        clock=clock,
    )


def _nodes(sink: SinkSettings) -> Sequence[Endpoint]:
    session = open_session(sink.token.get_secret_value() if sink.token else None)
    return [HttpEndpoint(url, session) for url in sink.urls]


def _other(sink: SinkSettings) -> Endpoint:
    if sink.kind == "files":
        assert sink.directory is not None
        return FilesEndpoint(sink.directory, sink.format)
    from batcher.delivery.postgres_sink import PostgresEndpoint

    assert sink.dsn is not None
    return PostgresEndpoint(sink.dsn.get_secret_value(), sink.table, sink.max_concurrency)


def _rules(breaker: BreakerSettings) -> CircuitRules:
    return CircuitRules(
        window=breaker.window,
        minimum_calls=breaker.minimum_calls,
        failure_ratio=breaker.failure_ratio,
        open_s=breaker.open.total_seconds(),
        longest_open_s=breaker.longest_open.total_seconds(),
        probes=breaker.probes,
    )
