"""`velocity demo`: a real Kafka, real events, the whole system. It and `velocity kafka` alone use `sandbox`."""

import os
import signal
import sys
import tempfile
import time
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console import screen
from console.errors import CommandFailed
from schemas.sources import Source

if TYPE_CHECKING:
    from console.demo import Outcome, Workers
    from runtime.settings import Settings
    from sandbox.kafka import EmbeddedKafka

AS_OF_MS = 1_306_882_800_000  # 2011-06-01T00:00 in London: the end of the sample
BEST_KNOWN = "85123A"  # the article that the sample has most lines of


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running until Ctrl-C, to look further.")
    ] = False,
) -> None:
    """Turn 209,029 real retail lines into audited velocity coefficients, through a real Kafka on this machine.

    Starts a broker and the workers in a temporary directory, sends half a year of a British retailer's orders, returns
    and cycle counts, closes their windows, calculates, audits every offset, prints what came out, and cleans up.
    Other settings have no effect on it; the numbers are the same every time.

    \b
    Examples:
      velocity demo
      velocity demo --keep
    """
    from sandbox.kafka import FAST_START_JVM, EmbeddedKafka, KafkaInstallError, KafkaStartError

    started = time.monotonic()
    signal.signal(signal.SIGTERM, _end)
    with tempfile.TemporaryDirectory(prefix="velocity-demo-") as directory:
        kafka = EmbeddedKafka(Path(directory) / "kafka", jvm=FAST_START_JVM, on_progress=_say_download)
        try:
            kafka.start()
        except (KafkaInstallError, KafkaStartError) as error:
            raise CommandFailed(str(error)) from error
        try:
            complete = _show_off(Path(directory), kafka, started, keep=keep)
        finally:
            kafka.close()
    raise typer.Exit(0 if complete else 1)


def _end(*_: object) -> None:
    """End as if by Ctrl-C, so that everything is stopped and removed."""
    raise SystemExit(128 + signal.SIGTERM)


def _show_off(directory: Path, kafka: "EmbeddedKafka", started: float, *, keep: bool) -> bool:
    """Run the demo on a broker and print its outcome; returns whether the audit is complete."""
    from console.demo import Workers, create_topics, only_settings, run, step
    from sandbox import retail_sample
    from sandbox.feed import feed_file

    screen.remark(f"· Kafka runs at {kafka.bootstrap_servers}", style="cyan")
    file = _write_settings(directory, kafka.bootstrap_servers)
    settings = only_settings(file)
    with step("read the sample"):
        retail_sample.write_feed(directory / "feed")
    create_topics(settings)
    names = ("stream", "batch", "serve") if keep else ("stream", "batch")
    with Workers(directory, file, _guard(), names) as workers:
        outcome = run(settings, workers, {source: feed_file(directory / "feed", source) for source in Source}, AS_OF_MS)
        _print(outcome, time.monotonic() - started)
        if keep:
            _stay(workers, file, settings)
        else:
            screen.say("`velocity demo --keep` leaves everything running, and shows how to look further.")
    return outcome.report.complete


def _print(outcome: "Outcome", elapsed_s: float) -> None:
    from console.commands.upkeep import show_accounts, show_verdict
    from console.demo_report import show
    from console.progress import duration_text

    screen.say()
    show_accounts(outcome.report, title="Where every record is")
    show(outcome, _names())
    screen.say()
    show_verdict(outcome.report, with_head=False)  # it has times in it, and a demo says the same each time
    screen.remark(f"finished in {duration_text(elapsed_s)}", style="dim")
    screen.say()


def _stay(workers: "Workers", file: Path, settings: "Settings") -> None:
    """Wait for Ctrl-C, or for a worker to end."""
    from console.demo_report import show_ways_on
    from sandbox import retail_sample

    console = f"http://{settings.serve.host}:{settings.serve.port}/"
    show_ways_on(file, console, settings.api.url, retail_sample.SITE_ID, BEST_KNOWN)
    screen.say("Ctrl-C ends the demo and removes its data.", style="bold")
    try:
        while True:
            workers.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        screen.remark("stopping …")


def _guard() -> list[str]:
    """What keeps a worker from outliving this process, however that ends."""
    from sandbox.kafka import guard

    return [sys.executable, "-I", "-S", str(guard.__file__), str(os.getpid())]


def _names() -> dict[str, str]:
    """The most frequent description of each SKU of the sample."""
    import pyarrow.parquet as pq

    from sandbox import retail_sample

    with resources.as_file(resources.files("sandbox").joinpath("data", retail_sample.FILE)) as path:
        columns = pq.read_table(path, columns=["StockCode", "Description"]).to_pydict()
    pairs = Counter(zip(columns["StockCode"], columns["Description"], strict=True))
    ascending = sorted((count, sku.upper(), name) for (sku, name), count in pairs.items() if name)
    return {sku: name.strip().capitalize() for _, sku, name in ascending}  # the last one, most frequent, stays


def _say_download(present: int, total: int) -> None:
    screen.remark(f"downloading Kafka, once: {present} of {total} files")


def _write_settings(directory: Path, bootstrap_servers: str) -> Path:
    from console.demo import free_port, write_settings
    from sandbox import retail_sample

    sites = directory / "sites.csv"
    sites.write_text(retail_sample.sites_csv(), "utf-8")
    values: dict[str, Any] = {
        "worker_id": "demo",
        "state_dir": str(directory / "state"),
        "sites_file": str(sites),
        "sku_pattern": retail_sample.SKU_PATTERN,
        "kafka": {"bootstrap_servers": bootstrap_servers},
        "store": {"url": str(directory / "store")},
        "window": {"spec": "local-day", "idle_policy": "hold"},
        "stream": {"http_port": free_port(), "checkpoint_interval": "PT1S"},
        "serve": {"port": free_port()},
        "desk": {"recipes": str(directory / "recipes")},
        "api": {"url": f"http://127.0.0.1:{free_port()}"},
    }
    return write_settings(directory, values)
