"""Rank what is to be warned of: what did happen before what can happen, a line for each kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CAN_LEAVE = re.compile(r"(?P<node>.+?): in \d+ of \d+ neurons (?P<register>[uv]) can ")
"""How a sentence begins that tells of a register which some input could take out of its range."""

_CAN = re.compile(r"\bcan (wrap|saturate|reach|leave|overflow)\b")
_NUMBER = re.compile(r"\d[\d,.e+-]*")


def ranked(happened: Iterable[str], known: Sequence[str], nodes: Sequence[str], seen: str) -> list[str]:
    """Return all warnings, the gravest first.

    Args:
        happened: what was seen in the run.
        known: what the program was known to do, a sentence each, most as ``NODE: ...``.
        nodes: names that sentences of a kind differ in.
        seen: what is known of registers that were left, as the end of their sentence.
    """
    possible = [sentence for sentence in known if _CAN.search(sentence)]
    certain = [sentence for sentence in known if sentence not in possible]
    registers = [match for sentence in possible if (match := _CAN_LEAVE.match(sentence))]
    others = [sentence for sentence in possible if not _CAN_LEAVE.match(sentence)]
    return [*happened, *_by_kind(certain, nodes), *_by_kind(others, nodes), *_registers(registers, seen)]


def _by_kind(sentences: Iterable[str], nodes: Sequence[str]) -> list[str]:
    """Return one sentence of each kind, with the places of the others."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    names = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(nodes, key=len, reverse=True)))
    for sentence in sentences:
        place, colon, rest = sentence.partition(": ")
        kind = _NUMBER.sub("#", names.sub("@", rest) if nodes else rest) if colon else sentence
        kinds.setdefault(kind, []).append((place, sentence))
    found = []
    for (_, first), *more in kinds.values():
        also = ", ".join(dict.fromkeys(place for place, _ in more))
        found.append(f"{first} (the same of {also})" if also else first)
    return found


def _registers(matches: list[re.Match[str]], seen: str) -> list[str]:
    """Return one line on all registers that some input could take out of their range."""
    found: dict[str, list[str]] = {}
    for match in matches:
        found.setdefault(match["register"], []).append(match["node"])
    listed = " and ".join(f"{register} of {', '.join(dict.fromkeys(names))}" for register, names in found.items())
    return [f"some input can take {listed} out of the register; {seen}"] if listed else []
