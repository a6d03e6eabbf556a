"""`velocity kafka`: a real Kafka on a laptop. With `velocity demo` the only command that uses `sandbox`."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from console import screen
from console.commands import Commands, Json
from console.errors import CommandFailed

app = Commands(help="A real Apache Kafka on this machine: no container engine, no system Java.")

DataDir = Annotated[Path | None, typer.Option(help="Where it keeps its data (default ~/.local/share/velocity/kafka).")]


@app.command()
def start(
    port: Annotated[int, typer.Option(help="Port on the loopback.")] = 9092,
    data_dir: DataDir = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and stop it at Ctrl-C or SIGTERM.")] = False,
) -> None:
    """Start a broker that keeps running, or find the one that already runs on the data directory.

    The first start downloads Kafka (56 MB, once). Data survive stopping and starting.

    \b
    Examples:
      velocity kafka start
      velocity kafka start --port 9192 --data-dir /tmp/kafka --foreground
    """
    from sandbox.kafka import KafkaInstallError, KafkaStartError, start_broker

    try:
        if foreground:
            _run_in_foreground(port, data_dir)
            return
        status = start_broker(port, data_dir, on_progress=_say_download)
    except (KafkaInstallError, KafkaStartError, ValueError) as error:
        raise CommandFailed(str(error)) from error
    screen.say(f"Kafka {status.version} runs at {status.bootstrap_servers}, data in {status.data_dir}")
    screen.remark(f"export VELOCITY_KAFKA__BOOTSTRAP_SERVERS={status.bootstrap_servers}")


@app.command()
def stop(data_dir: DataDir = None) -> None:
    """Stop the broker of the data directory; its data stay.

    \b
    Example:
      velocity kafka stop
    """
    from sandbox.kafka import stop_broker

    screen.say("stopped" if stop_broker(data_dir) else "no broker was running")


@app.command()
def status(data_dir: DataDir = None, json: Json = False) -> None:
    """Show whether the broker of the data directory runs and answers. Exit 1 if it does not.

    \b
    Example:
      velocity kafka status
    """
    from sandbox.kafka import broker_status

    found = broker_status(data_dir)
    if json:
        screen.say_json(
            {
                "running": found.running,
                "answering": found.answering,
                "pid": found.pid,
                "bootstrap_servers": found.bootstrap_servers,
                "data_dir": str(found.data_dir),
                "version": found.version,
            }
        )
    elif found.running:
        answer = "answers" if found.answering else "does not answer"
        screen.say(f"process {found.pid} runs at {found.bootstrap_servers} and {answer}; data in {found.data_dir}")
    else:
        screen.say(f"no broker runs on {found.data_dir}")
    raise typer.Exit(0 if found.answering else 1)


def _run_in_foreground(port: int, data_dir: Path | None) -> None:
    from sandbox.kafka import EmbeddedKafka, default_data_dir

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with EmbeddedKafka(data_dir or default_data_dir(), port, on_progress=_say_download) as kafka:
        screen.say(f"Kafka runs at {kafka.bootstrap_servers}, data in {kafka.data_dir}; Ctrl-C stops it")
        while kafka.is_running and not ended.wait(0.5):
            pass
        if not ended.is_set():
            raise CommandFailed(f"the broker ended by itself; see {kafka.data_dir}/broker.log")


def _say_download(present: int, total: int) -> None:
    screen.remark(f"downloading Kafka: {present} of {total} files")
