"""Installs a lock file of this folder into a virtual environment: `install.py ENVIRONMENT all|lint|lock`.

`all` also creates the environment and puts the project into it, editable. This runs before anything is installed, with
the standard library only. pip's usual settings (`PIP_INDEX_URL`, `PIP_CERT`, …) hold, every file is checked against its
hash, and nothing is built from source but the project itself.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent
PROJECT = REQUIREMENTS.parent
LINES_SHOWN = 15

#: What pip's output says about a failure, and what that means; the first that matches.
EXPLANATIONS = (
    (r"CERTIFICATE_VERIFY_FAILED|SSLError", "the package index's certificate is not trusted; PIP_CERT names your own"),
    (
        r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ConnectionResetError|ReadTimeoutError|ProxyError"
        r"|Failed to establish a new connection|Network is unreachable|[Nn]ame resolution",
        "the network is missing: the package index did not answer. Set-up needs it once; a mirror or a proxy is named "
        "by pip's own settings (PIP_INDEX_URL, PIP_PROXY)",
    ),
    (r"DO NOT MATCH THE HASHES", "a package is not the one that was locked; it was not installed"),
    (r"No space left on device", "the disk is full"),
    (r"\(from versions: none\)", "the package index did not answer, or has nothing for this Python and platform"),
    (r"No matching distribution found", "the package index does not have what is locked for this Python and platform"),
)


class SetupFailed(Exception):
    """The environment is not complete; the message is for the person who asked for it."""


def main(environment: Path, name: str) -> None:
    """Make `environment` hold what `name` locks.

    Raises:
        SetupFailed: says what is missing.
    """
    started = time.monotonic()
    python = environment / "bin" / "python"
    if not _usable(python):
        say(f"creating {environment} with Python {sys.version.split()[0]}")
        _run([sys.executable, "-m", "venv", "--clear", str(environment)])
    lock = REQUIREMENTS / f"{name}.txt"
    # Compiled on first use instead: most modules never are, and it is a quarter of the time.
    install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--no-compile"]
    _run([*install, "--require-hashes", "--only-binary", ":all:", "-r", str(lock)], total=_packages_in(lock))
    if name == "all":
        _run([*install, "--no-build-isolation", "--editable", str(PROJECT)])
    say(f"{environment} has what requirements/{lock.name} locks ({time.monotonic() - started:.0f} s)")


def _usable(python: Path) -> bool:
    """Whether the environment is there, whole, and of this Python version."""
    probe = "import sys, pip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.stdout.split() == [str(part) for part in sys.version_info[:2]]


def _packages_in(lock: Path) -> int:
    return len(re.findall(r"^\w[^=]*==", lock.read_text("utf-8"), re.MULTILINE))


def _run(command: list[str], total: int = 0) -> None:
    """Run a command to its end; with `total`, show how many of so many packages it has come to."""
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if total:
                _show_progress(line, sum(_names_package(other) for other in lines), total)
    if process.returncode:
        raise SetupFailed("\n".join([*lines[-LINES_SHOWN:], "", f"set-up failed: {explain(lines)}"]))


def _names_package(line: str) -> bool:
    return line.startswith(("Collecting ", "Requirement already satisfied: "))


def _show_progress(line: str, seen: int, total: int) -> None:
    """One line that is written over where a person watches; elsewhere only its beginning and end."""
    installing = line.startswith("Installing collected packages")
    if sys.stdout.isatty() and (installing or _names_package(line)):
        text = "installing" if installing else f"fetching {seen}/{total} {line.split()[1].split('=')[0]}"
        sys.stdout.write(f"\r{text:<60}{'' if not installing else chr(10)}")
        sys.stdout.flush()
    elif installing or (seen == 1 and _names_package(line)):
        say(f"{'installing' if installing else 'fetching'} {total} packages")


def explain(lines: list[str]) -> str:
    """What pip's output means in plain words."""
    text = "\n".join(lines)
    return next((words for pattern, words in EXPLANATIONS if re.search(pattern, text)), "see above")


def say(text: str) -> None:
    """Tell the person who waits."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2])
    except SetupFailed as failure:
        sys.exit(str(failure))
    except KeyboardInterrupt:
        sys.exit("set-up interrupted; the next run goes on from here")
