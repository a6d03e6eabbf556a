"""Whether the worker in this container makes progress: exit 0 when its `/readyz` says so, else 1 and the reason.

A container runs one worker, so one of the ports answers. They come from the settings that the worker itself reads; that
of the console counts only where it is set, so that no other worker's container looks for one.
"""

import os
import sys
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

TIMEOUT_S = 3.0


def ports(environment: dict[str, str]) -> tuple[int, ...]:
    """Where a console, a stream worker and a batch worker of this environment listen."""
    console = environment.get("VELOCITY_SERVE__PORT")
    api = urlsplit(environment.get("VELOCITY_API__URL", "http://127.0.0.1:8080"))
    stream = int(environment.get("VELOCITY_STREAM__HTTP_PORT", "8081"))
    return (*([int(console)] if console else []), stream, api.port or 80)


def main() -> int:
    """Ask the worker; returns the exit code."""
    for port in ports(dict(os.environ)):
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=TIMEOUT_S) as answer:
                sys.stdout.write(answer.read().decode())
                return 0
        except HTTPError as not_ready:
            sys.stdout.write(not_ready.read().decode(errors="replace"))
            return 1
        except (URLError, OSError):
            continue  # it is the other worker's port
    sys.stdout.write("no worker listens here")
    return 1


if __name__ == "__main__":
    sys.exit(main())
