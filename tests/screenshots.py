"""Pictures of the web console for the README, taken of the demo while it runs: `make screenshots` runs this file."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browser_visits import ROOT, WIDE, open_visit
from chromium import FLAGS, chromium
from confluent_kafka import Producer
from playwright.async_api import async_playwright
from spoilt_retail import RECIPES

from sandbox import retail_sample
from sandbox.spoilt_feed import SPOILT_KINDS, spoilt
from schemas.sources import Source

FOLDER = ROOT / "docs" / "screenshots"
VELOCITY = [sys.executable, "-m", "console.main"]
OF_EACH = 40
WITHIN_S = 120


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that runs: its console, and its settings file."""

    url: str
    file: Path

    def run(self, *command: str) -> str:
        """What a command prints."""
        whole = [*VELOCITY, "--config", str(self.file), *command]
        return subprocess.run(whole, check=True, text=True, stdout=subprocess.PIPE).stdout


@contextmanager
def running_demo() -> Iterator[Demo]:
    """`velocity demo --keep`, once it has done its work."""
    environment = {**os.environ, "LOGNAME": "operator"}  # whom pictures show
    command = [*VELOCITY, "demo", "--keep"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, env=environment) as process:
        try:
            said = ""
            for line in process.stdout or ():
                said += line
                if "Ctrl-C ends the demo" in line:
                    break
            url = re.search(r"The web console: (\S+?)/?\s", said)
            file = re.search(r"--config (\S+)", said)
            if url is None or file is None:
                raise RuntimeError(f"the demo did not say where its console is:\n{said}")
            yield Demo(url[1], Path(file[1]))
        finally:
            process.send_signal(signal.SIGINT)


def spoil(demo: Demo) -> None:
    """Orders of twelve kinds that are refused; one kind is repaired."""
    kafka = tomllib.loads(demo.file.read_text())["kafka"]
    producer = Producer({"bootstrap.servers": kafka["bootstrap_servers"]})
    lines = [line for _, line in retail_sample.sample_feed()[Source.ORDERS]][-20 * OF_EACH * len(SPOILT_KINDS) :]
    before = stats(demo)["total"]
    for line in spoilt(lines, OF_EACH):
        if line.producer:
            producer.produce("wms.orders.v1", line.value, headers=[("producer", line.producer.encode())])
    producer.flush()
    deadline = time.monotonic() + WITHIN_S
    while stats(demo)["total"] < before + OF_EACH * len(SPOILT_KINDS):
        if time.monotonic() > deadline:
            raise TimeoutError("the stream worker did not refuse the spoilt lines in time")
        time.sleep(1)
    recipe = demo.file.parent / "recipes" / "units-in-words.toml"
    recipe.parent.mkdir(exist_ok=True)
    recipe.write_text(RECIPES["handheld-2"])
    why = ("--why", "firmware updated, ticket 4711")
    demo.run("dlq", "fix", "--recipe", "units-in-words", "--class", "unknown_unit", *why, "--follow")
    demo.run("drain")


def stats(demo: Demo) -> dict[str, Any]:
    """Of the dead letters."""
    return json.loads(demo.run("dlq", "stats", "--json"))


def pages(demo: Demo) -> dict[str, str]:
    """The paths to be shown, by the names of their pictures."""
    groups = json.loads(demo.run("dlq", "groups", "--waiting", "--json"))
    dates = next(one["id"] for one in groups if one["producer"] == "scanner-7")
    return {"flow": "/flow", "velocity": "/velocity", "letters": "/letters", "group": f"/letters/group/{dates}"}


async def take(demo: Demo) -> None:
    """A picture of each page, as wide as a desk's screen and in light colours."""
    shown = pages(demo)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        visit = await open_visit(browser)
        for name, path in shown.items():
            await visit.page.goto(demo.url + path)
            await visit.page.wait_for_timeout(1_500)  # live parts and charts
            await visit.dress("light", WIDE)
            await visit.page.screenshot(path=FOLDER / f"{name}.png", animations="disabled")
        await browser.close()


def main() -> None:
    """Write them all."""
    FOLDER.mkdir(exist_ok=True)
    with running_demo() as demo:
        spoil(demo)
        asyncio.run(take(demo))


if __name__ == "__main__":
    main()
