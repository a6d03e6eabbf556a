"""Debian's Chromium: where it is, and, where that can be done, its installation (`make test` runs this file)."""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")  # containers have no user namespaces
_INSTALL = (("apt-get", "update"), ("apt-get", "install", "--yes", "--no-install-recommends", "chromium"))
_WITHIN_S = 600


def chromium() -> str | None:
    """The path of a Chromium; None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def install() -> str:
    """Install it if it is missing, apt is here, and we may; a sentence that says what became of that."""
    if chromium():
        return ""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return "Chromium is not here, and cannot be installed without apt and root: the browser tests will be skipped"
    sys.stdout.write("Chromium is not here: apt installs it for the browser tests\n")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in _INSTALL:
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=_WITHIN_S, check=False
            )
        except subprocess.TimeoutExpired:
            return f"`{' '.join(command)}` took more than {_WITHIN_S} s: the browser tests will be skipped"
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            return f"`{' '.join(command)}` failed ({last}): the browser tests will be skipped"
    return ""


if __name__ == "__main__":
    if said := install():
        sys.stdout.write(f"{said}\n")
