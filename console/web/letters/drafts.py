"""The beginning of a recipe for a group, and the steps that a button inserts. Pure.

What is proposed is a guess by the group's class and pattern; the preview shows whether it is right.
"""

import json
import re
from collections.abc import Sequence

from console.desk.grouping import NO_PRODUCER, Group
from console.desk.indexed import IndexedLetter
from console.desk.texts import field_text
from schemas.errors import ErrorClass
from schemas.sources import Source

_PARTS = re.compile(r"\.([^.\[\]]+)|\[([0-9]{1,9})\]")
_NOT_OF_A_NAME = re.compile(r"[^a-z0-9]+")

#: What a button inserts for each kind of step; FIELD stands for the pointer of the group's field.
STEPS: dict[str, tuple[str, ...]] = {
    "set": ("value = 1",),
    "rename": ('to = "new_name"',),
    "remove": (),
    "map": ('values = { "each" = "EA" }', "ignore_case = true"),
    "time": ('format = "%d/%m/%Y %H:%M"', 'zone = "UTC"'),
    "number": ("decimal_comma = false",),
    "text": ("trim = true", "upper = true"),
    "patch": ("""operations = '[{"op": "replace", "path": "FIELD", "value": 1}]'""",),
    "encoding": ('from = "windows-1252"',),
}
_WITHOUT_PATH = frozenset({"patch", "encoding"})


def step_text(op: str, pointer: str, lines: Sequence[str] | None = None) -> str:
    """A step as TOML, at a field; its `lines` are those of `STEPS` where none are given."""
    chosen = STEPS[op] if lines is None else lines
    head = ["[[steps]]", f'op = "{op}"', *([] if op in _WITHOUT_PATH else [f"path = {json.dumps(pointer)}"])]
    return "\n".join([*head, *(line.replace("FIELD", pointer) for line in chosen)]) + "\n"


def draft(group: Group, source: Source | None, samples: Sequence[IndexedLetter]) -> str:
    """The text of a recipe for a group."""
    match = [f'classes = ["{group.error_class}"]', f"path = {json.dumps(group.path, ensure_ascii=False)}"]
    match += [f'source = "{source.value}"'] if source else []
    match += [f"producer = {json.dumps(group.producer, ensure_ascii=False)}"] if group.producer != NO_PRODUCER else []
    why = f"{group.error_class} at {group.path}" + (f" of {group.producer}" if group.producer != NO_PRODUCER else "")
    head = [f'name = "{_name(group)}"', f"why = {json.dumps(why, ensure_ascii=False)}", "", "[match]", *match, ""]
    return "\n".join(head) + "\n" + _proposed(group, samples)


def pointer_of(path: str) -> str:
    """The JSON Pointer of a JSON path such as `$.lines[0].sku`; empty for the whole document."""
    parts = (name or index for name, index in _PARTS.findall(path))
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def _name(group: Group) -> str:
    parts = [part for part in (group.producer, group.path) if part != NO_PRODUCER]
    name = _NOT_OF_A_NAME.sub("-", "-".join([*parts, group.error_class]).lower()).strip("-")
    return name[:64].strip("-") or "recipe"


def _proposed(group: Group, samples: Sequence[IndexedLetter]) -> str:
    pointer = pointer_of(group.path) or "/field"
    match ErrorClass(group.error_class):
        case ErrorClass.ENCODING:
            return step_text("encoding", pointer)
        case ErrorClass.UNKNOWN_UNIT:
            return step_text("map", pointer, _units(pointer, samples))
        case ErrorClass.BAD_FORMAT if pointer.endswith("_time"):
            return step_text("time", pointer, _time_lines(group.pattern))
        case ErrorClass.BAD_FORMAT:
            return step_text("text", pointer)
        case ErrorClass.WRONG_TYPE if group.pattern.startswith('"'):
            return step_text("number", pointer, ["decimal_comma = true"] if "," in group.pattern else [])
        case ErrorClass.WRONG_TYPE if group.pattern in ("9", "9.9", "-9", "-9.9"):
            return step_text("text", pointer, [])
        case _:
            return step_text("set", pointer)


def _units(pointer: str, samples: Sequence[IndexedLetter]) -> list[str]:
    """A map of what the samples have there; to what, a person says."""
    name = pointer.rpartition("/")[2]
    found = sorted({text for one in samples if (text := field_text(one.value or b"", name)) is not None})
    mapped = ", ".join(f'{json.dumps(text)} = "EA"' for text in found or ["each"])
    return [f"values = {{ {mapped} }}"]


def _time_lines(pattern: str) -> list[str]:
    """The format that a pattern suggests; a day before its month, unless the year comes first."""
    text = pattern.strip('"')
    form = "%Y-%m-%d" if text.startswith("9-9-9") else "%d/%m/%Y" if text.startswith("9/9/9") else "%d.%m.%Y"
    parts = text.count(":")
    clock = "" if not parts else ("T" if "A" in text else " ") + ("%H:%M:%S" if parts > 1 else "%H:%M")
    return [f'format = "{form}{clock}"', 'zone = "UTC"']
