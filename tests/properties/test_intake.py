"""The two gates are held together: what `decode` says of a fetch is what `judge` says of each record alone.

Records are drawn valid from the contract's table, then spoiled: odd values, odd times, odd keys, odd bytes.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from runtime.settings import IntakeSettings
from schemas.errors import ErrorClass
from schemas.packed import Packed
from schemas.sources import FIELDS, Field, FieldKind, Source
from streams.columns import column_check
from streams.event_times import END_MS, parse_time, read_times
from streams.fields import canonical_sku
from streams.intake import Fault, Intake, IntakeRules, Row
from streams.json_input import read_json
from streams.record_fault import RecordFault
from streams.sku_check import SkuCheck

RULES = IntakeRules.from_settings(IntakeSettings())
INTAKES = {source: Intake(source, RULES) for source in Source}
LATER = END_MS  # a Kafka timestamp that no event time is ahead of
SKEW_MS = 300_000

# -- what is drawn -----------------------------------------------------------------------------------------------------

FIRST_MS, LAST_MS = 86_400_000, END_MS - 2 * 86_400_000  # any offset leaves these in range
FRACTIONS = ["", ".1", ".12", ".123", ".1239999", ".999999999"]
ZONES = ["Z", "+00:00", "-00:00", "+05:30", "-23:59", "+23:59"]
ODD_PIECES = [
    ["0000", "1969", "1970", "2999", "3000", "9999", "２０１１", "999", "2O11"],
    ["00", "02", "13", "1", "1a"],
    ["00", "29", "30", "31", "32", " 1"],
    ["t", " ", "_", ""],
    ["24", "25", "7"],
    ["60", "٠٠", ":0"],
    ["60", "61", ""],
    [".", ".12345678901234567890", ",123", ".12a", ".123456789x", ".1é", ".１２３"],
    ["", "z", "+24:00", "+05:60", "+0530", "+05", " Z", "ZZ", "+05:30:00", "−05:00"],
]


@st.composite
def times(draw: st.DrawFn) -> str:
    """RFC 3339; in one of four cases something that looks like it."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=draw(st.integers(FIRST_MS, LAST_MS)))
    clock = [f"{part:02}" for part in (at.month, at.day, at.hour, at.minute, at.second)]
    pieces = [
        f"{at.year:04}",
        *clock[:2],
        "T",
        *clock[2:],
        draw(st.sampled_from(FRACTIONS)),
        draw(st.sampled_from(ZONES)),
    ]
    if draw(st.integers(0, 3)) == 3:
        place = draw(st.integers(0, len(pieces) - 1))
        pieces[place] = draw(st.sampled_from(ODD_PIECES[place]))
    year, month, day, separator, hour, minute, second, fraction, zone = pieces
    return f"{year}-{month}-{day}{separator}{hour}:{minute}:{second}{fraction}{zone}"


def quoted(*texts: str) -> list[bytes]:
    """Texts as JSON, in both ways to write what is not ASCII."""
    return [json.dumps(text, ensure_ascii=escaped).encode() for text in texts for escaped in (False, True)]


def identifiers(field: Field) -> Iterator[str]:
    """Of the shortest, the longest and some other lengths, in characters of one to four bytes and NUL."""
    low, high = int(field.minimum or 0), int(field.maximum or 0)
    for length in (3, low, high, 17):
        yield from (character * length for character in 'aé漢😀\0"\\\n/ \x7f\u2028')


def right_values(field: Field) -> list[bytes]:
    """JSON texts that are right for a field, the plainest first."""
    match field.kind:
        case FieldKind.IDENTIFIER:
            values = quoted(*identifiers(field))
        case FieldKind.SITE:
            values = quoted("UK-DC1", "a", "0_-", "S" * 32)
        case FieldKind.SKU:
            values = quoted("85123A", " 85123a\t", "８５１２３Ａ", "ﬁx", "x" * 64, "ß", "a.b_c/d-e", " " * 200 + "x")
        case FieldKind.TIME:
            clocks = ["2011-03-01T10:15:00", "2024-02-29T23:59:59", "1970-01-02T00:00:00", "2999-12-30T12:00:00"]
            values = quoted(*(clock + fraction + zone for clock in clocks for fraction in FRACTIONS for zone in ZONES))
            values += quoted("2011-03-01t10:15:00.123456789012z")
        case FieldKind.UNIT:
            values = quoted(*sorted(RULES.unit_codes))
        case FieldKind.INTEGER:
            values = [b"1", b"7", b"9223372036854775807"]
        case FieldKind.DECIMAL:
            values = [
                b"6",
                b"0.1",
                b"12.345",
                b"1e9",
                b"1E-3",
                b"0.100",
                b"999999999.999",
                b"6.0",
                b"1000000000",
                b"5e+2",
            ]
            values += [b"0", b"-0.0", b"-0", b"0e9"] if field.above is None else []
    return [*values, b"null"] if field.nullable else values


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


ODD_VALUES = [
    *[b"null", b"true", b"{}", b"[]", b'""', b'"3"', b'" "', b'"EA"', b"0", b"-0", b"-0.0", b"1.0", b"1e0", b"10E-1"],
    *[b"1e400", b"-1e400", b"1e-400", b"9" * 25, b"9" * 700, b"-" + b"9" * 5000, b"9223372036854775807"],
    *[b"9223372036854775808", b"0.0005", b"1000000000", b"1000000000.001", b"1e9", b"0.1000000000000000055511151231"],
    *[b"NaN", b"Infinity", b"-Infinity", b"01", b"1.", b"+1", b".5", b"0x1", b"tru", b"'x'", b"", b"1 2", b"1,2"],
    *[rb'"\ud800"', rb'"\udc00\ud800"', rb'"\ud83d\ude00"', rb'"\\ud800"', rb'"\ud800\\udc00"', rb'"\u0000"'],
    *[rb'"a\"b\/c"', rb'"\q"', rb'"\u12g4"', b'"\x01"', b'"\x7f"', b'"a\nb"', b'"open', b'"\xff"', b'"\xed\xa0\x80"'],
    *[b'"\xc3"', b'"\xc0\xaf"', '"é\u0301漢😀"'.encode(), b'"' + b"x" * 65 + b'"', b'"' + b"y" * 257 + b'"'],
    *[nested(98), nested(99), nested(100), nested(101), nested(2000), b"[" * 150, b'"' + b"[" * 150 + b'"'],
    *[b'[{"a":[1,{"b":null}]}]', b"[1,]", b'{"a":1,}', b'{"a"}', b"{1:1}", b"[1 2]", rb'{"\ud800":1}', b'{"\xff":1}'],
]
ODD_KEYS = [
    b'"extra"',
    b'"SKU"',
    b'"sku "',
    rb'"sk\u0075"',
    rb'"\ud800"',
    b'"\xff"',
    b'"quantity"',
    b'"line"',
    b'"uom"',
]
FRAMES = [
    b"%b",
    b" \n\t\r%b\r\n",
    b"[%b]",
    b"%b x",
    b"%b%b",
    b"%b,%b",
    b"\xef\xbb\xbf%b",
    b"\x00%b",
    b"%b\x00",
    b"\x0b%b",
]


Members = list[tuple[bytes, bytes]]


@cache
def members(source: Source) -> st.SearchStrategy[Members]:
    """Keys and values of an event, all right."""
    keys = [json.dumps(field.name).encode() for field in FIELDS[source]]
    values = [st.sampled_from(right_values(field)) for field in FIELDS[source]]
    return st.tuples(*values).map(lambda drawn: list(zip(keys, drawn, strict=True)))


def line_of(pairs: Members, colon: bytes = b":", comma: bytes = b",") -> bytes:
    """The JSON object."""
    return b"{" + comma.join(key + colon + value for key, value in pairs) + b"}"


@st.composite
def spoiled_members(draw: st.DrawFn, source: Source) -> Members:
    """With one or two of them odd, doubled, missing, extra, or in another order."""
    pairs = draw(members(source))
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(pairs) - 1))
        odd = draw(st.sampled_from(ODD_VALUES))
        match draw(st.sampled_from(["spoil", "extra", "double", "drop", "shuffle"])):
            case "spoil":
                pairs[place] = (pairs[place][0], odd)
            case "extra":
                pairs.insert(place, (draw(st.sampled_from(ODD_KEYS)), odd))
            case "double":
                pairs.insert(place, (draw(st.sampled_from(pairs))[0], odd))
            case "drop":
                del pairs[place]
            case _:
                pairs = draw(st.permutations(pairs))
    return pairs


@st.composite
def spoiled_lines(draw: st.DrawFn, source: Source) -> bytes:
    """Cut short, with bytes in between, or in a frame."""
    line = line_of(draw(members(source)))
    place = draw(st.integers(0, len(line)))
    match draw(st.sampled_from(["cut", "insert", "frame"])):
        case "cut":
            return line[:place]
        case "insert":
            return line[:place] + draw(st.binary(min_size=1, max_size=2)) + line[place:]
        case _:
            return draw(st.sampled_from(FRAMES)).replace(b"%b", line)


@cache
def records(source: Source) -> st.SearchStrategy[bytes | None]:
    """Values of records: half of them right."""
    spaces = st.sampled_from([(b":", b","), (b": ", b", "), (b"\n:\t", b"\r\n, ")])
    right = st.builds(lambda pairs, space: line_of(pairs, *space), members(source), spaces)
    odd = spoiled_members(source).map(line_of)
    return right | right | odd | spoiled_lines(source) | st.sampled_from([None, *ODD_VALUES])


# -- the gates ---------------------------------------------------------------------------------------------------------


def bits(row: Row) -> list[Any]:
    """A row whose doubles are compared to the bit: -0.0 is not 0.0."""
    return [value.hex() if isinstance(value, float) else value for value in row]


@pytest.mark.parametrize("source", Source)
@given(data=st.data())
def test_a_fetch_is_judged_as_each_of_its_records_alone(source: Source, data: st.DataObject) -> None:
    """Same verdicts, same rows to the bit, in the order of the records, each record in exactly one of the two."""
    intake = INTAKES[source]
    values = data.draw(st.lists(records(source), max_size=12))
    clocks = data.draw(st.lists(st.sampled_from([LATER, LATER, LATER, 0, 1_300_000_000_000]), min_size=12, max_size=12))
    timestamps = clocks[: len(values)]
    offsets = [7 + 3 * index for index in range(len(values))]
    decoded = intake.decode(Packed.of(values), timestamps, offsets)
    verdicts = [intake.judge(value, timestamp) for value, timestamp in zip(values, timestamps, strict=True)]
    expected = [
        [*bits(verdict), offset]
        for verdict, offset in zip(verdicts, offsets, strict=True)
        if not isinstance(verdict, Fault)
    ]
    assert [bits(tuple(row.values())) for row in decoded.table.to_pylist()] == expected
    found = [(r.index, Fault(r.error_class, r.path, r.message, r.stage)) for r in decoded.rejections]
    assert found == [(index, verdict) for index, verdict in enumerate(verdicts) if isinstance(verdict, Fault)]
    event(f"accepted fast: {len(values) > decoded.judged}; refused: {len(found) > 0}")


@pytest.mark.parametrize("source", Source)
@given(data=st.data())
def test_every_record_gets_a_verdict_that_can_be_sent(source: Source, data: st.DataObject) -> None:
    """Never `internal`, never an exception; path and message are texts that a Kafka header takes."""
    verdict = INTAKES[source].judge(data.draw(records(source)), LATER)
    if isinstance(verdict, Fault):
        assert verdict.error_class is not ErrorClass.INTERNAL
        assert verdict.path == "$" or verdict.path.removeprefix("$.") in {field.name for field in FIELDS[source]}
        assert verdict.stage == ("decode" if verdict.path == "$" else "validate")
        assert 0 < len(verdict.message.encode("utf-8")) < 2_000
        event(verdict.error_class)
    else:
        assert len(verdict) == len(FIELDS[source])


@pytest.mark.parametrize("source", Source)
@given(data=st.data())
def test_an_accepted_row_is_accepted_again_as_it_is(source: Source, data: st.DataObject) -> None:
    """The values that count are themselves valid: a row written down as JSON is the same row."""
    verdict = INTAKES[source].judge(line_of(data.draw(members(source))), LATER)
    assert not isinstance(verdict, Fault)
    event_again: dict[str, Any] = dict(zip((field.name for field in FIELDS[source]), verdict, strict=True))
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=event_again["event_time"])
    event_again["event_time"] = at.isoformat(timespec="milliseconds")
    assert INTAKES[source].judge(json.dumps(event_again).encode(), LATER) == verdict


@given(ahead_ms=st.integers(-(10**6), 10**6) | st.sampled_from([SKEW_MS - 1, SKEW_MS, SKEW_MS + 1]))
def test_an_event_time_may_be_ahead_of_the_kafka_timestamp_by_the_skew_and_no_more(ahead_ms: int) -> None:
    """Both gates draw the line at the same millisecond."""
    line = (
        b'{"event_id":"1","site_id":"S","sku":"A","event_time":"2011-03-01T10:15:00.000Z","quantity":1,"uom":"EA",'
        b'"order_id":"1","line":1}'
    )
    timestamp = 1_298_974_500_000 - ahead_ms
    decoded = INTAKES[Source.ORDERS].decode(Packed.of([line]), [timestamp], [0])
    refused = [ErrorClass.FUTURE_EVENT_TIME] if ahead_ms > SKEW_MS else []
    assert [rejection.error_class for rejection in decoded.rejections] == refused
    assert decoded.table.num_rows == 1 - len(refused)


# -- their parts -------------------------------------------------------------------------------------------------------


def parsed(text: str) -> int | None:
    """Milliseconds, or None where the text is no RFC 3339 time."""
    try:
        return parse_time(text, "$")
    except RecordFault as fault:
        assert fault.error_class is ErrorClass.BAD_FORMAT
        return None


@given(st.lists(times(), min_size=1, max_size=30))
def test_times_read_by_column_are_those_read_one_by_one(texts: list[str]) -> None:
    """What is certain is right and in range; capital, up to nine decimals and in range is certain."""
    column = pa.array(["", *texts]).slice(1)
    instants, certain = read_times(column)
    assert column.to_pylist() == texts
    for text, instant, is_certain in zip(texts, instants.tolist(), certain.tolist(), strict=True):
        at_ms = parsed(text)
        plain = re.fullmatch(r".{10}T.{8}(\.\d{1,9})?(Z|[+-].{5})", text) is not None
        assert is_certain == (plain and at_ms is not None and 0 <= at_ms < END_MS)
        assert not is_certain or instant == at_ms


@pytest.mark.parametrize("fraction", ["", ".999", ".000001"])
@pytest.mark.parametrize("year", ["0970", "1400", "1969", "1970", "2262", "2263", "2580", "2601", "2999", "3000"])
def test_far_years_of_one_form_are_read_as_any_others(year: str, fraction: str) -> None:
    """Microseconds since 1970, times a thousand, wrap around from 2262 on."""
    text = f"{year}-03-01T10:15:00{fraction}Z"
    instants, certain = read_times(pa.array([text]))
    at_ms = parsed(text)
    assert at_ms is not None
    assert certain.tolist() == [0 <= at_ms < END_MS]
    assert not certain[0] or instants.tolist() == [at_ms]


@given(st.data())
def test_times_of_one_form_are_read_as_any_others(data: st.DataObject) -> None:
    """A column that looks alike takes a shorter way, unless a character of it is something else."""
    fraction = data.draw(st.sampled_from(["", ".123", ".999", ".123456", ".12", ".123456789"]))
    moments = data.draw(st.lists(st.integers(FIRST_MS, LAST_MS), min_size=1, max_size=6))
    clocks = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at) for at in moments]
    texts = [f"{at:%Y-%m-%dT%H:%M:%S}{fraction}Z" for at in clocks]
    if data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(texts[0]) - 1))
        texts[-1] = texts[-1][:place] + data.draw(st.sampled_from([*"0123459+-:. TZtz", "é"])) + texts[-1][place + 1 :]
    instants, certain = read_times(pa.array(["", *texts]).slice(1))
    for text, instant, is_certain in zip(texts, instants.tolist(), certain.tolist(), strict=True):
        at_ms = parsed(text)
        assert not is_certain or instant == at_ms
        assert is_certain or at_ms is None or not 0 <= at_ms < END_MS or not text.isupper()


PATTERNS = [
    r"[A-Z0-9][A-Z0-9._/-]{0,63}",
    r"\d{2}[A-Z]{0,2}",
    r"A|(?:B1?|C)+",
    r".{3}",
    r"[^B]*",
    r"[A-Z]+?",
    r"[A-Z]{2000}|A",
    r"A{,2}",
    r"(?i:a)b",
    r"\w+",
    r"A$",
    r"(?i)a",
    r"[A-Z]?" * 30 + "$",
    r"",
]


@given(st.sampled_from(PATTERNS), st.lists(st.text("AB1.`_-", max_size=4) | st.text(max_size=3), max_size=6))
def test_skus_read_by_column_are_those_read_one_by_one(pattern: str, texts: list[str]) -> None:
    """Whatever the pattern; what is certain is right, and what is right is certain."""
    check = SkuCheck(pattern)
    values, certain = check(pa.array(["", *texts]).slice(1))
    expected = [canonical_sku(text, re.compile(pattern)) for text in texts]
    sure = [True] * len(texts) if certain is None else certain.tolist()
    assert sure == [sku is not None for sku in expected]
    assert values.filter(pa.array(sure, pa.bool_())).to_pylist() == [sku for sku in expected if sku is not None]


@given(times())
def test_a_time_is_the_instant_that_python_reads(text: str) -> None:
    """Where RFC 3339 and `datetime.fromisoformat` both know it; digits beyond the millisecond are cut off."""
    at_ms = parsed(text)
    assume(at_ms is not None and not text.startswith("0000"))
    assert at_ms is not None
    form = re.fullmatch(r"(.{19})(?:\.(\d+))?(.*)", text)
    assert form is not None
    clock, fraction, zone = form.groups()
    local = datetime.fromisoformat(clock.upper()).replace(tzinfo=UTC)
    offset = timedelta() if zone in "Zz" else datetime.fromisoformat(f"2000-01-01T00:00:00{zone}").utcoffset()
    assert offset is not None
    whole = (local - datetime(1970, 1, 1, tzinfo=UTC) - offset) // timedelta(milliseconds=1)
    assert at_ms == whole + int((fraction or "0").ljust(3, "0")[:3])


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(value=json_values, escaped=st.booleans(), data=st.data())
def test_json_is_read_as_another_strict_parser_reads_it(value: Any, escaped: bool, data: st.DataObject) -> None:
    """Valid and slightly spoiled texts: the same value as msgspec, or refused by both."""
    text = json.dumps(value, ensure_ascii=escaped).encode()
    if data.draw(st.booleans()):
        begin, end = sorted(data.draw(st.integers(0, len(text))) for _ in range(2))
        filling = data.draw(
            st.sampled_from([b"", b'"', b"\\", b"[", b"}", b",", b" ", b"0", b"-", b".", b"e9", b"\\ud800"])
        )
        text = text[:begin] + filling + text[end:]
    try:
        expected = msgspec.json.decode(text)
        text.decode("utf-8")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        assume("Number out of range" not in str(error))  # legal JSON: what it means is the field's matter
        with pytest.raises(RecordFault) as fault:
            read_json(text)
        assert fault.value.error_class in (ErrorClass.NOT_JSON, ErrorClass.ENCODING)
    else:
        assert read_json(text) == expected


@given(st.lists(st.floats(-1e9, 1e9) | st.builds(lambda k: k / 1000, st.integers(-(10**12), 10**12)), min_size=1))
def test_three_decimals_are_told_by_column_as_by_rounding(numbers: list[float]) -> None:
    """Also for the neighbours of a number that has three."""
    around = np.array([step for x in numbers for step in (x, np.nextafter(x, 2e9), np.nextafter(x, -2e9))])
    around = around[np.abs(around) <= 1e9]
    signed = Field("variance", FieldKind.DECIMAL, minimum=-1e9, maximum=1e9)
    values, certain = column_check(signed, RULES)(pa.array(around))
    assert certain is not None
    assert certain.tolist() == [round(x, 3) == x for x in around.tolist()]
    assert values.to_pylist() == around.tolist()
    assert not np.signbit(values.to_numpy()[values.to_numpy() == 0]).any()
