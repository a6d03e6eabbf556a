"""Options that several commands share, as a dataclass: one parameter of the command, which typer reads as many."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

Command = Callable[..., None]


def taking(name: str, group: type) -> Callable[[Command], Command]:
    """Makes commands whose parameter `name` is a `group`: the fields of that take its place in what typer reads."""
    options = inspect.signature(group).parameters

    def decorate(command: Command) -> Command:
        parameters = inspect.signature(command).parameters

        @wraps(command)
        def run(**values: Any) -> None:
            chosen = group(**{option: values.pop(option) for option in options})
            command(**{name: chosen}, **values)

        shown = [p for each in parameters for p in (options.values() if each == name else [parameters[each]])]
        shown = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in shown]
        run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
        return run

    return decorate
