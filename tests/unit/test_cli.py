"""The command line's pure parts: settings and their errors, lines and keys, the topic plan, drains, what is printed."""

import csv
import io
import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from console.configuration import effective, load_settings, parse_sets, unknown_variables
from console.demo import only_settings, write_settings
from console.demo_report import class_table, movers
from console.drain_steps import announced, close_instant, unfinished, unfulfilled, unread, untaken
from console.errors import UsageError
from console.lines import KeyField, key_reader, read_lines
from console.main import app, explain, report
from console.progress import Meter, duration_text
from console.result_formats import Format, encode, fastest
from console.screen import plain_table
from console.times import parse_duration, parse_instant
from runtime.refusals import TopicRefused
from runtime.settings import Settings
from runtime.store import StoreUnavailable
from runtime.topic_plan import Remedy, TopicFacts, TopicPlan, plan
from schemas.records import ControlRecord, Counts, Frontier, OpenWindow
from schemas.sources import Source
from schemas.topics import TOPICS

HOUR = 3_600_000


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No setting from outside, no `velocity.toml` but the test's own."""
    for name in [name for name in os.environ if name.startswith("VELOCITY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield
    os.environ.pop("VELOCITY_CONFIG_FILE", None)


# -- settings ------------------------------------------------------------------------------------------------------


def origins(*sets: str) -> dict[str, str]:
    """Where each setting that is no default comes from."""
    rows = effective(load_settings(sets), parse_sets(sets))
    return {name: origin for name, _, origin in rows if origin != "default"}


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One setting given in all places, and one in each of them; every value says where it comes from."""
    toml = '[window]\nspec = "PT15M"\nidle_timeout = "PT2M"\n[stream]\nhttp_port = 1\n'
    (tmp_path / "velocity.toml").write_text(toml)
    monkeypatch.setenv("VELOCITY_WINDOW__SPEC", "PT30M")
    monkeypatch.setenv("VELOCITY_STREAM__HTTP_PORT", "2")
    settings = load_settings(["window.spec=local-day"])
    assert (settings.window.spec, settings.stream.http_port) == ("local-day", 2)
    assert settings.window.idle_timeout.total_seconds() == 120
    assert origins("window.spec=local-day") == {
        "window.spec": "flag",
        "stream.http_port": "VELOCITY_STREAM__HTTP_PORT",
        "window.idle_timeout": "velocity.toml",
    }


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("window.spec=PT7H", ["window.spec is 'PT7H'", "does not divide a day"]),
        ("window.idle_policy=wait", ["window.idle_policy", "'advance' or 'hold'"]),
        ("window.idle_timeout=10", ["window.idle_timeout is '10'", "ISO 8601"]),
        ("window.idle_timeout=soon", ["window.idle_timeout", "ISO 8601, such as PT10M"]),
        ("stream.chunk_records=1", ["stream.chunk_records is '1'", "5000"]),
        ("windows.spec=PT1H", ["windows", "no such setting"]),
        ("window.spek=PT1H", ["window.spek", "no such setting (did you mean window.spec?)"]),
        ("default_time_zone=Mars", ["default_time_zone", "not an IANA time zone"]),
        ("window.spec", ["NAME=VALUE"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(flag: str, words: list[str]) -> None:
    """Instead of a traceback; the exit code is that of a usage error."""
    with pytest.raises(UsageError) as refused:
        load_settings([flag])
    assert all(word in str(refused.value) for word in words)
    assert refused.value.exit_code == 2


def test_a_shorthand_shows_as_the_origin_of_what_it_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """`VELOCITY_SKU_PATTERN` is short for `intake.sku_pattern`."""
    monkeypatch.setenv("VELOCITY_SKU_PATTERN", "[0-9]+")
    assert origins() == dict.fromkeys(("intake.sku_pattern", "sku_pattern"), "VELOCITY_SKU_PATTERN")


def test_a_file_that_is_no_toml_and_one_that_is_missing_are_usage_errors(tmp_path: Path) -> None:
    """Both are named."""
    (tmp_path / "velocity.toml").write_text("[window\n")
    with pytest.raises(UsageError, match=r"velocity\.toml is not TOML"):
        load_settings()
    with pytest.raises(UsageError, match=r"other\.toml: there is no such file"):
        load_settings(file=Path("other.toml"))


def test_secrets_are_masked_and_never_shown_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither `config`, nor its JSON, nor a complaint repeats a password."""
    monkeypatch.setenv("VELOCITY_KAFKA__SASL_PASSWORD", "hunter2")
    for arguments in (["config"], ["config", "--json"]):
        said = CliRunner().invoke(app, arguments).output
        assert "sasl_password" in said
        assert "hunter2" not in said
    with pytest.raises(UsageError) as refused:
        load_settings(['kafka.sasl_password={"hunter2": 1}'])
    assert "hunter2" not in str(refused.value)


def test_a_misspelt_variable_is_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """One underscore where two belong would otherwise silently do nothing."""
    monkeypatch.setenv("VELOCITY_WINDOW_SPEC", "PT15M")
    monkeypatch.setenv("VELOCITY_TOPICS__PARTITIONS__ORDERS", "12")
    assert unknown_variables() == ["VELOCITY_WINDOW_SPEC (did you mean VELOCITY_WINDOW__SPEC?)"]


def test_json_output_of_config_is_the_settings_tree() -> None:
    """As the settings are nested, so is the JSON."""
    said = CliRunner().invoke(app, ["--set", "window.spec=PT15M", "config", "--json"])
    assert json.loads(said.stdout)["window"]["spec"] == "PT15M"


# -- exit codes and help ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UsageError("no"), 2, "usage: no"),
        (TopicRefused("no"), 3, "refused: no"),
        (StoreUnavailable("full"), 1, "failed: batch store: full"),
        (KafkaException(KafkaError(KafkaError._TRANSPORT)), 1, "VELOCITY_KAFKA__BOOTSTRAP_SERVERS"),
    ],
)
def test_errors_become_exit_codes_and_sentences(
    error: Exception, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a traceback, on standard error."""
    assert report(error) == code
    said = capsys.readouterr()
    assert words in said.err
    assert "Traceback" not in said.err
    assert not said.out


def test_an_error_nobody_foresaw_comes_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """So that it can be reported."""
    try:
        raise ZeroDivisionError("oops")
    except ZeroDivisionError as error:
        assert explain(error) is None
        assert report(error) == 1
    assert "Traceback" in capsys.readouterr().err


def commands(prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command, as the help lists them."""
    import typer.main

    def walk(command: object, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        children = getattr(command, "commands", None)
        return [path] if children is None else [p for name, c in children.items() for p in walk(c, (*path, name))]

    return walk(typer.main.get_command(app), prefix)


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_teaches_by_an_example(command: tuple[str, ...]) -> None:
    """`velocity COMMAND --help` shows at least one complete command line."""
    said = CliRunner().invoke(app, [*command, "--help"])
    assert said.exit_code == 0
    assert "Example" in said.stdout
    assert f"velocity {' '.join(command)}" in said.stdout


def test_unknown_commands_and_options_are_usage_errors() -> None:
    """Exit 2."""
    assert CliRunner().invoke(app, ["nonsense"]).exit_code == 2
    assert CliRunner().invoke(app, ["config", "--nonsense"]).exit_code == 2


# -- lines and keys ----------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line)), st.booleans())
def test_lines_are_what_stands_between_newlines(lines: list[bytes], ended: bool) -> None:
    """Byte for byte, empty ones too; a newline at the end ends the last line and begins none."""
    text = b"\n".join(lines) + (b"\n" if lines and (ended or not lines[-1]) else b"")
    assert list(read_lines(io.BytesIO(text), 100)) == lines


def test_a_line_that_is_too_long_costs_only_itself() -> None:
    """None takes its place, whatever its length; the lines around it are read."""
    text = b"a\n" + b"x" * 11 + b"\n" + b"y" * 10 + b"\r\n" + b"z" * 10 + b"\n" + b"w" * 3_000_000
    assert list(read_lines(io.BytesIO(text), 11)) == [b"a", b"x" * 11, b"y" * 10 + b"\r", b"z" * 10, None]
    assert list(read_lines(io.BytesIO(text), 10)) == [b"a", None, None, b"z" * 10, None]


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (b'{"sku": "85123A"}', b"85123A"),
        (b'{"sku": " 85123a "}', b" 85123a "),
        (b'{"sku": "K\\u00f6ln \\"x\\""}', 'Köln "x"'.encode()),
        (b'{"sku": ""}', b""),
        (b'{"sku": 85123}', b"85123"),
        (b'{"sku": -1.50}', b"-1.50"),
        (b'{"sku": null}', None),
        (b'{"sku": true}', None),
        (b'{"sku": {"a": 1}}', None),
        (b'{"site_id": "S"}', None),
        (b'{"sku": "A"', None),
        (b'["sku"]', None),
        (b'"\xff"', None),
        (b"", None),
    ],
)
def test_the_key_is_the_fields_text_as_it_stands(line: bytes, key: bytes | None) -> None:
    """Not in canonical form, and null when it cannot be read: a bad line is sent like any other."""
    assert key_reader(KeyField.SKU)(line) == key


def test_the_key_may_be_the_site_or_none() -> None:
    """As `--key` says."""
    line = b'{"site_id": "S1", "sku": "A"}'
    assert [key_reader(field)(line) for field in KeyField] == [b"A", b"S1", None]


# -- topics ------------------------------------------------------------------------------------------------------------


def as_wanted(settings: Settings) -> dict[str, TopicFacts]:
    """The topics as `apply` would create them."""
    return {
        name: TopicFacts(name, settings.topics.partition_count(spec), {**spec.required, **spec.advised})
        for name, spec in settings.topic_specs()
    }


def differing(topic: str, partitions: int | None = None, **settings: str | int) -> TopicPlan:
    """The plan when one topic differs."""
    ours = Settings()
    found = as_wanted(ours)
    facts = found[topic]
    changes = {name.replace("_", "."): str(value) for name, value in settings.items()}
    found[topic] = TopicFacts(topic, partitions or facts.partitions, {**(facts.config or {}), **changes})
    return plan(ours, found)


def test_topics_as_they_should_be_need_nothing_and_missing_ones_are_created() -> None:
    """All eleven."""
    assert plan(Settings(), as_wanted(Settings())).differences == ()
    missing = plan(Settings(), {})
    assert {difference.remedy for difference in missing.dangers} == {Remedy.CREATE}
    assert len(missing.dangers) == len(TOPICS)


def test_a_setting_that_loses_data_endangers_one_that_does_not_is_advised() -> None:
    """Manifests that expire, compacted dead letters; against a producer's clock on a source topic."""
    for topic, changes in (
        ("velocity.batches.v1", {"retention_ms": 604_800_000}),
        ("velocity.dead-letters.v1", {"cleanup_policy": "compact"}),
        ("velocity.dead-letters.v1", {"max_message_bytes": 1_000_000}),
        ("velocity.frontiers.v1", {"cleanup_policy": "compact,delete"}),
        ("wms.orders.v1", {"cleanup_policy": "compact"}),
    ):
        (difference,) = differing(topic, **changes).dangers
        assert difference.remedy is Remedy.ALTER
    (advice,) = differing("wms.orders.v1", message_timestamp_type="CreateTime").differences
    assert not advice.endangers
    assert str(advice) == "wms.orders.v1 has message.timestamp.type=CreateTime, not LogAppendTime"


def test_keeping_more_than_asked_for_is_no_difference() -> None:
    """Putting a longer retention "right" would delete data."""
    assert not differing("velocity.dead-letters.v1", retention_ms=-1, max_message_bytes=10_000_000).differences
    assert not differing("velocity.control.v1", retention_ms=10**12).differences


def test_partition_counts_are_never_reduced_and_fixed_ones_are_refused() -> None:
    """A source may have any number; the batches topic must not have another one."""
    assert not differing("wms.orders.v1", partitions=3).differences
    (refused,) = differing("velocity.batches.v1", partitions=12).dangers
    assert (refused.remedy, refused.what) == (Remedy.NONE, "partitions")
    grown = Settings(topics={"partitions": {"orders": 12}})
    (wish,) = plan(grown, as_wanted(Settings())).differences
    assert (wish.remedy, wish.endangers, wish.wanted) == (Remedy.GROW, False, "12")
    shrunk = Settings(topics={"partitions": {"orders": 2}})
    assert not plan(shrunk, as_wanted(Settings())).differences


def test_settings_that_may_not_be_read_are_said_to_be_uncompared() -> None:
    """A cluster may not let us describe somebody else's topic."""
    found = as_wanted(Settings())
    found["wms.orders.v1"] = TopicFacts("wms.orders.v1", 6, None)
    compared = plan(Settings(), found)
    assert (compared.differences, compared.unreadable) == ((), ("wms.orders.v1",))


def test_the_dead_letter_topic_must_take_what_its_sources_do() -> None:
    """A record that is larger than we ask for is refused, and then must fit with the headers that say why."""
    (wish,) = differing("wms.returns.v1", max_message_bytes=5 << 20).dangers
    assert (wish.topic, wish.what) == ("velocity.dead-letters.v1", "max.message.bytes")
    assert int(wish.wanted) == (5 << 20) + (64 << 10)


# -- drain -------------------------------------------------------------------------------------------------------------


def frontier(partition: int, position: int, *ends: int, drain: str | None = None, **manifests: int) -> Frontier:
    """A frontier record of an orders partition with open windows that end at these hours."""
    return Frontier(
        source=Source.ORDERS,
        source_topic="o",
        source_partition=partition,
        topic_id="t",
        checkpoint_seq=1,
        position=position,
        frontier=None,
        max_event_time=None,
        committed=0,
        settings_hash="h",
        manifests={int(name[1:]): offset for name, offset in manifests.items()},
        open_windows=tuple(
            OpenWindow(
                site_id="S", start=(end - 1) * HOUR, end=end * HOUR, first_offset=0, count=1, offsets_hash="0" * 16
            )
            for end in ends
        ),
        counts=Counts(),
        last_drain=drain,
        worker_id="w",
        pipeline_version="0",
        checkpoint_at=0,
    )


def board(*frontiers: Frontier) -> dict[str, Frontier]:
    """By key."""
    return {record.key: record for record in frontiers}


def test_a_drain_waits_for_partitions_that_were_never_seen() -> None:
    """No frontier record is not the end, not even of an empty partition."""
    ends = {"o/0": 10, "o/1": 5, "o/2": 0}
    assert unread(board(frontier(0, 10)), ends) == {"o/1": 5, "o/2": 1}
    assert unread(board(frontier(0, 12), frontier(1, 4), frontier(2, 0)), ends) == {"o/1": 1}


def test_a_drain_closes_up_to_the_last_open_window_of_all() -> None:
    """Partitions that take no part do not count; nothing open, nothing to close."""
    both = board(frontier(0, 1, 3, 7), frontier(1, 1, 5))
    assert close_instant(both, {"o/0": 1, "o/1": 1}) == 7 * HOUR
    assert close_instant(both, {"o/1": 1}) == 5 * HOUR
    assert close_instant(board(frontier(0, 1)), {"o/0": 1}) is None


def test_a_drain_ends_when_all_have_said_so_and_the_batches_are_taken() -> None:
    """Every partition names its id; committed offsets have passed every manifest."""
    ends = {"o/0": 1, "o/1": 1}
    some = board(frontier(0, 1, drain="d1", p0=4, p2=1), frontier(1, 1, drain="d0", p2=9))
    assert unfulfilled(some, ends, "d1") == ["o/1"]
    last = announced(some, ends)
    assert last == {0: 4, 2: 9}
    assert untaken(last, {0: -1001, 2: 8}) == 7
    assert untaken(last, {0: 5, 2: 10}) == 0


def test_a_request_without_done_is_unfinished() -> None:
    """In the order in which they were made."""
    log = [("a", "request"), ("b", "request"), ("a", "close"), ("a", "done"), ("c", "request"), ("x", "done")]
    records = [ControlRecord(id=id_, phase=phase) for id_, phase in log]  # type: ignore[arg-type]
    assert [record.id for record in unfinished(records)] == ["b", "c"]


# -- what is printed ---------------------------------------------------------------------------------------------------


def test_a_plain_table_is_in_line_and_never_cut() -> None:
    """Numbers to the right in groups of three, text to the left, null as nothing."""
    rows = [("a" * 100, 1_234_567, True), ("b", 5, None)]
    assert plain_table(("name", "count", "ok"), rows, title="t") == [
        "t",
        f"{'name':100}      count  ok",
        f"{'a' * 100}  1,234,567  yes",
        f"{'b':100}          5",
    ]


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Rate and time left while it goes on, one line at the end; weights, not items, tell the share."""
    now = 0.0
    with Meter("produce", total=1000, unit="lines", clock=lambda: now, terminal=False) as meter:
        now = 2.0
        meter.advance(100, weight=100)
        now = 5.0
        meter.advance(150, weight=400)
        now = 10.0
    said = capsys.readouterr().err.splitlines()
    assert said == ["produce: 250 lines (50%), 50/s, 5.0 s left", "produce: 250 lines in 10 s (25/s)"]


def test_progress_in_a_terminal_and_when_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar does not fall over; an interruption says how far it came."""
    with Meter("a", total=2, terminal=True) as meter:
        meter.advance()
    with pytest.raises(KeyboardInterrupt), Meter("b", clock=lambda: 0.0, terminal=False) as meter:
        meter.reach(3, "waiting for w")
        raise KeyboardInterrupt
    assert "b: 3 records, 3,000/s – waiting for w: interrupted" in capsys.readouterr().err


def test_times_are_read_and_written() -> None:
    """Instants have an offset; durations are above zero."""
    assert parse_instant("--as-of", "2011-06-01T00:00:00+01:00") == parse_instant("--as-of", "2011-05-31T23:00:00Z")
    assert parse_duration("--timeout", "PT1M30S").total_seconds() == 90
    for text in ("2011-06-01T00:00:00", "yesterday"):
        with pytest.raises(UsageError, match="--as-of"):
            parse_instant("--as-of", text)
    for text in ("soon", "PT0S", "-PT1S"):
        with pytest.raises(UsageError, match="--timeout"):
            parse_duration("--timeout", text)
    assert [duration_text(s) for s in (0.44, 12, 200, 7500)] == ["0.4 s", "12 s", "3 min 20 s", "2 h 05 min"]


# -- results -----------------------------------------------------------------------------------------------------------


def results() -> pa.Table:
    """Two rows as the batch worker answers them, in fewer columns."""
    return pa.table(
        {
            "site_id": ["S", "S"],
            "sku": ['A,"1"', "B"],
            "order_lines": [3, 0],
            "net_units": pa.array([Decimal("1234.500"), Decimal("-1.000")], pa.decimal128(38, 3)),
            "units_per_day": [0.1 + 0.2, 0.0],
            "velocity_coefficient": [0.1, 1 / 3],
            "abc_class": ["A", "C"],
            "demand_cv": [None, 1.5],
            "xyz_class": ["X", "Z"],
            "provisional": [True, False],
            "coverage": [1.0, None],
        }
    )


def test_csv_has_every_digit_and_null_as_empty() -> None:
    """Decimals keep their places, doubles come back as they were, booleans are lower case."""
    text = encode(results(), Format.CSV).decode()
    assert text.splitlines()[1:] == [
        'S,"A,""1""",3,1234.500,0.30000000000000004,0.1,A,,X,true,1.0',
        "S,B,0,-1.000,0.0,0.3333333333333333,C,1.5,Z,false,",
    ]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [float(row["units_per_day"]) for row in rows] == results().column("units_per_day").to_pylist()


def test_json_and_parquet_hold_the_same_rows() -> None:
    """JSON has numbers for decimals; Parquet keeps their type."""
    rows = json.loads(encode(results(), Format.JSON))
    assert rows[0]["net_units"] == 1234.5
    assert (rows[0]["demand_cv"], rows[1]["provisional"]) == (None, False)
    assert pq.read_table(io.BytesIO(encode(results(), Format.PARQUET))).equals(results())


def test_the_short_table_has_the_fastest_first() -> None:
    """By velocity, not by name."""
    rows = fastest(results(), 1)
    assert rows == [("S", "B", 0, Decimal("-1.000"), 0.3333, "C", 1.5, "Z", False, None)]


# -- demo --------------------------------------------------------------------------------------------------------------


def test_the_demos_settings_file_is_read_back_and_nothing_else_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backslashes survive TOML; the environment does not reach the demo."""
    monkeypatch.setenv("VELOCITY_WINDOW__SPEC", "PT1H")
    pattern = r"\d{5}[A-Z]{0,2}"
    file = write_settings(
        tmp_path, {"sku_pattern": pattern, "window": {"spec": "local-day"}, "api": {"url": "http://x"}}
    )
    settings = only_settings(file)
    assert (settings.intake.sku_pattern, settings.window.spec, settings.api.url) == (pattern, "local-day", "http://x")


def test_the_demos_tables_add_up() -> None:
    """SKUs by class with sums; the fastest with their names."""
    assert class_table(results()) == [("A", 1, 0, 0, 1), ("B", 0, 0, 0, 0), ("C", 0, 0, 1, 1), ("all", 1, 0, 1, 2)]
    assert movers(results(), {"B": "Bunting"})[0] == ("B", "Bunting", 0.33, 0.0, "CZ")
