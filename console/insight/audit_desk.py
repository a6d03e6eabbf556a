"""Audits that are asked for on a page: one at a time, in a thread, with how far it is."""

import asyncio
import time
from dataclasses import dataclass
from enum import StrEnum

import structlog

from console.audit_run import AuditReport, audit
from console.progress import listening
from runtime.settings import Settings

log = structlog.get_logger(__name__)


class Stage(StrEnum):
    """How an audit stands."""

    NONE = "none"  # nobody has asked yet
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class Audit:
    """The audit in hand, or the last one. `progress` is a sentence; times are UTC milliseconds."""

    stage: Stage = Stage.NONE
    deep: bool = False
    started_at: int | None = None
    ended_at: int | None = None
    progress: str = ""
    report: AuditReport | None = None


class AuditDesk:
    """Whoever asks while one runs sees that one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.audit = Audit()
        self._task: asyncio.Task[None] | None = None

    def start(self, *, deep: bool = False) -> bool:
        """Begin an audit; False if one is running already."""
        if self.audit.stage is Stage.RUNNING:
            return False
        self.audit = Audit(Stage.RUNNING, deep, started_at=_now_ms(), progress="beginning")
        self._task = asyncio.create_task(self._run(self.audit), name="audit")
        return True

    async def wait(self) -> None:
        """Until the audit in hand has ended, if there is one."""
        if self._task is not None:
            await self._task

    async def _run(self, told: Audit) -> None:
        def listen(text: str) -> None:
            told.progress = text

        try:
            with listening(listen):
                told.report = await asyncio.to_thread(audit, self._settings, deep=told.deep)
            told.stage = Stage.DONE
        except Exception as error:  # of Kafka, of the store: whoever looks at the page reads it there
            log.warning("an audit failed", error=repr(error))
            told.progress, told.stage = f"{type(error).__name__}: {error}", Stage.FAILED
        finally:
            told.ended_at = _now_ms()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
