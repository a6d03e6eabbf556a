"""Recipes: what each step makes of a record, what it says where it does not apply, and what a file may not say."""

import json
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest

from console.desk.recipes import Recipe, load_recipe, parse_recipe, save_recipe, saved_recipe, saved_recipes, written
from console.desk.repair import Unrepairable, repair
from console.errors import UsageError
from streams.avro_input import WriterSchema


def recipe(*steps: str, head: str = "") -> Recipe:
    """A recipe of the TOML of its steps."""
    tables = "\n".join(f"[[steps]]\n{step}" for step in steps)
    return parse_recipe(f'name = "r"\nwhy = "because"\n{head}\n{tables}', "r.toml")


def made(step: str, value: Any) -> Any:
    """What one step makes of a field `/f` with this value: the field, or `Unrepairable`."""
    data = json.dumps({"f": value, "g": 1}).encode()
    found = repair(recipe(f'path = "/f"\n{step}'), data, {})
    return found if isinstance(found, Unrepairable) else json.loads(found, parse_float=Decimal).get("f")


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        ('op = "set"\nvalue = 1.10', "x", Decimal("1.10")),
        ('op = "set"\nnull = true', "x", None),
        ('op = "set"\nvalue = {a = [1, true]}', "x", {"a": [1, True]}),
        ('op = "map"\nvalues = {CRATE = "CT"}', "CRATE", "CT"),
        ('op = "map"\nvalues = {"85123" = "85123A"}', 85123, "85123A"),
        ('op = "map"\nvalues = {crate = "CT"}\nignore_case = true', "CrAtE", "CT"),
        ('op = "map"\nvalues = {a = 1}\ndefault = "EA"', "zzz", "EA"),
        ('op = "number"', " +12.50 ", Decimal("12.50")),
        ('op = "number"', "7", 7),
        ('op = "number"\ndecimal_comma = true', "1.234,5", Decimal("1234.5")),
        ('op = "number"\ndecimal_comma = true', "1234", 1234),
        ('op = "text"', 85123, "85123"),
        ('op = "text"', 12.50, "12.5"),
        ('op = "text"\ntrim = true\nupper = true', " a1 ", "A1"),
        (
            'op = "time"\nformat = "%m/%d/%Y %H:%M"\nzone = "America/Chicago"',
            "12/31/2010 8:26",
            "2010-12-31T08:26:00-06:00",
        ),
        (
            'op = "time"\nformat = "%Y-%m-%d %H.%f"\nzone = "Europe/London"',
            "2011-07-01 00.250",
            "2011-07-01T00:00:00.250+01:00",
        ),
        ('op = "time"\nformat = "%d.%m.%Y %H:%M %z"', "01.03.2011 10:00 +0200", "2011-03-01T10:00:00+02:00"),
        ('op = "time"\nformat = "epoch-milliseconds"', 1298980800250, "2011-03-01T12:00:00.250Z"),
        ('op = "time"\nformat = "epoch-seconds"', "1298980800", "2011-03-01T12:00:00Z"),
    ],
)
def test_a_step_repairs_its_field(step: str, before: Any, after: Any) -> None:
    """Numbers keep their digits, times get the offset that held at that moment."""
    assert made(step, before) == after


@pytest.mark.parametrize(
    ("step", "value", "reason"),
    [
        ('op = "map"\nvalues = {CRATE = "CT"}', "crate", 'the map has no value for what is at /f (found "crate")'),
        ('op = "map"\nvalues = {CRATE = "CT"}', None, "/f is neither text nor number (found null)"),
        ('op = "number"', "1,5", "/f is not a text that is a number"),
        ('op = "number"', "1e5", "/f is not a text that is a number"),
        ('op = "number"', 3, "/f is not a text that is a number (found 3)"),
        ('op = "number"\ndecimal_comma = true', "1.23", "with a decimal comma"),
        ('op = "text"', True, "/f is neither text nor number"),
        ('op = "text"', 1e200, "/f is a number of too many digits to write out (found 1E+200)"),
        ('op = "rename"\nto = "g"', 1, "there is a /g already"),
        ('op = "time"\nformat = "%H:%M"\nzone = "UTC"', "25:00", "it is not of the format %H:%M"),
        ('op = "time"\nformat = "epoch-seconds"', "1.5", "it is no whole number"),
        ('op = "time"\nformat = "epoch-seconds"', 10**15, "it is out of range"),
        ('op = "time"\nformat = "%d"\nzone = "UTC"', 7, "it is no text"),
    ],
)
def test_a_step_that_does_not_apply_says_why(step: str, value: Any, reason: str) -> None:
    """With its number and what it found; nothing is guessed."""
    found = made(step, value)
    assert isinstance(found, Unrepairable)
    assert reason in str(found)
    assert str(found).startswith("step 1: ")


@pytest.mark.parametrize(
    ("wall", "fold", "instant"),
    [
        ("2011-03-27 01:30", None, "does not exist in Europe/London"),
        ("2011-03-27 01:30", "earlier", "2011-03-27T00:30:00+00:00"),
        ("2011-03-27 01:30", "later", "2011-03-27T02:30:00+01:00"),
        ("2011-10-30 01:30", None, "exists twice in Europe/London"),
        ("2011-10-30 01:30", "earlier", "2011-10-30T01:30:00+01:00"),
        ("2011-10-30 01:30", "later", "2011-10-30T01:30:00+00:00"),
        ("2011-10-30 02:30", None, "2011-10-30T02:30:00+00:00"),
    ],
)
def test_a_time_that_daylight_saving_skips_or_repeats_is_refused_unless_fold_says_which(
    wall: str, fold: str | None, instant: str
) -> None:
    """On the night of the change there is no instant, or there are two."""
    chosen = f'\nfold = "{fold}"' if fold else ""
    found = made(f'op = "time"\nformat = "%Y-%m-%d %H:%M"\nzone = "Europe/London"{chosen}', wall)
    assert instant in str(found)


def test_steps_build_on_each_other_and_leave_the_rest_exactly_as_it_was() -> None:
    """In their order; a number that no step names keeps its digits, however many."""
    steps = (
        'op = "encoding"\nfrom = "windows-1252"',
        'op = "rename"\npath = "/Menge"\nto = "quantity"',
        'op = "number"\npath = "/quantity"\ndecimal_comma = true',
        'op = "remove"\npath = "/note"',
        'op = "patch"\noperations = \'[{"op": "copy", "from": "/a/0", "path": "/first"}]\'',
    )
    value = '{"Menge":"1,50","note":"é","a":[1.10,1E+400],"n":123456789012345678901234567890,"é":"ü"}'
    repaired = repair(recipe(*steps), value.encode("windows-1252"), {})
    assert isinstance(repaired, bytes)
    expected = '{"a":[1.10,1E+400],"n":123456789012345678901234567890,"é":"ü","quantity":1.50,"first":1.10}'
    assert repaired.decode() == expected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the record has no value"),
        (b"{", "the record is no JSON"),
        (b"\xff", "the record is no JSON"),
        (b"[" * 5000, "the record is no JSON"),
        (b'{"f": 1e99999999999999999999}', "a number or the nesting is out of any range"),
        (b"[1]", "step 1: there is no /f"),
        (b"7", "step 1: there is no /f"),
        (b"\x00\x00\x00\x00\x07x", "the schema that the Avro record was written with is not known (found id 7)"),
        (b'{"f": "' + b"x" * (1 << 20) + b'"}', "the repaired record is larger than"),
    ],
)
def test_a_record_that_cannot_be_repaired_is_told_and_raises_nothing(value: bytes | None, reason: str) -> None:
    """Step 0 is the reading and writing of the record."""
    found = repair(recipe('op = "text"\npath = "/f"'), value, {})
    assert isinstance(found, Unrepairable)
    assert reason in str(found)


def test_an_encoding_alone_repairs_bytes() -> None:
    """The rest of the record is not even looked at; a byte order mark goes with utf-8-sig."""
    assert repair(recipe('op = "encoding"\nfrom = "utf-8-sig"'), b"\xef\xbb\xbf{ 1.0", {}) == b"{ 1.0"
    wrong = repair(recipe('op = "encoding"\nfrom = "ascii"'), b"\xff", {})
    assert "step 1: the record is not ascii" in str(wrong)


def test_an_avro_record_is_repaired_by_the_schema_that_wrote_it_and_leaves_as_json() -> None:
    """Its event time, a number there, becomes a text; bytes become code points, as Avro's own JSON has it."""
    fields = [
        {"name": "event_time", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "unit", "type": "string"},
        {"name": "raw", "type": "bytes"},
    ]
    schema = {"type": "record", "name": "order_event", "fields": fields}
    body = BytesIO()
    plain = {"type": "record", "name": "order_event", "fields": [{"name": "event_time", "type": "long"}, *fields[1:]]}
    fastavro.schemaless_writer(body, plain, {"event_time": 1298980800250000, "unit": "CRATE", "raw": b"\xe9"})
    value = b"\x00\x00\x00\x00\x11" + body.getvalue()
    schemas = {17: WriterSchema.parse(schema)}
    repaired = repair(recipe('op = "rename"\npath = "/unit"\nto = "uom"'), value, schemas)
    assert isinstance(repaired, bytes)
    assert json.loads(repaired) == {"event_time": "2011-03-01T12:00:00.250Z", "raw": "é", "uom": "CRATE"}
    assert "bytes are left over" in str(repair(recipe('op = "text"\npath = "/unit"'), value + b"x", schemas))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ('op = "set"\npath = "/f"', "step 1: value: say what to set"),
        ('op = "set"\npath = ""\nvalue = 1', "step 1: path: a step is about a field"),
        ('op = "set"\npath = "f"\nvalue = 1', "step 1: 'f' is no JSON Pointer"),
        ('op = "set"\npath = "/f"\nvalue = 2011-03-01', "step 1: value: a date is no JSON value"),
        ('op = "set"\npath = "/f"\nvalue = nan', "step 1: value: NaN is no JSON number"),
        ('op = "set"\npath = "/f"\nvalue = 1\ncolour = 2', "step 1: Object contains unknown field `colour`"),
        ('op = "bake"\npath = "/f"', "step 1: op: Invalid value 'bake'"),
        ('op = "map"\npath = "/f"\nvalues = {}', "step 1: values: a map without values"),
        ('op = "map"\npath = "/f"\nvalues = {a = 1, A = 2}\nignore_case = true', "two of them differ in case only"),
        ('op = "time"\npath = "/f"\nformat = "%H"', "step 1: zone: with the format '%H' it must be named"),
        ('op = "time"\npath = "/f"\nformat = "%z"\nzone = "UTC"', "it needs none"),
        ('op = "time"\npath = "/f"\nformat = "%H"\nzone = "Mars/Base"', "'Mars/Base' is no IANA time zone"),
        ('op = "time"\npath = "/f"\nformat = "%H"\nzone = "../../etc/passwd"', "is no IANA time zone"),
        ('op = "time"\npath = "/f"\nformat = "%H"\nzone = "UTC"\nfold = "both"', "step 1: fold: Invalid enum value"),
        ('op = "encoding"\nfrom = "klingon"', "step 1: from: 'klingon' is no text encoding"),
        ('op = "encoding"\nfrom = "hex"', "is no text encoding"),
        ('op = "patch"\noperations = "[]"', "step 1: operations: the patch is empty"),
        ('op = "patch"\noperations = \'[{"op": "fry", "path": "/a"}]\'', "step 1: operations: Invalid value 'fry'"),
        ('op = "text"\npath = 7', "step 1: path: Expected `str`, got `int`"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused_with_its_place(steps: str, said: str) -> None:
    """The file, the step, the field, and what is wrong there: before anything is repaired."""
    with pytest.raises(UsageError) as refused:
        recipe(steps)
    assert str(refused.value).startswith("r.toml: ")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "r.toml is no TOML"),
        ('name = "r"\nwhy = "x"', "missing required field `steps`"),
        ('name = "R!"\nwhy = "x"\n[[steps]]\nop = "remove"\npath = "/a"', "name: 'R!' must be 1 to 64 of"),
        ('name = "r"\nwhy = " "\n[[steps]]\nop = "remove"\npath = "/a"', "why: say what is wrong"),
        ('name = "r"\nwhy = "x"\nsteps = []', "steps: there must be 1 to 100"),
        ('name = "r"\nwhy = "x"\nauthor = "me"\nsteps = []', "unknown field `author`"),
        ('name = "r"\nwhy = "x"\n[match]\nclasses = ["odd"]\n[[steps]]\nop = "remove"\npath = "/a"', "match.classes"),
        (
            'name = "r"\nwhy = "x"\n[[steps]]\nop = "remove"\npath = "/a"\n[[steps]]\nop = "encoding"\nfrom = "ascii"',
            "`encoding` is about the bytes, so it comes before all other steps",
        ),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(text: str, said: str) -> None:
    """Keys that nobody knows are mistakes, not comments."""
    with pytest.raises(UsageError) as refused:
        parse_recipe(text, "r.toml")
    assert said in str(refused.value)


def test_recipes_are_saved_listed_and_loaded_by_safe_names_only(tmp_path: Path) -> None:
    """What is in a file under another name, or is none, is told; no name leads out of the folder."""
    one = recipe('op = "set"\npath = "/f"\nvalue = 1.10', head='match = {classes = ["bad_format"]}')
    folder = tmp_path / "recipes"
    assert saved_recipes(folder) == ([], [])
    save_recipe(folder, one)
    assert load_recipe(folder, "r") == one
    assert parse_recipe(written(one), "again").sha256 == one.sha256
    (folder / "other.toml").write_text(written(one))
    (folder / "broken.toml").write_text("?")
    found, wrong = saved_recipes(folder)
    assert found == [one]
    assert ["is no TOML" in wrong[0], "it says 'r', its file 'other'" in wrong[1]] == [True, True]
    for name in ("../r", "r.toml", "", "/etc/passwd", "R", "x" * 65, "r\n"):
        with pytest.raises(UsageError, match="is no name of a recipe"):
            saved_recipe(folder, name)
    with pytest.raises(UsageError, match="there is no recipe"):
        load_recipe(folder, "nobody")
    assert load_recipe(folder, str(folder / "r.toml")) == one
