"""The spoilt feed: each kind is refused for its reason, and what can be repaired is what is missing."""

from collections import Counter

import msgspec
import pytest

from runtime.settings import IntakeSettings
from sandbox.spoilt_feed import SPOILT_KINDS, spoilt
from schemas.sources import Source
from streams.intake import Fault, Intake
from streams.intake_rules import IntakeRules

NOW = 1_700_000_000_000
LINES = [
    msgspec.json.encode(
        {"event_id": f"e{number}", "site_id": "A", "sku": "S1", "event_time": "2011-03-01T10:15:00+00:00"}
        | {"quantity": 2, "uom": "EA", "order_id": "o", "line": number + 1, "channel": None}
    )
    for number in range(50)
]


def test_each_kind_is_refused_for_its_reason() -> None:
    """By the real gate; no two kinds of one producer are wrong in the same way."""
    intake = Intake(Source.ORDERS, IntakeRules.from_settings(IntakeSettings()))
    for kind in SPOILT_KINDS:
        fault = intake.judge(kind.spoil(msgspec.json.decode(LINES[0])), NOW)
        assert isinstance(fault, Fault), kind.name
        assert fault.error_class is kind.error_class, (kind.name, fault)


def test_only_repairable_lines_are_missing() -> None:
    """As many of each kind as was asked for; a line that cannot be repaired comes beside the right one."""
    sent = list(spoilt(LINES, 4))
    assert Counter(line.producer for line in sent if line.producer) == Counter(
        kind.producer for kind in SPOILT_KINDS for _ in range(4)
    )
    right = [line.value for line in sent if line.producer is None]
    assert right == [line for line in LINES if line in right]
    assert len(LINES) - len(right) == 4 * sum(kind.repairable for kind in SPOILT_KINDS)


def test_too_few_lines_are_refused() -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match="too few"):
        list(spoilt(LINES[:11], 1))
