"""Settings of a command: flags over environment over file over default, where each comes from, and what is wrong."""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from console.errors import UsageError
from runtime.settings import CONFIG_FILE, Settings, describe

PREFIX = "VELOCITY_"
_SHORTHANDS = frozenset({("intake", "sku_pattern"), ("intake", "unit_codes")})  # also settings of their own
_NOT_SETTINGS = frozenset({CONFIG_FILE, "VELOCITY_CRASH_AT"})
_NAMED_BY_USER = (f"{PREFIX}SINKS__",)  # what follows is a name that the user gives
_SECRETS = ("password", "token", "dsn")


def load_settings(sets: Sequence[str] = (), file: Path | None = None) -> Settings:
    """The settings under `--set NAME=VALUE` flags and a configuration file other than `velocity.toml`.

    Raises:
        UsageError: a name or value is wrong, or the file cannot be read; names each and what is allowed.
    """
    if file is not None:
        if not file.is_file():
            raise UsageError(f"--config {file}: there is no such file")
        os.environ[CONFIG_FILE] = str(file)
    flags = parse_sets(sets)
    try:
        return Settings(**flags)
    except ValidationError as error:
        lines = "".join(f"\n  - {_explain(detail, flags)}" for detail in error.errors())
        raise UsageError(f"settings are wrong:{lines}") from None
    except SettingsError as error:
        raise UsageError(f"settings are wrong: {error}; lists and tables are given as JSON") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{config_file()} is not TOML: {error}") from None
    except OSError as error:
        raise UsageError(f"{config_file()}: {error.strerror}") from None


def parse_sets(sets: Sequence[str]) -> dict[str, Any]:
    """`section.name=value` flags as a nested dictionary; JSON lists and tables are decoded.

    Raises:
        UsageError: a flag has no `=`.
    """
    nested: dict[str, Any] = {}
    for text in sets:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise UsageError(f"--set {text!r}: write NAME=VALUE, such as window.spec=PT15M")
        *sections, leaf = name.strip().split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[leaf] = _decoded(value)
    return nested


def _decoded(value: str) -> Any:
    if value[:1] in ("[", "{"):
        try:
            return msgspec.json.decode(value)
        except msgspec.DecodeError:
            return value
    return value


def config_file() -> Path:
    """The file that settings are read from, if it is there."""
    return Path(os.environ.get(CONFIG_FILE, "velocity.toml"))


def variable_of(path: Sequence[str]) -> str:
    """The environment variable of a setting."""
    return PREFIX + "__".join(path).upper()


def leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every setting with its path."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name), value


def effective(settings: Settings, flags: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    """Every setting: its dotted name, its value with secrets masked, and where the value comes from."""
    file = _file_values()
    return [(".".join(path), value, _origin(path, flags, file)) for path, value in leaves(describe(settings))]


def _origin(path: tuple[str, ...], flags: Mapping[str, Any], file: Mapping[str, Any]) -> str:
    found = _origin_of_name(path, flags, file)
    return _origin_of_name(path[1:], flags, file) if found == "default" and path in _SHORTHANDS else found


def _origin_of_name(path: tuple[str, ...], flags: Mapping[str, Any], file: Mapping[str, Any]) -> str:
    if _holds(flags, path):
        return "flag"
    names = {name.upper() for name in os.environ}
    found = [variable for end in range(len(path), 0, -1) if (variable := variable_of(path[:end])) in names]
    found += sorted(name for name in names if name.startswith(f"{variable_of(path)}__"))
    if found:
        return found[0]
    return str(config_file()) if _holds(file, path) else "default"


def _holds(values: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    place: Any = values
    for name in path:
        if not isinstance(place, Mapping) or name not in place:
            return False
        place = place[name]
    return True


def _file_values() -> dict[str, Any]:
    try:
        return tomllib.loads(config_file().read_text("utf-8"))
    except FileNotFoundError:
        return {}


def unknown_variables() -> list[str]:
    """`VELOCITY_*` variables that are no setting and so have no effect, each with the one that was probably meant."""
    known = {variable_of(path) for path in _known_paths(Settings)} | _NOT_SETTINGS
    unknown = [name for name in os.environ if name.upper().startswith(PREFIX) and not _is_known(name.upper(), known)]
    return [f"{name}{_suggestion(name.upper(), known)}" for name in sorted(unknown)]


def _is_known(name: str, known: set[str]) -> bool:
    within = (*_NAMED_BY_USER, *(f"{other}__" for other in known if other.count("__")))
    return name in known or name.startswith(within)


def _known_paths(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        yield (*above, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _known_paths(field.annotation, (*above, name))


def _suggestion(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f" (did you mean {close[0]}?)" if close else ""


def _explain(error: ErrorDetails, flags: Mapping[str, Any]) -> str:
    path = tuple(str(part) for part in error["loc"])
    name, message = ".".join(path) or "settings", error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        names = {".".join(known) for known in _known_paths(Settings)}
        return f"{name}: there is no such setting{_suggestion(name, names)}"
    if error["type"].startswith("time_delta"):
        message += " (ISO 8601, such as PT10M, or P1D)"
    given = (
        ""
        if any(word in name for word in _SECRETS) or isinstance(error["input"], Mapping)
        else f" is {str(error['input'])!r}"
    )
    return f"{name}{given} (from {_origin(path, flags, _file_values())}): {message}"
