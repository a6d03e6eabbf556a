"""What the intake accepts and as what, what it refuses and as what, and that it cannot be held up."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest

from runtime.settings import IntakeSettings
from sandbox.generated_feed import generated_feed
from sandbox.malformed import MALFORMED_KINDS, NESTING_LIMIT, RECORD_LIMIT_BYTES, MalformedKind, json_line
from schemas.errors import ErrorClass
from schemas.packed import Packed
from schemas.sources import FIELDS, Source
from streams.event_times import END_MS
from streams.intake import Fault, Intake, IntakeRules

RULES = IntakeRules.from_settings(IntakeSettings())
INTAKES = {source: Intake(source, RULES) for source in Source}
ORDERS = INTAKES[Source.ORDERS]
NOW_MS = 1_767_225_600_000  # 2026-01-01, later than any event here but those from the future


def order(**texts: str | None) -> bytes:
    """A right order with some fields replaced by other JSON texts, or left out (None)."""
    return json_line(Source.ORDERS, texts)


def verdict(line: bytes | None, source: Source = Source.ORDERS, timestamp_ms: int = NOW_MS) -> str:
    """`accepted`, or class and path; both gates agree on it."""
    intake = INTAKES[source]
    judged = intake.judge(line, timestamp_ms)
    decoded = intake.decode(Packed.of([line]), [timestamp_ms], [0])
    assert [(r.error_class, r.path) for r in decoded.rejections] == ([judged[:2]] if isinstance(judged, Fault) else [])
    return f"{judged.error_class} {judged.path}" if isinstance(judged, Fault) else "accepted"


def message(line: bytes | None, timestamp_ms: int = NOW_MS) -> str:
    fault = ORDERS.judge(line, timestamp_ms)
    assert isinstance(fault, Fault)
    return fault.message


def value_of(field: str, line: bytes, source: Source = Source.ORDERS) -> Any:
    """What an accepted record has in a field."""
    row = INTAKES[source].judge(line, NOW_MS)
    assert not isinstance(row, Fault), row
    (from_table,) = INTAKES[source].decode(Packed.of([line]), [NOW_MS], [0]).table.column(field).to_pylist()
    by_hand = row[[rule.name for rule in FIELDS[source]].index(field)]
    assert from_table == by_hand
    return by_hand


# -- what is accepted --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "row"),
    [
        (
            Source.ORDERS,
            {"quantity": 6.0, "uom": "EA", "order_id": "536365", "line": 1, "channel": "domestic", "promo_id": None},
        ),
        (
            Source.RETURNS,
            {"quantity": 2.0, "uom": "EA", "order_id": None, "line": None, "channel": None, "return_id": "C536379"}
            | {"reason": "damaged"},
        ),
        (
            Source.CYCLE_COUNTS,
            {"uom": "EA", "count_id": "536589", "variance": -10.0, "book_quantity": 120.0, "location_id": "A-01"}
            | {"reason": None},
        ),
    ],
)
def test_an_event_becomes_a_row_of_all_its_fields(source: Source, row: Mapping[str, Any]) -> None:
    """In the order of the contract, then the offset; quantities are doubles, the time is UTC milliseconds."""
    table = INTAKES[source].decode(Packed.of([json_line(source)]), [NOW_MS], [4711]).table
    (found,) = table.to_pylist()
    assert list(found) == [*(field.name for field in FIELDS[source]), "source_offset"]
    assert found == found | row | {"site_id": "UK-DC1", "source_offset": 4711}
    assert found["event_time"] in range(1_298_974_500_000, 1_298_974_500_000 + 3 * 3_600_000, 3_600_000)


@pytest.mark.parametrize("source", Source)
def test_columns_have_the_types_that_batches_want(source: Source) -> None:
    """Also where there is no row; a column may be null where the contract says so."""
    numbers = {"event_time": pa.int64(), "line": pa.int64(), "quantity": pa.float64(), "variance": pa.float64()}
    numbers |= {"book_quantity": pa.float64()}
    fields = [pa.field(f.name, numbers.get(f.name, pa.string()), f.nullable) for f in FIELDS[source]]
    expected = pa.schema([*fields, pa.field("source_offset", pa.int64(), False)])
    spaced = json_line(source).replace(b"T1", b"t1", 1)  # known to the careful gate only
    for values in ([], [None], [json_line(source)], [spaced], [json_line(source), None, spaced]):
        count = len(values)
        assert INTAKES[source].decode(Packed.of(values), [NOW_MS] * count, list(range(count))).table.schema == expected


@pytest.mark.parametrize("source", Source)
def test_a_feed_of_right_records_is_left_to_the_fast_gate(source: Source) -> None:
    """Odd spellings of SKUs, microseconds, offsets and nulls included; else the fast gate would be none."""
    lines = [line for _, line in generated_feed(2_000).lines[source]]
    with_extra = [line[:-1] + b',"picker":{"id":[7,null]},"note":"\\u00e9 \xe2\x82\xac"}' for line in lines]
    for values in (lines, with_extra):
        decoded = INTAKES[source].decode(Packed.of(values), [NOW_MS] * len(lines), list(range(len(lines))))
        assert (decoded.table.num_rows, decoded.rejections, decoded.judged) == (len(lines), [], 0)


def test_rows_keep_the_order_of_their_records_whichever_gate_accepted_them() -> None:
    """Fast, careful, refused, fast, careful: offsets ascend, and the refused record is named by its place."""
    careful = order(event_time='"2011-03-01t10:15:00z"')
    values = [order(event_id='"0"'), careful, b"{", order(event_id='"3"'), careful]
    decoded = ORDERS.decode(Packed.of(values), [NOW_MS] * 5, [10, 11, 20, 30, 31])
    assert decoded.table.column("source_offset").to_pylist() == [10, 11, 30, 31]
    assert decoded.table.column("event_id").to_pylist() == ["0", "malformed-1", "3", "malformed-1"]
    assert [(rejection.index, rejection.stage) for rejection in decoded.rejections] == [(2, "decode")]
    assert decoded.judged == 3


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ('"85123a"', "85123A"),
        ('"  85123A\\t\\n"', "85123A"),
        ('"８５１２３ａ"', "85123A"),
        ('"\\u00a085123A\\u3000"', "85123A"),
        ('"ﬁx"', "FIX"),
        ('"ß"', "SS"),
        ('"x①"', "X1"),
    ],
)
def test_a_sku_counts_in_its_canonical_form(raw: str, canonical: str) -> None:
    """NFKC, then trimmed, then upper case."""
    assert value_of("sku", order(sku=raw)) == canonical


def test_a_sku_pattern_is_a_setting() -> None:
    """It judges the canonical form, and all of it."""
    intake = Intake(Source.ORDERS, IntakeRules.from_settings(IntakeSettings(sku_pattern=r"\d{5}[A-Z]{0,2}")))
    accepted = {
        sku: not isinstance(intake.judge(order(sku=f'"{sku}"'), NOW_MS), Fault)
        for sku in ("85123a", "22423", "POST", "851234", "85123ABC", "22423\\n")
    }
    assert accepted == {
        "85123a": True,
        "22423": True,
        "POST": False,
        "851234": False,
        "85123ABC": False,
        "22423\\n": True,
    }


def test_more_skus_than_the_fast_gate_remembers_are_read_all_the_same() -> None:
    """It forgets and starts again; nothing goes to the careful gate for it."""
    base = order(sku='"@"')
    values = [base.replace(b"@", b"a%d" % number) for number in range(70_000)]
    for _ in range(2):
        decoded = ORDERS.decode(Packed.of(values), [NOW_MS] * len(values), range(len(values)))
        assert decoded.judged == 0
        assert decoded.table.column("sku").to_pylist() == [f"A{number}" for number in range(70_000)]


@pytest.mark.parametrize("text", ["0", "-0", "0.0", "-0.0", "-0e5", "-1e-400"])
def test_no_variance_is_the_same_zero_however_it_is_written(text: str) -> None:
    """A negative zero would be another body of the same fact."""
    variance = value_of("variance", json_line(Source.CYCLE_COUNTS, {"variance": text}), Source.CYCLE_COUNTS)
    assert variance.hex() == "0x0.0p+0"


@pytest.mark.parametrize(
    ("text", "quantity"),
    [("6", 6.0), ("6.000", 6.0), ("6e2", 600.0), ("1E-3", 0.001), ("1000000000", 1e9), ("0.1", 0.1)],
)
def test_a_number_counts_by_its_value(text: str, quantity: float) -> None:
    """However it is written: three decimals are a matter of the value."""
    assert value_of("quantity", order(quantity=text)) == quantity


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    """Also where an earlier value would have been wrong."""
    line = order(quantity='"six", "quantity": 7')
    assert value_of("quantity", line) == 7.0
    assert verdict(order(quantity='7, "quantity": "six"')) == "wrong_type $.quantity"


def test_texts_may_hold_any_character_and_are_as_long_as_their_characters() -> None:
    """64 characters of four bytes are 64; NUL and line breaks are characters."""
    assert value_of("order_id", order(order_id=json.dumps("😀" * 64, ensure_ascii=False))) == "😀" * 64
    assert verdict(order(order_id=json.dumps("😀" * 65))) == "bad_format $.order_id"
    assert value_of("order_id", order(order_id='"a\\u0000\\n\\u2028"')) == "a\0\n\u2028"


# -- times -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2011-03-01T10:15:00Z", 1_298_974_500_000),
        ("2011-03-01t10:15:00z", 1_298_974_500_000),
        ("2011-03-01T10:15:00-00:00", 1_298_974_500_000),
        ("2011-03-01T15:45:00.5+05:30", 1_298_974_500_500),
        ("2011-02-28T10:16:00-23:59", 1_298_974_500_000),
        ("2011-03-01T10:15:00.1239999Z", 1_298_974_500_123),
        ("2011-03-01T10:15:00.999999999999999999999Z", 1_298_974_500_999),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:00:00-01:00", 0),
        ("2999-12-31T23:59:59.9999Z", END_MS - 1),
        ("3000-01-01T00:59:59.999+01:00", END_MS - 1),
    ],
)
def test_rfc_3339_is_read_to_the_millisecond(text: str, at_ms: int) -> None:
    """What is beyond the millisecond is cut off; the year counts in UTC."""
    assert verdict(order(event_time=f'"{text}"'), timestamp_ms=END_MS) == "accepted"
    row = ORDERS.judge(order(event_time=f'"{text}"'), END_MS)
    assert not isinstance(row, Fault) and row[3] == at_ms


@pytest.mark.parametrize(
    "text",
    [
        "2011-03-01 10:15:00Z",
        "2011-03-01T10:15:00",
        "2011-03-01T10:15Z",
        "2011-03-01T10:15:00+0000",
        "2011-03-01T10:15:00+00",
        "2011-03-01T10:15:00+24:00",
        "2011-03-01T10:15:00+00:60",
        "2011-03-01T10:15:00,5Z",
        "2011-03-01T10:15:00.Z",
        "2011-03-01T10:15:00.123456789xZ",
        "2011-03-01T24:00:00Z",
        "2011-03-01T10:60:00Z",
        "2011-02-29T10:15:00Z",
        "2011-00-01T10:15:00Z",
        "2011-03-00T10:15:00Z",
        "1900-02-29T10:15:00Z",
        "2011-W09-2T10:15:00Z",
        "20110301T101500Z",
        "2011-060T10:15:00Z",
        "11-03-01T10:15:00Z",
        "+02011-03-01T10:15:00Z",
        "２０１１-03-01T10:15:00Z",
        " 2011-03-01T10:15:00Z",
        "2011-03-01T10:15:00Z\\n",
        "2016-12-31T23:59:60Z",
        "",
    ],
)
def test_what_only_looks_like_rfc_3339_is_refused(text: str) -> None:
    """The rest of ISO 8601, days that the calendar lacks, leap seconds, digits of other scripts."""
    assert verdict(order(event_time=f'"{text}"')) == "bad_format $.event_time"


@pytest.mark.parametrize(
    "text",
    [
        *("1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00+00:01", "0000-02-29T00:00:00Z", "0001-01-01T00:00:00+23:59"),
        *("3000-01-01T00:00:00Z", "2999-12-31T23:59:59-00:01", "9999-12-31T23:59:59-23:59"),
    ],
)
def test_years_beyond_the_contract_are_out_of_range(text: str) -> None:
    """Counted in UTC, and told apart from what is no time at all."""
    assert verdict(order(event_time=f'"{text}"'), timestamp_ms=END_MS * 2) == "out_of_range $.event_time"


def test_an_event_may_be_five_minutes_ahead_of_its_kafka_timestamp() -> None:
    """The skew is a setting; one millisecond more is the future."""
    line = order(event_time='"2011-03-01T10:15:00Z"')
    assert verdict(line, timestamp_ms=1_298_974_200_000) == "accepted"
    assert ORDERS.decode(Packed.of([line]), [1_298_974_200_000], [0]).judged == 0
    assert verdict(line, timestamp_ms=1_298_974_199_999) == "future_event_time $.event_time"
    assert "300001 ms later than the record's Kafka timestamp" in message(line, 1_298_974_199_999)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MALFORMED_KINDS, ids=lambda kind: kind.name)
def test_each_malformed_kind_is_refused_for_its_reason(kind: MalformedKind) -> None:
    """Class, path and stage; in company of right records, which are accepted."""
    right = json_line(kind.source)
    decoded = INTAKES[kind.source].decode(Packed.of([right, kind.line, right]), [NOW_MS] * 3, [1, 2, 3])
    (found,) = decoded.rejections
    stage = "decode" if kind.path == "$" else "validate"
    assert (found.index, found.error_class, found.path, found.stage) == (1, kind.error_class, kind.path, stage)
    assert decoded.table.column("source_offset").to_pylist() == [1, 3]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (None, "not_json $"),
        (b"\xef\xbb\xbf" + order(), "not_json $"),
        (order() + b"," + order(), "not_json $"),
        (order() + b"\n" + order(), "not_json $"),
        (order(extra="NaN"), "not_json $"),
        (order(extra="[1,]"), "not_json $"),
        (order(extra='"\x01"'), "not_json $"),
        (order(extra='"@"').replace(b"@", b"\xff"), "encoding $"),
        (order().replace(b'"promo_id"', b'"\xc3":1,"promo_id"'), "encoding $"),
        (order(extra='"\\ud800"'), "encoding $"),
        (order(extra='"\\udc00\\ud800"'), "encoding $"),
        (order(extra='{"\\udfff":1}'), "encoding $"),
        (order(order_id='"\\ud83d"'), "encoding $"),
        (order(order_id='"\\ud83d\\ude00"'), "accepted"),
        (order(order_id='"\\\\ud83d"'), "accepted"),
        (order(extra="1e999"), "accepted"),
        (order(extra="9" * 100_000), "accepted"),
        (order(line="9" * 5_000), "out_of_range $.line"),
        (order(line="9223372036854775808"), "out_of_range $.line"),
        (order(line="9223372036854775807"), "accepted"),
        (order(line="1.0"), "wrong_type $.line"),
        (order(line="1e0"), "wrong_type $.line"),
        (order(quantity="-" + "9" * 5_000), "out_of_range $.quantity"),
        (order(quantity="1e-400"), "out_of_range $.quantity"),
        (order(quantity="1000000000.0001"), "out_of_range $.quantity"),
        (order(quantity="[6]"), "wrong_type $.quantity"),
        (order(uom='"EA "'), "unknown_unit $.uom"),
        (order(channel='""'), "bad_format $.channel"),
        (order(site_id='"UK-DC1\\n"'), "bad_format $.site_id"),
        (order(site_id='"ÜK"'), "bad_format $.site_id"),
    ],
)
def test_the_line_between_right_and_wrong(line: bytes | None, expected: str) -> None:
    """What a lenient parser would let pass, also where nobody looks, and what is odd but right."""
    assert verdict(line) == expected


def test_a_record_of_exactly_the_limit_is_accepted() -> None:
    """One MiB is allowed, one byte more is not, and the fast gate knows too."""
    bare = len(order(padding='""'))
    exact = order(padding=f'"{"x" * (RECORD_LIMIT_BYTES - bare)}"')
    assert len(exact) == RECORD_LIMIT_BYTES
    assert verdict(exact) == "accepted"
    assert verdict(exact + b" ") == "too_large $"
    assert ORDERS.decode(Packed.of([exact, order()]), [NOW_MS] * 2, [0, 1]).judged == 0


def test_nesting_is_counted_outside_of_texts() -> None:
    """A hundred levels, the record itself among them; brackets in a text are none."""
    inner = NESTING_LIMIT - 1
    assert verdict(order(extra="[" * inner + "]" * inner)) == "accepted"
    assert verdict(order(extra="[" * (inner + 1) + "]" * (inner + 1))) == "not_json $"
    assert verdict(order(extra='{"a":' * inner + "1" + "}" * inner)) == "accepted"
    assert verdict(order(extra='"' + '\\"[{' * 200 + '"')) == "accepted"
    assert verdict(order(extra="[" + ",".join(["[]"] * 200) + "]")) == "accepted"
    company = [order(), order(extra="[" * 150 + "]" * 150), order()]
    assert [r.index for r in ORDERS.decode(Packed.of(company), [NOW_MS] * 3, [0, 1, 2]).rejections] == [1]


def test_the_first_fault_in_the_order_of_the_contract_is_the_verdict() -> None:
    """And one in the record's own bytes comes before the future."""
    assert verdict(order(sku="null", quantity="0", uom=None)) == "null_field $.sku"
    assert verdict(order(quantity="0", uom=None)) == "out_of_range $.quantity"
    future = '"2999-01-01T00:00:00Z"'
    assert verdict(order(event_time=future, promo_id='""')) == "bad_format $.promo_id"
    assert verdict(order(event_time=future)) == "future_event_time $.event_time"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (None, "the record has no value"),
        (order(quantity='"3"'), 'found text "3", expected a number above 0, at most 1000000000'),
        (
            order(quantity="1.2345"),
            "found number 1.2345, expected a number above 0, at most 1000000000, with at most 3 ",
        ),
        (order(quantity="true"), "found true, expected a number"),
        (order(line="{}"), "found an object, expected an integer at least 1, at most 9223372036854775807"),
        (order(uom='"crate"'), 'found text "crate", expected one of BX CS CT DZN EA'),
        (order(event_id=f'"{"x" * 5_000}"'), f'found text "{"x" * 60}…", expected a text of 1 to 64 characters'),
        (order(order_id=None), "the field order_id is missing"),
        (order(event_time='"2016-12-31T23:59:60Z"'), "a leap second has no place"),
        (order(event_time='"2011-02-30T00:00:00Z"'), "the calendar has no such day"),
        (order(quantity="NaN"), "NaN is not JSON"),
        (b'{"a" 1}', 'at character 5, found "1}"'),
        (b'{"a":', "at character 5, found the end"),
        (b"\xef\xbb\xbf{}", "found a byte order mark"),
        (order().replace(b"536365", b"5\xff"), "found byte 0xff at 1"),
        (b'"hello"', 'found text "hello", expected an object'),
    ],
)
def test_a_message_says_what_was_found_and_what_is_expected(line: bytes | None, expected: str) -> None:
    """Clipped: a message is read in a table of dead letters."""
    assert expected in message(line)
    assert len(message(line)) < 300


@pytest.mark.parametrize(
    "line",
    [
        order(sku='"a' + "\\u0301\\u0327" * 80_000 + '"'),
        order(sku='"' + " " * 1_000_000 + '"'),
        b"[" * 1_000_000,
        b'"' + b'\\"' * 500_000 + b"[" * 101,
        order(extra="[" + "[]," * 300_000 + "0]"),
        order(extra='"' + "\\ud83d\\ude00" * 80_000 + '"'),
        order(quantity="1" * 1_000_000),
        order(quantity="0." + "1" * 1_000_000),
        order(event_time=f'"2011-03-01T10:15:00.{"9" * 1_000_000}Z"'),
        b"{" + b",".join([b'"sku":"%d"' % number for number in range(60_000)]) + b"}",
    ],
    ids=["combining", "blanks", "open", "quotes", "siblings", "pairs", "digits", "decimals", "fraction", "twice"],
)
def test_no_record_holds_a_partition_up(line: bytes) -> None:
    """Whatever a megabyte is filled with, its verdict takes no more than a moment of the processor."""
    assert len(line) <= RECORD_LIMIT_BYTES
    started = time.process_time()
    verdict(line)
    assert time.process_time() - started < 5


def test_an_unexpected_exception_is_a_verdict_of_class_internal() -> None:
    """A value that is no bytes is no record: our fault, so it says so, and it is not raised."""
    fault = ORDERS.judge("text", NOW_MS)  # type: ignore[arg-type]
    assert isinstance(fault, Fault)
    assert (fault.error_class, fault.path, fault.stage) == (ErrorClass.INTERNAL, "$", "decode")
    assert fault.message.startswith("TypeError: ")


def test_a_failure_of_the_fast_gate_costs_time_only() -> None:
    """A timestamp of 65 bits breaks it, and the careful gate gives the verdicts."""
    decoded = ORDERS.decode(Packed.of([order(), b"{"]), [2**64, NOW_MS], [0, 1])
    assert decoded.table.num_rows == 1
    assert [(rejection.index, rejection.error_class) for rejection in decoded.rejections] == [(1, ErrorClass.NOT_JSON)]
    assert decoded.judged == 2


# -- rules -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [{"sku_pattern": "[A-Z]+"}, {"unit_codes": ("EA",)}, {"max_future_skew": "PT1M"}],
    ids=lambda c: next(iter(c)),
)
def test_the_content_of_the_rules_changes_with_each_of_them(changed: dict[str, Any]) -> None:
    """It goes into the settings hash: under other rules a replay would not repeat itself."""
    other = IntakeRules.from_settings(IntakeSettings(**changed))
    assert json.dumps(other.content()) != json.dumps(RULES.content())


def test_the_content_of_the_rules_is_the_same_for_the_same_verdicts() -> None:
    """The order in which units are listed decides nothing; the version of the Unicode tables does."""
    turned = IntakeRules.from_settings(IntakeSettings(unit_codes=tuple(reversed(IntakeSettings().unit_codes))))
    assert json.dumps(turned.content()) == json.dumps(RULES.content())
    assert "unicode" in RULES.content()
