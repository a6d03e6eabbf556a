"""RFC 3339 to UTC milliseconds: one text at a time, which gives every answer, and a column, which only accepts.

Taken: `2011-03-01T10:15:00Z`, `2011-03-01t10:15:00.123456+05:30`. The offset is mandatory and at most 23:59 either way,
`-00:00` is UTC; digits of the fraction beyond the third are cut off. Not taken: a blank for the `T`, a leap second
(`:60`, which no UTC millisecond stands for), hour 24, and the other forms of ISO 8601.
"""

import re
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import ErrorClass
from streams.record_fault import RecordFault, shown

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAYS_PER_400_YEARS = 146_097
#: Event times are in `[0, END_MS)`: the years 1970 to 2999 in UTC.
END_MS = (date(3000, 1, 1).toordinal() - _EPOCH_DAY) * 86_400_000

# re.ASCII: `\d` would take the digits of every script.
_RFC_3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
_EXPECTED = "RFC 3339 with an offset, such as 2011-03-01T10:15:00Z"


class Milliseconds(int):
    """An instant in UTC milliseconds that was one on the wire already, as Avro has it; a number in JSON is not."""


Instants = npt.NDArray[np.int64]  # UTC milliseconds, shape (rows,)
Mask = npt.NDArray[np.bool_]  # shape (rows,)


def parse_time(text: str, path: str) -> int:
    """UTC milliseconds of an RFC 3339 time of the years 0000 to 9999.

    Raises:
        RecordFault: `bad_format` at `path`.
    """
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise _bad_format(text, path)
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    fraction, sign, offset_hour, offset_minute = found.groups()[6:]
    offset = (int(offset_hour or 0), int(offset_minute or 0))
    if second == 60:
        raise _bad_format(text, path, "a leap second has no place on the UTC millisecond scale")
    if hour > 23 or minute > 59 or second > 60 or offset[0] > 23 or offset[1] > 59:
        raise _bad_format(text, path, "an hour, minute or second is too large")
    try:
        days = _days_since_epoch(year, month, day)
    except ValueError:
        raise _bad_format(text, path, "the calendar has no such day") from None
    minutes = (days * 24 + hour) * 60 + minute
    minutes -= (offset[0] * 60 + offset[1]) * (-1 if sign == "-" else 1)
    return (minutes * 60 + second) * 1000 + int((fraction or "")[:3].ljust(3, "0"))


def _days_since_epoch(year: int, month: int, day: int) -> int:
    """The calendar repeats every 400 years, so the years that `date` does not know are counted as ones that it does.

    Raises:
        ValueError: there is no such day.
    """
    cycles, year_of_cycle = divmod(year, 400)
    return date(2000 + year_of_cycle, month, day).toordinal() - _EPOCH_DAY + (cycles - 5) * _DAYS_PER_400_YEARS


def _bad_format(text: str, path: str, why: str = "") -> RecordFault:
    because = f" ({why})" if why else ""
    return RecordFault(ErrorClass.BAD_FORMAT, f"found {shown(text)}, expected {_EXPECTED}{because}", path)


def format_time(at_ms: int) -> str:
    """An event time as a message shows it."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds")


# -- by column ---------------------------------------------------------------------------------------------------------

_rpad = pc.ascii_rpad  # pyright: ignore[reportAttributeAccessIssue]: made at run time
_lpad = pc.ascii_lpad  # pyright: ignore[reportAttributeAccessIssue]
_length = pc.binary_length  # pyright: ignore[reportAttributeAccessIssue]
_choose = pc.if_else  # pyright: ignore[reportAttributeAccessIssue]

_CLOCK_WIDTH = len("2011-03-01T10:15:00")
_OFFSET_WIDTH = len("+05:30")
_MAX_FRACTION = len(".123456789")
_WIDTH = _CLOCK_WIDTH + _MAX_FRACTION + _OFFSET_WIDTH
_DIGITS = np.array([0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18])
_MARKS = np.array([4, 7, 10, 13, 16])
SOME_TIME = "1970-01-01T00:00:00Z"  # stands in for what has no place in the cells

Cells = npt.NDArray[np.uint8]  # characters, shape (rows, width)


class _UtcForm:
    """Times in UTC with so many digits of fraction: what stands where between digits, and as what Arrow reads them."""

    def __init__(self, decimals: int, unit: str) -> None:
        text = "0000-00-00T00:00:00" + ("." + "0" * decimals if decimals else "") + "Z"
        self.width, self.unit = len(text), unit
        self.ms_per_tick, self.ticks_per_ms = 10 ** max(0, 3 - decimals), 10 ** max(0, decimals - 3)  # one of them is 1
        self.marks = np.array([place for place, character in enumerate(text) if character != "0"])
        self.characters = np.frombuffer(text.encode(), np.uint8)[self.marks]


_UTC_FORMS = {form.width: form for form in (_UtcForm(0, "s"), _UtcForm(3, "ms"), _UtcForm(6, "us"))}


def read_times(texts: pa.Array) -> tuple[Instants, Mask]:
    """UTC milliseconds of a column of texts without nulls, and which of them are certain.

    Certain are times in `[0, END_MS)` with a capital `T` and `Z` and at most nine digits of fraction, as all that we
    have met; the milliseconds of others mean nothing.
    """
    lengths = _length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
    alike = _read_alike(texts, lengths)
    if alike is not None:
        return alike, np.ones(len(alike), np.bool_)
    possible = (lengths > _CLOCK_WIDTH) & (lengths <= _WIDTH)
    if not possible.all():
        texts = _choose(pa.array(possible), texts, SOME_TIME)
        lengths = np.where(possible, lengths, len(SOME_TIME))
    from_left = _cells(_rpad(texts, _WIDTH))
    offsets, offset_widths, offset_certain = _read_offsets(_cells(_lpad(texts, _WIDTH))[:, -_OFFSET_WIDTH:])
    clocks, clock_certain = _read_clocks(from_left[:, :_CLOCK_WIDTH])
    fractions, fraction_certain = _read_fractions(
        from_left[:, _CLOCK_WIDTH : _CLOCK_WIDTH + _MAX_FRACTION], lengths - _CLOCK_WIDTH - offset_widths
    )
    instants = (clocks - offsets) * 1000 + fractions
    in_range = (instants >= 0) & (instants < END_MS)
    return instants, possible & offset_certain & clock_certain & fraction_certain & in_range


def _read_alike(texts: pa.Array, lengths: Instants) -> Instants | None:
    """A column of one form, such as `2011-03-01T10:15:00.000Z`, at a tenth of the price; None where it is not that.

    Arrow reads the calendar and the clock. It takes other forms, too, so that this one is seen to first.
    """
    form = _UTC_FORMS.get(int(lengths[0])) if len(lengths) and lengths.min() == lengths.max() else None
    if form is None:
        return None
    cells = _cells(texts, form.width)
    if (cells[:, form.marks] != form.characters).any():
        return None
    if np.count_nonzero(cells - ord("0") <= 9) != len(cells) * (form.width - len(form.marks)):  # digits elsewhere
        return None
    try:
        ticks = texts.cast(pa.timestamp(form.unit, "UTC")).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:  # a day that there is not, or an hour
        return None
    instants = ticks * form.ms_per_tick // form.ticks_per_ms
    return instants if instants.min() >= 0 and instants.max() < END_MS else None


def _cells(texts: pa.Array, width: int = _WIDTH) -> Cells:
    """Texts of `width` bytes each as a matrix."""
    _, offsets, data = texts.buffers()
    begin = int(np.frombuffer(offsets, np.int32)[texts.offset])
    return np.frombuffer(data, np.uint8)[begin : begin + len(texts) * width].reshape(-1, width)


def _number(digits: Cells, begin: int, width: int) -> Instants:
    number = np.zeros(len(digits), np.int64)
    for column in range(begin, begin + width):
        number = number * 10 + digits[:, column]
    return number


def _read_clocks(cells: Cells) -> tuple[Instants, Mask]:
    """Seconds since the epoch of `YYYY-MM-DDTHH:MM:SS`, as if it were UTC."""
    digits = cells - ord("0")  # wraps around: what is below "0" is a large number, not a digit
    certain = (digits[:, _DIGITS] <= 9).all(axis=1)
    certain &= (cells[:, _MARKS] == np.frombuffer(b"--T::", np.uint8)).all(axis=1)
    year, month, day = _number(digits, 0, 4), _number(digits, 5, 2), _number(digits, 8, 2)
    hour, minute, second = (_number(digits, begin, 2) for begin in (11, 14, 17))
    months = (year - 1970) * 12 + month - 1
    first_day, next_first_day = _first_day(months), _first_day(months + 1)
    certain &= (month >= 1) & (month <= 12) & (day >= 1) & (day <= next_first_day - first_day)
    certain &= (hour <= 23) & (minute <= 59) & (second <= 59)
    return (((first_day + day - 1) * 24 + hour) * 60 + minute) * 60 + second, certain


def _first_day(months: Instants) -> Instants:
    """Days since the epoch of the first day of a month, counted in months since the epoch."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _read_offsets(cells: Cells) -> tuple[Instants, Instants, Mask]:
    """Seconds that `Z` or `±HH:MM`, at the end of the last six characters, is ahead of UTC, and its width."""
    is_utc = cells[:, -1] == ord("Z")
    digits = cells - ord("0")
    hour, minute = _number(digits, 1, 2), _number(digits, 4, 2)
    behind = cells[:, 0] == ord("-")
    certain = (behind | (cells[:, 0] == ord("+"))) & (cells[:, 3] == ord(":"))
    certain &= (digits[:, [1, 2, 4, 5]] <= 9).all(axis=1) & (hour <= 23) & (minute <= 59)
    seconds = (hour * 60 + minute) * np.where(behind, -60, 60)
    return np.where(is_utc, 0, seconds), np.where(is_utc, 1, _OFFSET_WIDTH), is_utc | certain


def _read_fractions(cells: Cells, widths: Instants) -> tuple[Instants, Mask]:
    """Milliseconds of `.ddd…`, of which row i has `widths[i]` characters; none of them is no fraction."""
    digits = cells - ord("0")
    given = np.arange(_MAX_FRACTION) < widths[:, None]
    some = (widths >= len(".1")) & (widths <= _MAX_FRACTION) & (cells[:, 0] == ord("."))
    certain = (widths == 0) | some
    certain &= ((digits <= 9) | ~given)[:, 1:].all(axis=1)
    return _number(np.where(given, digits, 0), 1, 3), certain
