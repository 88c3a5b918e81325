"""Files of target facts: what one inherits from another, on which line a key stands, and faults of form in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from reprlib import repr as shortened
from typing import Any

from neurodeploy.errors import known

Place = tuple[str | int, ...]
"""Where a value stands in a TOML file: ``("energy", "profiles", 0, "synop")``."""

UNSOURCED = "inferred"
"""How a value is known whose file does not say it."""

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*([\w.\-\"' ]+?)\s*=")

_EXPECTED = {
    "int_type": "a whole number",
    "bool_type": "true or false",
    "string_type": "a text",
    "float_type": "a number",
    "finite_number": "a finite number",
    "list_type": "a list",
    "string_too_short": "a text that is not empty",
}
"""What pydantic's kinds of error ask for."""


def inherit(base: Mapping[str, Any], own: Mapping[str, Any], name: str, sections: tuple[str, ...]) -> dict[str, Any]:
    """Return a target file's content with all that it leaves out taken from another's.

    A fact that the file states is its own as a whole, but for the unit, which a fact always has; so are its energies.

    Args:
        base: content of the other file.
        own: content of the file, in which a fact may be no more than its value.
        name: how a value without a source is said to be known.
        sections: tables whose entries are facts, each with value, unit, kind and source.
    """
    merged: dict[str, Any] = {**base, **own}
    for section in sections:
        facts, differing = dict(base[section]), own.get(section, {})
        if not isinstance(differing, dict):
            continue
        for key, fact in differing.items():
            fact = fact if isinstance(fact, dict) else {"value": fact}
            if key in facts and "source" not in fact:
                fact = {"kind": UNSOURCED, "source": f"{name}, which names no source", **fact}
            facts[key] = {"unit": facts[key]["unit"], **fact} if key in facts else fact
        merged[section] = facts
    return merged


def line_of(text: str, place: Place) -> int | None:
    """Return the line, from 1, on which the value at a place is stated, or the closest table around it; else None."""
    lines = _lines(text)
    found = (lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in lines)
    return next(found, None)


def _lines(text: str) -> dict[Place, int]:
    """Return the line of every table and key. Text of several lines that looks like a key may be taken for one."""
    found: dict[Place, int] = {}
    table: Place = ()
    arrays: dict[Place, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = _parts(header[2])
            if header[1] == "[[":
                arrays[table] = arrays.get(table, -1) + 1
                found.setdefault(table, number)
                table = (*table, arrays[table])
            found[table] = number
        elif key := _KEY.match(line):
            parts = _parts(key[1])
            for n in range(1, len(parts) + 1):
                found.setdefault((*table, *parts[:n]), number)
    return found


def _parts(dotted: str) -> Place:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def dotted(place: Place) -> str:
    """Return a place as messages have it: ``energy.profiles[0].synop``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")


def in_words(error: Mapping[str, Any], siblings: Mapping[str, Any]) -> str:
    """Return one of pydantic's errors as a sentence with the key, its value, and what is allowed.

    Args:
        error: of ``ValidationError.errors()``.
        siblings: what the table takes in which the key stands.
    """
    key, kind, context = dotted(error["loc"]), error["type"], error.get("ctx", {})
    value = shortened(error["input"])
    match kind:
        case "missing":
            return f"{key} is missing, and every target has to give it"
        case "extra_forbidden":
            return f"{key} is not a key that neurodeploy reads; there are {known(siblings)}"
        case "literal_error":
            return f"{key} is {value}, but it has to be {context['expected']}"
        case "greater_than_equal":
            return f"{key} is {value}, but it has to be at least {context['ge']:g}"
        case "less_than_equal":
            return f"{key} is {value}, but it has to be at most {context['le']:g}"
        case "model_type":
            fact = " { value = ..., unit = ..., kind = ..., source = ... }" if error["loc"][1:] else ""
            return f"{key} is {value}, but it has to be a table{fact}"
    expected = _EXPECTED.get(kind)
    return f"{key} is {value}, but it has to be {expected}" if expected else f"{key} is {value}: {error['msg']}"
