"""JSON Pointer and JSON Patch go by their RFCs: 6901 section 5, 6902 appendix A, and what the texts say beside."""

import json
from typing import Any

import pytest

from console.desk import json_pointer
from console.desk.json_patch import PatchFailed, apply_patch, parse_patch
from console.desk.json_pointer import NotThere

DOCUMENT = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8}


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_a_pointer_leads_where_its_rfc_says(pointer: str, found: object) -> None:
    """RFC 6901, section 5; and it is written as it was read."""
    assert json_pointer.read(DOCUMENT, json_pointer.parse(pointer)) == found
    assert str(json_pointer.parse(pointer)) == pointer


@pytest.mark.parametrize("text", ["foo", "/a~", "/a~2b", "#/foo"])
def test_what_is_no_pointer_is_refused(text: str) -> None:
    """A missing slash, an escape that is none."""
    with pytest.raises(ValueError, match="JSON Pointer"):
        json_pointer.parse(text)


@pytest.mark.parametrize("text", ["/bar", "/foo/2", "/foo/-", "/foo/01", "/foo/x", "/foo/0/x", "/foo/-1", "//x"])
def test_a_pointer_that_leads_nowhere_is_told(text: str) -> None:
    """Also a leading zero, a sign, the end of an array, and what is no container."""
    with pytest.raises(NotThere):
        json_pointer.read(DOCUMENT, json_pointer.parse(text))


def patched(document: Any, *operations: dict[str, Any]) -> Any:
    """A document after a patch."""
    return apply_patch(document, parse_patch(json.dumps(operations)))


@pytest.mark.parametrize(
    ("document", "operations", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "q"}], {"foo": ["bar", "q", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        ({"foo": [1, 2, 3, 4]}, [{"op": "move", "from": "/foo/1", "path": "/foo/3"}], {"foo": [1, 3, 4, 2]}),
        (
            {"baz": "qux", "foo": ["a", 2, "c"]},
            [{"op": "test", "path": "/baz", "value": "qux"}, {"op": "test", "path": "/foo/1", "value": 2}],
            {"baz": "qux", "foo": ["a", 2, "c"]},
        ),
        ({"foo": "bar"}, [{"op": "add", "path": "/c", "value": {"g": {}}}], {"foo": "bar", "c": {"g": {}}}),
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "q", "xyz": 1}], {"foo": "bar", "baz": "q"}),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["a"]}], {"foo": ["bar", ["a"]]}),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        ({"a": 1}, [{"op": "add", "path": "", "value": [None]}], [None]),
        ({"a": 1}, [{"op": "move", "from": "/a", "path": "/a"}], {"a": 1}),
        ({"a": None}, [{"op": "test", "path": "/a", "value": None}], {"a": None}),
        ({"a": 1.0}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1.0}),
    ],
)
def test_a_patch_does_what_its_rfc_says(document: Any, operations: list[dict[str, Any]], result: Any) -> None:
    """RFC 6902, appendix A: among others members that it does not know are ignored, numbers compare by value."""
    assert patched(document, *operations) == result


@pytest.mark.parametrize(
    ("document", "operation"),
    [
        ({"baz": "qux"}, {"op": "test", "path": "/baz", "value": "bar"}),
        ({"foo": "bar"}, {"op": "add", "path": "/baz/bat", "value": "qux"}),
        ({"/": 9, "~1": 10}, {"op": "test", "path": "/~01", "value": "10"}),
        ({"a": True}, {"op": "test", "path": "/a", "value": 1}),
        ({"a": [1]}, {"op": "add", "path": "/a/2", "value": 1}),
        ({}, {"op": "replace", "path": "/a", "value": 1}),
        ({}, {"op": "remove", "path": "/a"}),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a", "path": "/a/b/c"}),
        ({"a": [1, 2]}, {"op": "test", "path": "/a", "value": [2, 1]}),
    ],
)
def test_an_operation_that_does_not_apply_is_named(document: Any, operation: dict[str, Any]) -> None:
    """With its number, its kind and the reason."""
    with pytest.raises(PatchFailed, match=rf"operation 1 \({operation['op']}\): "):
        patched(document, operation)


@pytest.mark.parametrize(
    "text", ['[{"op": "spam", "path": "/a"}]', '[{"op": "add", "path": "/a"}]', '[{"op": "remove", "path": "a"}]', "{}"]
)
def test_what_is_no_patch_is_refused(text: str) -> None:
    """An operation that nobody knows, a missing value, a path that is none."""
    with pytest.raises(ValueError, match=r"\$|JSON Pointer|array"):
        parse_patch(text)


def test_values_that_are_copied_are_not_shared() -> None:
    """What is done to the copy is not done to the original."""
    operations = [{"op": "copy", "from": "/a", "path": "/b"}, {"op": "add", "path": "/b/x", "value": 1}]
    assert patched({"a": {}}, *operations) == {"a": {}, "b": {"x": 1}}
