"""Audits that are asked for on a page: one at a time, watched while they run, and failures are told, not lost."""

import threading
from typing import Any

import pytest

from console.insight import audit_desk
from console.insight.audit_desk import AuditDesk, Stage
from console.progress import Meter
from runtime.settings import Settings


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An audit that has looked at one file and goes on when the gate is set; it fails if it is to be deep."""
    opened = threading.Event()

    def audit(_: Settings, *, deep: bool) -> Any:
        with Meter("checking files", total=2, unit="files") as meter:
            meter.advance()
            opened.wait(10)
            if deep:
                raise ConnectionError("the store is gone")
        return "report"

    monkeypatch.setattr(audit_desk, "audit", audit)
    return opened


async def test_an_audit_tells_how_far_it_is_and_nobody_begins_another(gate: threading.Event, capfd: Any) -> None:
    """Its meter tells the page and not the console's log."""
    desk = AuditDesk(Settings())
    assert desk.audit.stage is Stage.NONE
    assert desk.start()
    assert not desk.start()
    gate.set()
    await desk.wait()
    assert (desk.audit.stage, desk.audit.report) == (Stage.DONE, "report")
    assert desk.audit.progress.startswith("checking files: 1 files")
    assert "checking" not in capfd.readouterr().err


async def test_an_audit_that_cannot_be_made_says_why(gate: threading.Event) -> None:
    """And another one may be asked for."""
    desk = AuditDesk(Settings())
    gate.set()
    desk.start(deep=True)
    await desk.wait()
    assert desk.audit.stage is Stage.FAILED
    assert "the store is gone" in desk.audit.progress
    assert desk.start()
    await desk.wait()
    assert desk.audit.stage is Stage.DONE
