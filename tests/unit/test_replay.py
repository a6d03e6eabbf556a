"""Dead letters: what can be read of a broken value, and what a replay hands on."""

import pytest

from console.desk.acts import ActBook
from console.desk.portion import Desk, Portion
from console.desk.recipes import recipe_of
from console.desk.replay_order import ReplayOrder, Tally
from console.desk.texts import field_text
from console.desk.views import details, json_details
from runtime.settings import Settings
from schemas.dead_letters import Chain, DeadLetter
from schemas.errors import ErrorClass

NOON = 1_298_980_800_000


def letter(offset: int = 7, *, error_class: ErrorClass = ErrorClass.BAD_FORMAT, **changes: object) -> DeadLetter:
    """A dead letter of orders partition 2."""
    known: dict[str, object] = {
        "value": b'{"site_id": "S1", "sku": "post", "quantity": 1}',
        "headers": (),
        "topic": "wms.orders.v1",
        "partition": 2,
        "offset": offset,
        "timestamp": NOON,
        "key": b"post",
        "stage": "validate",
        "path": "$.sku",
        "message": "does not match the pattern",
        "attempts": 1,
        "root": f"wms.orders.v1/2/{offset}",
        "first_failed_at": NOON,
        "pipeline_version": "0.1.0",
    }
    return DeadLetter(error_class=error_class, **{**known, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b'{"sku": "A1"}', "A1"),
        (b'{"sku": 85123}', "85123"),
        (b'{"sku": null}', None),
        (b'{"sku" : "A1", "broken', "A1"),
        (b'{"sku": 12.5, \xff}', "12.5"),
        (b'{"sku": "K\xf6ln"', "K�ln"),
        (b'["sku"]', None),
        (b"", None),
        (b"[" * 5000, None),
    ],
)
def test_a_field_is_read_as_far_as_a_broken_value_allows(value: bytes, found: str | None) -> None:
    """Parsed where it is JSON, else the first thing that looks like the field."""
    assert field_text(value, "sku") == found


def test_a_replay_hands_on_the_chain() -> None:
    """The attempts so far: the next failure makes one more of them, under the same root."""
    one = letter(9, attempts=2, root="wms.orders.v1/2/1")
    headers = tuple(Chain(one.attempts, one.root, one.first_failed_at).to_headers())
    assert Chain.of(headers) == Chain(2, "wms.orders.v1/2/1", NOON)


def test_a_recipe_is_for_a_producer_as_its_group_names_it() -> None:
    """Cut where it is long, and the first header that says anything."""
    one = letter(headers=(("producer", b""), ("producer", b"x" * 80)))
    content = {"name": "r", "match": {"producer": "x" * 64}, "steps": [{"op": "set", "path": "/sku", "value": "A"}]}
    order = ReplayOrder(recipe=recipe_of({**content, "why": "because"}, "here"))
    desk = Desk(Settings(), order, ActBook(), Tally(), {}, run="r", actor="ann")
    portion = Portion(desk, most=10)
    portion.add(one)
    assert [item.letter for item in portion.take()] == [one]


def test_a_letter_is_shown_with_reason_and_value() -> None:
    """JSON is set out; what cannot be read as text is shown as bytes; a tombstone as what it is."""
    text = "\n".join(details(letter(), {}))
    for part in ("wms.orders.v1/2/7: bad_format at $.sku", "arrived     2011-03-01T12:00:00Z", '  "sku": "post",'):
        assert part in text
    assert "00000000  ff 00 41" in "\n".join(details(letter(value=b"\xff\x00A"), {}))
    assert "1,024 more; --raw" in "\n".join(details(letter(value=b"\xff" * 2048), {}))
    assert "no value (a tombstone)" in "\n".join(details(letter(value=None), {}))
    assert json_details(letter(value=b"\xff"))["value"] == "�"
