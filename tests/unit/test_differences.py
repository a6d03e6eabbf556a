"""What a repair changed is told field by field, in exact JSON."""

import pytest

from console.desk.differences import ABSENT, Change, changes


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (b'{"a": 1, "b": 2}', b'{"b":2.0,"a":1}', []),
        (b'{"a": 1.10}', b'{"a":"1.10"}', [Change("/a", "1.10", '"1.10"')]),
        (b'{"a": 1, "x": null}', b'{"a":true,"y":[1]}', [
            Change("/a", "1", "true"), Change("/x", "null", ABSENT), Change("/y", ABSENT, "[1]"),
        ]),
        (b'{"o": {"in/ner": 1, "k": 0}}', b'{"o":{"in/ner":2,"k":0}}', [Change("/o/in~1ner", "1", "2")]),
        (b'{"l": [1, 2]}', b'{"l":[1,3]}', [Change("/l", "[1,2]", "[1,3]")]),
        (b"\xe9{", b"{}", [Change("", "\\xe9{", "{}")]),
        (b"same", b"same", []),
        (None, b"{}", [Change("", ABSENT, "{}")]),
    ],
)  # fmt: skip
def test_fields_that_differ_are_told(before: bytes | None, after: bytes, told: list[Change]) -> None:
    """Order and spelling of numbers are no difference; a record that is no object is told as a whole."""
    assert changes(before, after) == told
