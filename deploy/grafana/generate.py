"""Writes dashboards/velocity.json from the table of panels below: `make dashboard`. Standard library only.

A panel is a line to read and to change; its place, its ids and what Grafana wants besides are worked out here.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "dashboards" / "velocity.json"
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH = 24
Query = tuple[str, str]  # PromQL, legend


@dataclass(frozen=True)
class Panel:
    """One panel; `queries` come with their legends, `unit` is one of Grafana's."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"


@dataclass(frozen=True)
class Row:
    """A heading, and the panels under it, `per_line` beside each other."""

    title: str
    panels: tuple[Panel, ...]
    per_line: int = 3
    height: int = 7


def _stat(title: str, description: str, unit: str, *queries: Query) -> Panel:
    return Panel(title, description, unit, queries, "stat")


def _per_second(metric: str, by: str) -> Query:
    return f"sum by ({by}) (rate({metric}[1m]))", f"{{{{{by}}}}}"


def _quantile(share: float, metric: str, legend: str) -> Query:
    return f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket[5m])))", legend


_WELL = Row(
    "Is it well?",
    (
        _stat("Workers up", "0 is a worker that does not answer", "none", ("up", "{{job}}")),
        _stat(
            "Workers ready",
            "0 is a worker that makes no progress; its /readyz says why",
            "none",
            ("velocity_worker_ready", "{{job}}"),
        ),
        _stat(
            "Backpressure",
            "1 while the stream worker does not take fetches; /readyz says why",
            "none",
            ("max(velocity_backpressure_active)", "active"),
        ),
        _stat(
            "Offsets lost to retention",
            "Records that the source deleted before they were read; `velocity audit` names them",
            "none",
            ("sum(velocity_gap_offsets_total)", "offsets"),
        ),
        _stat(
            "Event-time lag",
            "Wall clock minus the lowest frontier of a busy partition",
            "s",
            ("max(velocity_event_time_lag_seconds)", "lag"),
        ),
        _stat(
            "Lag",
            "Records between the ends of the logs and the positions",
            "short",
            ("sum(velocity_source_lag_records)", "records"),
        ),
    ),
    per_line=6,
    height=4,
)

_STREAM = Row(
    "Stream stage",
    (
        Panel(
            "Records read", "Per second, by source", "ops", (_per_second("velocity_stream_records_total", "source"),)
        ),
        Panel(
            "Bytes read", "Of record values, by source", "Bps", (_per_second("velocity_stream_bytes_total", "source"),)
        ),
        Panel(
            "Lag by source",
            "Records between the end of the log and the position",
            "short",
            (("sum by (source) (velocity_source_lag_records)", "{{source}}"),),
        ),
        Panel(
            "Dead letters",
            "Per second, by error class",
            "ops",
            (_per_second("velocity_dead_letters_total", "error_class"),),
        ),
        Panel(
            "On time and corrections",
            "Records announced per second",
            "ops",
            (
                ("sum(rate(velocity_batched_total[1m]))", "on time"),
                ("sum(rate(velocity_corrections_total[1m]))", "corrections"),
            ),
        ),
        Panel(
            "Open windows and rows in memory",
            "Bounded by `stream.buffered_records`",
            "short",
            (("sum(velocity_open_windows)", "open windows"), ("sum(velocity_buffered_rows)", "rows in memory")),
        ),
        Panel(
            "Partitions",
            "Owned and recovered; replaying their open windows after a start",
            "short",
            (("sum(velocity_owned_partitions)", "owned"), ("sum(velocity_replaying_partitions)", "replaying")),
        ),
        Panel(
            "Batch files announced",
            "Per minute, by kind",
            "short",
            (("sum by (kind) (rate(velocity_batches_total[5m])) * 60", "{{kind}}"),),
        ),
        Panel(
            "Bytes of batch files",
            "Announced, by source",
            "Bps",
            (_per_second("velocity_batch_file_bytes_total", "source"),),
        ),
        Panel(
            "Fetches: 95th percentile",
            "Waiting for and parsing a fetch, and decoding and checking it",
            "s",
            (
                _quantile(0.95, "velocity_fetch_seconds", "fetch"),
                _quantile(0.95, "velocity_fetch_decode_seconds", "decode"),
                _quantile(0.95, "velocity_encode_seconds", "encode"),
            ),
        ),
        Panel(
            "Checkpoints: 99th percentile",
            "Writing all files, making one durable, and the transaction",
            "s",
            (
                _quantile(0.99, "velocity_batch_write_seconds", "files"),
                _quantile(0.99, "velocity_file_finish_seconds", "one file: fsync and rename"),
                _quantile(0.99, "velocity_transaction_seconds", "transaction"),
            ),
        ),
        Panel(
            "Age of the oldest checkpoint",
            "Among partitions with news; `stream.checkpoint_interval` when all is well",
            "s",
            (("max(velocity_checkpoint_age_seconds)", "age"),),
        ),
        Panel(
            "Checkpoints",
            "Committed per second, by source",
            "ops",
            (_per_second("velocity_checkpoints_total", "source"),),
        ),
        Panel(
            "Trouble",
            "Checkpoints refused or lost, recoveries, fetches that were read again; per minute",
            "short",
            (
                ("sum by (reason) (rate(velocity_checkpoint_failures_total[5m])) * 60", "checkpoint: {{reason}}"),
                ("sum(rate(velocity_recoveries_total[5m])) * 60", "recoveries"),
                ("sum(rate(velocity_seek_backs_total[5m])) * 60", "read again"),
            ),
        ),
        Panel(
            "Why fetching waits",
            "The store, the broker's refusal of a checkpoint, or the batch workers' backlog",
            "short",
            (("sum by (kind) (velocity_backpressure_reasons)", "{{kind}}"),),
        ),
        Panel(
            "Waiting for a checkpoint",
            "Corrections and dead letters; beyond `stream.pending_bytes` a checkpoint comes early",
            "bytes",
            (("sum(velocity_pending_bytes)", "pending"),),
        ),
    ),
)

_BATCH = Row(
    "Batch stage",
    (
        Panel(
            "Facts loaded",
            "Per second: new ones, records whose fact was known, records whose id had another body",
            "ops",
            (
                ("sum(rate(velocity_facts_loaded_total[1m]))", "new"),
                ("sum(rate(velocity_facts_duplicate_total[1m]))", "known"),
                ("sum(rate(velocity_facts_conflicting_total[1m]))", "in conflict"),
            ),
        ),
        Panel(
            "Batches loaded",
            "Per minute, by kind",
            "short",
            (("sum by (kind) (rate(velocity_batches_loaded_total[5m])) * 60", "{{kind}}"),),
        ),
        Panel(
            "Bytes of batches read",
            "Verified and decoded",
            "Bps",
            (("sum(rate(velocity_batch_read_bytes_total[1m]))", "read"),),
        ),
        Panel(
            "Batch processing: 95th percentile",
            "From the first file of a group being read to the commit of its facts",
            "s",
            (
                _quantile(0.95, "batch_processing_duration_seconds", "load"),
                _quantile(0.95, "velocity_batch_read_seconds", "read"),
                _quantile(0.95, "velocity_insert_seconds", "insert"),
                _quantile(0.95, "velocity_recalculation_seconds", "recalculation"),
                _quantile(0.95, "velocity_publish_seconds", "publication"),
            ),
        ),
        Panel(
            "Concurrency",
            "Files being read over how many may be; batches that wait",
            "short",
            (
                ("max(concurrency_utilization)", "utilization"),
                ("sum(velocity_load_queue_depth)", "waiting"),
                ("sum(velocity_read_concurrency_limit)", "limit"),
            ),
        ),
        Panel(
            "Success of chunks",
            "Succeeded over attempted in the site's last publication or delivery; 1 when all is well",
            "percentunit",
            (("min by (site_id, sink) (chunk_success_rate)", "{{site_id}} to {{sink}}"),),
        ),
        Panel(
            "Runs",
            "Calculations per minute, by cause",
            "short",
            (("sum by (cause) (rate(velocity_runs_total[5m])) * 60", "{{cause}}"),),
        ),
        Panel(
            "Coefficients published",
            "Per second, and those that wait",
            "short",
            (
                ("sum(rate(velocity_coefficients_published_total[1m]))", "published"),
                ("sum(velocity_outbox_records)", "waiting"),
            ),
        ),
        Panel(
            "Sites due",
            "Sites that are due to be calculated",
            "short",
            (("sum(velocity_due_sites)", "due"),),
        ),
        Panel(
            "Held",
            "Sites and batches that cannot be loaded; `velocity batches` names them",
            "short",
            (("sum(velocity_held_sites)", "sites"), ("sum(velocity_held_batches)", "batches")),
        ),
        Panel(
            "Held facts",
            "Facts that wait for reference data; `velocity facts --held` names them",
            "short",
            (("sum(velocity_held_facts)", "facts"),),
        ),
        Panel(
            "Catching up",
            "Offsets of the batches topic left, after a start or a take-over",
            "short",
            (("sum(velocity_catch_up_remaining_offsets)", "offsets"),),
        ),
        Panel(
            "Trouble",
            "Batches that could not be loaded, chunks that could not be published; per minute",
            "short",
            (
                ("sum by (reason) (rate(velocity_batch_load_failures_total[5m])) * 60", "load: {{reason}}"),
                ("sum(rate(velocity_publication_failures_total[5m])) * 60", "publication"),
            ),
        ),
        Panel(
            "Memory",
            "Resident memory of the batch worker",
            "bytes",
            (("max(velocity_resident_memory_bytes)", "resident"),),
        ),
        Panel(
            "Answers: 95th percentile",
            "One answer to /api/v1/velocity/compute, and how late the event loop is",
            "s",
            (
                _quantile(0.95, "velocity_compute_seconds", "compute"),
                ("max(velocity_loop_lag_seconds)", "event loop late by"),
            ),
        ),
    ),
)

_DELIVERY = Row(
    "Delivery",
    (
        Panel("SKUs delivered", "Per second, by sink", "ops", (_per_second("velocity_delivered_rows_total", "sink"),)),
        Panel(
            "Chunks",
            "Per minute, by what became of them",
            "short",
            (("sum by (sink, outcome) (rate(velocity_delivery_chunks_total[5m])) * 60", "{{sink}}: {{outcome}}"),),
        ),
        Panel(
            "Requests",
            "Per minute, by outcome",
            "short",
            (("sum by (sink, outcome) (rate(velocity_delivery_attempts_total[5m])) * 60", "{{sink}}: {{outcome}}"),),
        ),
        Panel(
            "Requests: 95th percentile",
            "How long a sink takes for a chunk",
            "s",
            (_quantile(0.95, "velocity_delivery_seconds", "request"),),
        ),
        Panel(
            "Circuits that are not closed",
            "1 for each endpoint that is left alone or probed",
            "short",
            (
                (
                    'sum by (sink, endpoint) (velocity_delivery_circuit_state{state!="closed"})',
                    "{{sink}}: {{endpoint}}",
                ),
            ),
        ),
        Panel(
            "What chunks waited for",
            "Seconds per second, by reason",
            "s",
            (_per_second("velocity_delivery_wait_seconds_total", "reason"),),
        ),
        Panel(
            "Backlog",
            "SKUs of deliveries in hand that are not acknowledged",
            "short",
            (("sum by (sink) (velocity_delivery_backlog_skus)", "{{sink}}"),),
        ),
        Panel(
            "Age of what is not acknowledged",
            "For how long a published run has been there that the sink does not have; a day when it is off-peak only",
            "s",
            (("max by (sink) (velocity_delivery_age_seconds)", "{{sink}}"),),
        ),
        Panel(
            "Given up and stopped",
            "Chunks that failed; sinks whose API has changed",
            "short",
            (
                ("sum by (sink) (velocity_delivery_failed_chunks)", "{{sink}}: chunks failed"),
                ("max by (sink) (velocity_sink_stopped)", "{{sink}}: stopped"),
            ),
        ),
    ),
)

ROWS = (_WELL, _STREAM, _BATCH, _DELIVERY)


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in ROWS:
        panels.append(_placed({"type": "row", "title": row.title, "collapsed": False}, len(panels), 0, top, WIDTH, 1))
        top += 1
        width = WIDTH // row.per_line
        for index, panel in enumerate(row.panels):
            line, column = divmod(index, row.per_line)
            left, at = column * width, top + line * row.height
            panels.append(_placed(_content(panel), len(panels), left, at, width, row.height))
        top += -(-len(row.panels) // row.per_line) * row.height
    return {
        "uid": "velocity",
        "title": "Velocity",
        "tags": ["velocity"],
        "timezone": "browser",
        "schemaVersion": 39,
        "version": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": panels,
    }


def _placed(panel: dict[str, Any], index: int, left: int, top: int, width: int, height: int) -> dict[str, Any]:
    return {"id": index + 1, **panel, "gridPos": {"h": height, "w": width, "x": left, "y": top}}


def _content(panel: Panel) -> dict[str, Any]:
    content = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": DATASOURCE, "expr": expression, "legendFormat": legend}
            for number, (expression, legend) in enumerate(panel.queries)
        ],
    }
    if panel.kind == "stat":
        content["options"] = {"colorMode": "background", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return content


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
    sys.stdout.write(f"{FILE.name}: {sum(len(row.panels) for row in ROWS)} panels\n")
