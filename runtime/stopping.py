"""Being asked to stop, and stopping in time whatever hangs."""

import asyncio
import os
import signal
import sys
import threading

import structlog

log = structlog.get_logger(__name__)


def stop_on_signals(within_s: float) -> asyncio.Event:
    """An event that SIGTERM and SIGINT set. What has not ended by itself `within_s` later is cut off, with exit code 0.

    A store or a broker that hangs can hold a thread for longer than anybody who sends SIGTERM will wait before a
    SIGKILL. Being cut off loses no more than that would: nothing, for the log has it.
    """
    asked = asyncio.Event()

    def ask() -> None:
        if not asked.is_set():
            asked.set()
            watchdog = threading.Timer(within_s, _cut_off, (within_s,))
            watchdog.daemon = True
            watchdog.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ask)
    return asked


def _cut_off(within_s: float) -> None:
    log.warning("not stopped in time; ending at once, which loses nothing", within_s=within_s)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
