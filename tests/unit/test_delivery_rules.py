"""What delivery rests on, without anything that runs: settings, keys, the pace, and what an answer means."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies

from batcher.delivery.chunks import Heading, Target, chunk_count, encode_body, idempotency_key
from batcher.delivery.opening import check_sinks
from batcher.delivery.pace import Pace
from batcher.delivery.receipts import AttemptFailed, Drift, read_receipt
from console.configuration import load_settings, unknown_variables
from console.errors import UsageError
from runtime.refusals import SettingsRefused
from runtime.settings import CONFIG_FILE, Settings
from schemas.delivery import DeliveryChunk

KEY = "a" * 64
RECEIPT = {"schema_version": 1, "idempotency_key": KEY, "status": "applied", "rows": 2, "removed": 1}
HEADING = Heading(Target("wms", "S1", "rolling_30d"), "r1", 0, 1.0, "r0", 7, 1)


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sink", "said"),
    [
        ({"kind": "http"}, "sinks.wms (from flag): a sink of kind http needs urls"),
        ({"kind": "postgres"}, "a sink of kind postgres needs dsn"),
        ({"kind": "files", "directory": "/out", "urls": ["http://a"]}, "a sink of kind files has no urls"),
        ({"kind": "ftp"}, "sinks.wms.kind is 'ftp'"),
        ({"kind": "http", "urls": ["ftp://a"]}, "sinks.wms.urls.0 is 'ftp://a'"),
        ({"kind": "http", "urls": ["http://a", "http://a"]}, "urls names a node twice"),
        ({"kind": "http", "urls": ["http://a"], "chunk_skus": 0}, "sinks.wms.chunk_skus is '0'"),
        ({"kind": "http", "urls": ["http://a"], "rate_skus_per_s": 0}, "sinks.wms.rate_skus_per_s is '0'"),
        ({"kind": "http", "urls": ["http://a"], "breaker": {"minimum_calls": 50}}, "sinks.wms.breaker"),
        ({"kind": "http", "urls": ["http://a"], "horizons": []}, "horizons must name one"),
    ],
)
def test_bad_sinks_are_refused_by_name(sink: dict[str, Any], said: str) -> None:
    """Before anything starts, and with what they lack."""
    with pytest.raises(UsageError) as refused:
        load_settings([f"sinks.wms={json.dumps(sink)}"])
    assert said in str(refused.value)


def test_a_horizon_that_nobody_calculates_is_refused_at_start() -> None:
    """With those that there are."""
    sink: Any = {"kind": "files", "directory": "/out", "horizons": ["rolling_1d"]}
    with pytest.raises(SettingsRefused, match=r"sinks\.wms\.horizons: there is no horizon rolling_1d; there are roll"):
        check_sinks(Settings(sinks={"wms": sink}))


def test_a_sink_comes_from_the_environment_as_from_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lists are words with commas between them, or JSON; secrets are not shown; the variables are no strangers."""
    file = tmp_path / "velocity.toml"
    file.write_text('[sinks.wms]\nkind = "http"\nurls = ["http://a", "http://b"]\ntoken = "s3cret"\n')
    monkeypatch.setenv(CONFIG_FILE, str(file))
    from_file = Settings().sinks["wms"]
    monkeypatch.setenv(CONFIG_FILE, "")
    for urls in ("http://a, http://b", '["http://a", "http://b"]'):
        for name, value in {"KIND": "http", "URLS": urls, "TOKEN": "s3cret"}.items():
            monkeypatch.setenv(f"VELOCITY_SINKS__WMS__{name}", value)
        assert Settings().sinks["wms"] == from_file
    assert "s3cret" not in repr(from_file)
    assert [name for name in unknown_variables() if "SINKS" in name] == []


# -- keys and bodies ---------------------------------------------------------------------------------------------------


def test_a_body_is_what_a_wms_reads() -> None:
    """Rows are set in as they come from the database."""
    row = {
        **dict.fromkeys(("order_lines",), 1),
        **dict.fromkeys(("units_ordered", "units_returned", "net_units", "lines_per_day", "units_per_day"), 1.5),
        **dict.fromkeys(("normalized_lines", "velocity_coefficient", "variance_units"), 0.1),
        **{"sku": "A", "abc_class": "A", "demand_cv": None, "xyz_class": "Z", "inventory_accuracy": None},
        **{"first_seen": "2026-01-01T00:00:00Z", "provisional": True},
        **{"forward_lines": 0.2, "stable_class": "A", "count_accuracy": None},
    }
    body = encode_body(HEADING, 1, [json.dumps(row)], ["B"])
    told = msgspec.json.decode(body, type=DeliveryChunk)
    assert [msgspec.structs.asdict(one) for one in told.rows] == [row]
    assert (told.removed, told.chunk, told.chunks, told.as_of) == (["B"], 1, 1, "1970-01-01T00:00:00Z")


def test_a_key_tells_deliveries_apart_and_nothing_else() -> None:
    """The same chunk has the same key; another target, run, base, plan, number or body has another."""
    body = b"{}"
    key = idempotency_key(HEADING, 1, body)
    assert key == idempotency_key(HEADING, 1, body)
    changed = [
        Heading(Target("erp", "S1", "rolling_30d"), "r1", 0, 1.0, "r0", 7, 1),
        Heading(Target("wms", "S2", "rolling_30d"), "r1", 0, 1.0, "r0", 7, 1),
        Heading(Target("wms", "S1", "rolling_7d"), "r1", 0, 1.0, "r0", 7, 1),
        Heading(Target("wms", "S1", "rolling_30d"), "r2", 0, 1.0, "r0", 7, 1),
        Heading(Target("wms", "S1", "rolling_30d"), "r1", 0, 1.0, "full x", 7, 1),
        Heading(Target("wms", "S1", "rolling_30d"), "r1", 0, 1.0, "r0", 8, 1),
    ]
    keys = [idempotency_key(heading, 1, body) for heading in changed]
    keys += [idempotency_key(HEADING, 2, body), idempotency_key(HEADING, 1, b"[]"), key]
    assert len(set(keys)) == len(keys) == 9


@pytest.mark.parametrize(("skus", "chunks"), [(0, 0), (1, 1), (10, 1), (11, 2)])
def test_chunks_are_as_many_as_are_needed(skus: int, chunks: int) -> None:
    """Of ten SKUs each."""
    assert chunk_count(skus, 10) == chunks


# -- the pace ----------------------------------------------------------------------------------------------------------


@given(strategies.lists(strategies.tuples(strategies.integers(1, 100), strategies.floats(0, 5)), min_size=1))
def test_a_chunk_waits_for_the_time_of_the_one_before_it(chunks: list[tuple[int, float]]) -> None:
    """So many SKUs take so many seconds, during which no other chunk goes. A pause saves nothing up."""
    pace, now = Pace(50.0), 100.0
    for skus, gap in chunks:
        now += gap
        now += pace.wait_s(now)
        assert pace.wait_s(now) == pytest.approx(0, abs=1e-9)
        pace.take(skus, now)
        assert pace.wait_s(now) == pytest.approx(skus / 50.0)


def test_without_a_rate_nothing_waits() -> None:
    """And a rate of nothing is refused."""
    pace = Pace(None)
    pace.take(10**9, 0.0)
    assert pace.wait_s(0.0) == 0.0
    with pytest.raises(ValueError, match="above 0"):
        Pace(0)


# -- what an answer means ----------------------------------------------------------------------------------------------


def test_a_receipt_may_have_more_in_it_than_was_agreed_on() -> None:
    """Further fields are the WMS's own affair."""
    assert read_receipt(json.dumps({**RECEIPT, "took_ms": 3}).encode(), KEY, 2, 1).rows == 2


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({**RECEIPT, "schema_version": 2}, "expected schema_version 1; found 2"),
        ({**RECEIPT, "schema_version": "1"}, 'expected schema_version 1; found "1"'),
        ({**RECEIPT, "idempotency_key": "b"}, 'found "b"'),
        ({**RECEIPT, "rows": 3}, "expected rows 2; found 3"),
        ({**RECEIPT, "removed": 0}, "expected removed 1; found 0"),
        ({**RECEIPT, "status": "queued"}, "queued"),
        ({}, "expected schema_version 1; found null"),
        (["ok"], 'found ["ok"]'),
    ],
)
def test_drift_says_what_was_expected_and_found(answer: Any, said: str) -> None:
    """Whoever mends it needs no packet capture."""
    with pytest.raises(Drift) as drift:
        read_receipt(json.dumps(answer).encode(), KEY, 2, 1)
    assert said in str(drift.value)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"schema_version": 1', b"\xff\xfe"])
def test_what_is_not_json_may_be_tried_again(body: bytes) -> None:
    """A gateway's page, or half an answer."""
    with pytest.raises(AttemptFailed) as failed:
        read_receipt(body, KEY, 2, 1)
    assert failed.value.failure.kind == "transient"
