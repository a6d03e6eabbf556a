"""Recipes: how a kind of dead letter is repaired, as a file that people can read, review and keep in version control.

    name = "scanner-7-dates"
    why = "Scanner 7 writes American local times"

    [match]
    classes = ["bad_format"]
    path = "$.event_time"
    producer = "scanner-7"

    [[steps]]
    op = "time"
    path = "/event_time"
    format = "%m/%d/%Y %H:%M"
    zone = "America/Chicago"

A recipe is known by its name, and by the SHA-256 of its content: not of the file, whose layout does not matter.
"""

import hashlib
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from console.desk.recipe_steps import AnyStep, Encoding
from console.errors import UsageError
from schemas.dead_letters import DeadLetter
from schemas.errors import ErrorClass
from schemas.sources import Source

NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
SUFFIX = ".toml"
LARGEST_BYTES = 256 << 10
MOST_STEPS = 100
_CANONICAL = msgspec.json.Encoder(order="sorted", decimal_format="number")


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which letters a recipe is for; an empty part means all. `path` is the JSON path of the fault."""

    classes: tuple[ErrorClass, ...] = ()
    path: str | None = None
    source: Source | None = None
    producer: str | None = None


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Ordered steps, under a name, with a reason."""

    name: str
    why: str
    match: Match = Match()
    steps: tuple[AnyStep, ...]

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r} must be 1 to 64 of a-z, 0-9 and -")
        if not self.why.strip():
            raise ValueError("why: say what is wrong with the records, for those who read this later")
        if not 0 < len(self.steps) <= MOST_STEPS:
            raise ValueError(f"steps: there must be 1 to {MOST_STEPS}")
        first = next((n for n, step in enumerate(self.steps) if not isinstance(step, Encoding)), len(self.steps))
        if any(isinstance(step, Encoding) for step in self.steps[first:]):
            raise ValueError("steps: `encoding` is about the bytes, so it comes before all other steps")

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits; the same for the same content."""
        return hashlib.sha256(_CANONICAL.encode(self)).hexdigest()

    def is_for(self, letter: DeadLetter, source: Source | None, producer: str) -> bool:
        """Whether a letter is one of those that the recipe matches."""
        match = self.match
        return (
            (not match.classes or letter.error_class in match.classes)
            and match.path in (None, letter.path)
            and match.source in (None, source)
            and match.producer in (None, producer)
        )


def parse_recipe(text: str, where: str) -> Recipe:
    """A recipe of its TOML text; numbers stay exact.

    Raises:
        UsageError: it is none; names `where`, the step and the field.
    """
    try:
        content = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is no TOML: {error}") from None
    return recipe_of(content, where)


def recipe_of(content: dict[str, Any], where: str) -> Recipe:
    """A recipe of what its file holds.

    Raises:
        UsageError: it is none; names `where`, the step and the field.
    """
    try:
        return msgspec.convert(content, Recipe, strict=True)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: {_in_words(str(error))}") from None


def _in_words(message: str) -> str:
    """msgspec counts from 0 and has the place at the end: `… - at `$.steps[1].path``."""
    text, mark, place = message.rpartition(" - at `$")
    if not mark:
        return message
    found = re.match(r"\.steps\[(\d+)\]\.?(.*)", place.rstrip("`"))
    if found:
        return f"step {int(found[1]) + 1}: {found[2] + ': ' if found[2] else ''}{text}"
    name = place.rstrip("`").lstrip(".")
    return f"{name}: {text}" if name else text


def written(recipe: Recipe) -> str:
    """The recipe as the text of its file."""
    content = msgspec.to_builtins(recipe, builtin_types=(Decimal,))
    ordered = {name: content[name] for name in ("name", "why", "match", "steps") if name in content}
    return tomli_w.dumps(ordered, multiline_strings=True)


def load_recipe(folder: Path, name_or_file: str) -> Recipe:
    """The saved recipe of a name, or the one in a file, where the text ends in `.toml` or has a slash.

    Raises:
        UsageError: there is none, or it is wrong.
    """
    if NAME.fullmatch(name_or_file):
        return _read(folder / f"{name_or_file}{SUFFIX}", name_or_file)
    if name_or_file.endswith(SUFFIX) or "/" in name_or_file:
        return _read(Path(name_or_file), None)
    raise UsageError(f"{name_or_file!r} is no name of a recipe: 1 to 64 of a-z, 0-9 and -; or name a .toml file")


def saved_recipe(folder: Path, name: str) -> Recipe:
    """The saved recipe of a name, and never of a path.

    Raises:
        UsageError: it is no name, there is none, or it is wrong.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a recipe: 1 to 64 of a-z, 0-9 and -")
    return _read(folder / f"{name}{SUFFIX}", name)


def _read(file: Path, name: str | None) -> Recipe:
    try:
        data = file.read_bytes()[: LARGEST_BYTES + 1]
    except OSError as error:
        hint = "; `velocity dlq recipes` lists those that are saved" if name else ""
        raise UsageError(f"there is no recipe {file}: {error.strerror}{hint}") from None
    if len(data) > LARGEST_BYTES:
        raise UsageError(f"{file} is larger than {LARGEST_BYTES >> 10} KiB")
    try:
        recipe = parse_recipe(data.decode(), str(file))
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8: {error}") from None
    if name is not None and recipe.name != name:
        raise UsageError(f"{file}: name: it says {recipe.name!r}, its file {name!r}")
    return recipe


def save_recipe(folder: Path, recipe: Recipe) -> Path:
    """Write a recipe under its name, whole or not at all; one that was there is replaced. Returns the file.

    Raises:
        OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{recipe.name}{SUFFIX}"
    temporary = file.with_suffix(".part")
    temporary.write_text(written(recipe), "utf-8")
    temporary.replace(file)
    return file


def saved_recipes(folder: Path) -> tuple[list[Recipe], list[str]]:
    """All recipes of a folder by name, and what is wrong with those files that are none."""
    found, wrong = list[Recipe](), list[str]()
    for file in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else ():
        try:
            found.append(saved_recipe(folder, file.stem))
        except UsageError as error:
            wrong.append(str(error))
    return found, wrong
