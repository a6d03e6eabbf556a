"""Requests to the batch worker: what is wrong with one is said by name; and small things that its settings mean."""

import pytest

from batcher.requests import (
    MAX_SKUS,
    BadRequest,
    ComputeRequest,
    RecalcRequest,
    read_body,
    read_horizon,
    read_instant,
    read_limit,
)
from batcher.window_list import list_windows
from batcher.worker import host_and_port
from runtime.refusals import SettingsRefused
from runtime.settings import BatchSettings
from runtime.sizes import parse_bytes
from schemas.records import Window

HOUR = 3_600_000


def test_a_request_is_read_with_its_defaults() -> None:
    """What is left out has a meaning."""
    assert read_body(b'{"skus": ["A"]}', ComputeRequest) == ComputeRequest(("A",), "rolling_30d", None, None)
    assert read_body(b'{"as_of": "x"}', RecalcRequest) == RecalcRequest("x", None, "rolling_30d", False)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{}", "missing required field `skus`"),
        (b'{"skus": []}', r"length >= 1 - at `\$.skus`"),
        (b'{"skus": [""]}', r"length >= 1 - at `\$.skus\[0\]`"),
        (b'{"skus": [1]}', "Expected `str`, got `int`"),
        (b'{"skus": ["A"], "sites": "B"}', "unknown field `sites`"),
        (b'{"skus": [' + b'"A",' * MAX_SKUS + b'"A"]}', "length <= 20000"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(body: bytes, complaint: str) -> None:
    """The field, and what was expected there."""
    with pytest.raises(BadRequest, match=complaint):
        read_body(body, ComputeRequest)


def test_parameters_are_read_or_refused_by_name() -> None:
    """Times need an offset, horizons must be known, limits are bounded."""
    assert read_instant("as_of", None) is None
    assert read_instant("as_of", "1970-01-01T01:00:00+01:00") == 0
    assert read_horizon("window", "rolling_30d", ["rolling_30d"]) == "rolling_30d"
    assert [read_limit(None, 5), read_limit("7", 5)] == [5, 7]
    with pytest.raises(BadRequest, match=r"as_of: .*2011-05-01"):
        read_instant("as_of", "2011-05-01T00:00:00")
    with pytest.raises(BadRequest, match="window: there is no horizon 'x'; there are a, b"):
        read_horizon("window", "x", ["b", "a"])
    for text in ("0", "-1", "1.5", "100001", "", "٣"):
        with pytest.raises(BadRequest, match="limit"):
            read_limit(text, 5)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("http://batch-1", ("batch-1", 80)),
        ("http://[::1]:0/", ("::1", 0)),
    ],
)
def test_the_api_listens_where_its_address_says(url: str, found: tuple[str, int]) -> None:
    """Port 0 lets the system choose."""
    assert host_and_port(url) == found


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "https://a", "http://", "http://a:port", "http://a:70000"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """The message shows it and the setting's name."""
    with pytest.raises(SettingsRefused, match="VELOCITY_API__URL"):
        host_and_port(url)


@pytest.mark.parametrize(
    ("text", "size"), [("2GB", 2_000_000_000), ("512 MiB", 512 << 20), ("1.5gb", 1_500_000_000), ("100B", 100)]
)
def test_sizes_are_read_as_duckdb_writes_them(text: str, size: int) -> None:
    """Decimal and binary units."""
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "2", "GB", "2 gigs"])
@pytest.mark.parametrize("setting", ["memory_limit", "rss_limit"])
def test_what_is_no_size_is_refused(setting: str, text: str) -> None:
    """Rather than taken for bytes, and by the name of the setting."""
    with pytest.raises(ValueError, match=setting):
        BatchSettings.model_validate({setting: text})


def test_a_limit_of_resident_memory_is_shared_out() -> None:
    """Half of it is DuckDB's at most, an eighth the table's; without one both have what their settings say."""
    assert (BatchSettings().rss_limit_bytes, BatchSettings().database_bytes) == (2 * 10**9 + (1 << 30), 2 * 10**9)
    limited = BatchSettings(rss_limit="700MB")
    assert (limited.rss_limit_bytes, limited.database_bytes, limited.keys_bytes) == (700e6, 350e6, 87_500_000)
    assert BatchSettings(rss_limit="8GB").database_bytes == 2 * 10**9


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"rss_limit": "100MB"}, "rss_limit is 100MB: a worker needs 384MiB at least"),
        ({"min_concurrency": 13}, "min_concurrency is 13 and max_concurrency 12"),
    ],
)
def test_limits_that_leave_nothing_are_refused(settings: dict[str, object], complaint: str) -> None:
    """At the start, by name."""
    with pytest.raises(ValueError, match=complaint):
        BatchSettings.model_validate(settings)


def test_windows_are_listed_with_their_state_the_latest_first() -> None:
    """
    hour      0          1          2
    batches   on time    on time
    corrected ✓
    complete  ✓
    """

    def row(hour: int, records: int, batches: int, corrections: int) -> dict[str, int]:
        counts = {"records": records, "batches": batches, "corrections": corrections}
        return {"start_ms": hour * HOUR, "end_ms": (hour + 1) * HOUR, **counts}

    by_source = [row(1, 10, 1, 1), row(0, 10, 1, 1), row(0, 10, 1, 0)]
    rows = list_windows("A", by_source, [], Window(0, HOUR))
    assert [(row.start, row.state, row.records, row.batches, row.corrections) for row in rows] == [
        ("1970-01-01T01:00:00Z", "closed", 10, 1, 1),
        ("1970-01-01T00:00:00Z", "complete", 20, 2, 1),
    ]
