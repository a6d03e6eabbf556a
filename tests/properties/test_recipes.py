"""A recipe is a function: the same record gives the same bytes, what no step names is untouched, layout is nothing."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from console.desk.recipes import Recipe, parse_recipe, recipe_of, written
from console.desk.repair import Unrepairable, repair

_names = st.sampled_from(["a", "b", "c", "d", "é", "x/y", "m~n"])
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=6,
)
_documents = st.dictionaries(_names, _values, max_size=6)
_paths = _names.map(lambda name: "/" + name.replace("~", "~0").replace("/", "~1"))


def copying(origin: str, path: str) -> str:
    """A patch that copies."""
    return json.dumps([{"op": "copy", "from": origin, "path": path}])


_steps = st.one_of(
    st.builds(lambda p, v: {"op": "set", "path": p, "value": v}, _paths, st.integers(0, 9) | st.just("x")),
    st.builds(lambda p, n: {"op": "rename", "path": p, "to": n}, _paths, _names),
    st.builds(lambda p: {"op": "remove", "path": p}, _paths),
    st.builds(lambda p: {"op": "map", "path": p, "values": {"": "EA", "1": 1}, "default": "z"}, _paths),
    st.builds(lambda p: {"op": "number", "path": p}, _paths),
    st.builds(lambda p: {"op": "text", "path": p, "trim": True}, _paths),
    st.builds(lambda p: {"op": "time", "path": p, "format": "epoch-seconds"}, _paths),
    st.builds(lambda p, q: {"op": "patch", "operations": copying(p, q)}, _paths, _paths),
)
_recipes = st.lists(_steps, min_size=1, max_size=4)
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


def of(steps: list[dict[str, Any]]) -> Recipe:
    """A recipe of these steps."""
    return recipe_of({"name": "r", "why": "w", "steps": steps}, "r.toml")


def named(steps: list[dict[str, Any]]) -> set[str]:
    """The fields of the document that a step may touch."""
    pointers = [step[key] for step in steps if step["op"] != "patch" for key in ("path",)]
    pointers += [
        operation["path"] for step in steps if step["op"] == "patch" for operation in json.loads(step["operations"])
    ]
    fields = {pointer[1:].replace("~1", "/").replace("~0", "~") for pointer in pointers}
    return fields | {step["to"] for step in steps if step["op"] == "rename"}


@given(_recipes, _documents)
def test_untouched_fields_keep_value_and_digits(steps: list[dict[str, Any]], document: dict[str, Any]) -> None:
    """To the last digit, whatever the steps do; and a second application to the same record gives the same bytes."""
    value = _ENCODER.encode(document)
    chosen = of(steps)
    repaired = repair(chosen, value, {})
    assert repair(chosen, value, {}) == repaired
    if isinstance(repaired, Unrepairable):
        return
    after = _DECODER.decode(repaired)
    for name, before in _DECODER.decode(value).items():
        if name not in named(steps):
            assert _ENCODER.encode(after[name]) == _ENCODER.encode(before)


@given(_recipes, st.binary(max_size=30))
def test_no_record_at_all_makes_a_recipe_raise(steps: list[dict[str, Any]], value: bytes) -> None:
    """Bytes of any kind are repaired or told why not."""
    assert isinstance(repair(of(steps), value, {}), bytes | Unrepairable)


@given(_recipes, st.randoms(use_true_random=False))
def test_the_hash_is_of_the_content_not_of_the_file(steps: list[dict[str, Any]], random: Any) -> None:
    """Other order of keys, comments and blank lines: the same; another step: another."""
    chosen = of(steps)
    shuffled = [dict(random.sample(list(step.items()), len(step))) for step in steps]
    text = "# reviewed\n\n" + tomli_w.dumps({"steps": shuffled, "why": "w", "name": "r"})
    assert parse_recipe(text, "r.toml").sha256 == chosen.sha256
    assert parse_recipe(written(chosen), "r.toml") == chosen
    assert of([*steps, {"op": "remove", "path": "/other"}]).sha256 != chosen.sha256
