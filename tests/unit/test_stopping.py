"""A process that was asked to stop has stopped in time, whatever hangs in it."""

import signal
import subprocess
import sys
import time

HANGING = """
import asyncio, threading, time
from runtime.stopping import stop_on_signals

async def main():
    asked = stop_on_signals(1.0)
    threading.Thread(target=time.sleep, args=(60,)).start()
    print("ready", flush=True)
    await asked.wait()

asyncio.run(main())
"""
PROMPT = HANGING.replace("threading.Thread(target=time.sleep, args=(60,)).start()", "")


def stopped(program: str) -> tuple[int, float, str]:
    """Exit code, seconds until the end, and what was printed."""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    return process.returncode, time.monotonic() - started, said


def test_what_hangs_is_cut_off_and_said() -> None:
    """A thread that nobody can interrupt: exit 0 all the same, a moment after the limit."""
    code, seconds, said = stopped(HANGING)
    assert code == 0
    assert 0.9 < seconds < 10
    assert "not stopped in time" in said


def test_what_ends_by_itself_is_left_alone() -> None:
    """No word of being cut off."""
    code, seconds, said = stopped(PROMPT)
    assert (code, said) == (0, "")
    assert seconds < 0.9
