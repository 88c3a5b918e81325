"""The needs of programs towards whoever computes with them, and the refusal of needs that are not met.

Needs follow from fields: one that nothing here names is a need of its own name, which nobody can meet before it says so
beside its code, in its ``CAN``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, Protocol

import numpy as np

from neurodeploy.errors import LackingError

NEEDS = {
    "subtract": "reset by subtraction",
    "subtract-late": "reset by subtraction in the next step",
    "zero-late": "reset that drops the next step's input",
    "no-reset": "potential that no spike resets",
    "subtract-pending": "second reset in the next step where v is still above the threshold",
    "count": "count of several spikes a step",
    "refractory": "refractory period",
    "interval": "clearing of the registers at an interval",
    "integrator": "potential that is read instead of spikes",
    "meets": "spike where v meets the threshold (v >= threshold)",
    "lowers-v": "current that spikes raise and that lowers its potential",
    "clears-now": "reset that clears its currents",
    "clears-late": "reset that clears its currents in the next step",
    "ternary": "negative spike below a second threshold",
    "floor": "lower bound of its potential",
    "adaptive": "adaptation that spikes raise",
    "second": "second synaptic current",
    "delay": "delay of more than one step",
    "graded": "spike that carries a number",
    "conv": "convolution",
    "sparse": "sparse synapses",
    "negative-exponent": "weight exponent below 0",
    "host": "first layers on the host",
}
"""All that a program can need, in words."""

RESETS = {
    "subtract": "subtract",
    "subtract-late": "subtract-late",
    "zero-late": "zero-late",
    "none": "no-reset",
    "subtract-pending": "subtract-pending",
}
"""What each reset needs but the plain one, to zero."""

MODEL: Mapping[str, str | Mapping[str, str]] = {
    "reset": RESETS,
    "max_spikes": "count",
    "refractory": "refractory",
    "reset_interval": "interval",
    "reset_offset": "interval",
    "fires": "integrator",
    "spike": {">=": "meets"},
    "adapts": {"v": "lowers-v"},
    "clears_u": {"now": "clears-now", "late": "clears-late"},
}
"""What each field of a neuron model needs where it is not the plain neuron's: the same always, or by its value."""

EXTRAS = {
    "threshold_low_code": "ternary",
    "v_min": "floor",
    "adapt_decay": "adaptive",
    "adapt_step": "adaptive",
    "du_second": "second",
}
"""What codes need that a population may have."""

LAYOUT = {
    "stride": "conv",
    "padding": "conv",
    "dilation": "conv",
    "groups": "conv",
    "n_out": "sparse",
    "indices": "sparse",
    "indptr": "sparse",
    "message_bits": "graded",
}
"""What fields of a projection need that it may have."""


def can(words: str) -> frozenset[str]:
    """Return needs that are met, from their names with spaces between.

    Raises:
        ValueError: there is no such need.
    """
    found = frozenset(words.split())
    if unknown := found - set(NEEDS):
        raise ValueError(f"nothing needs {sorted(unknown)}")
    return found


class Needy(Protocol):
    """A population, a projection or a program."""

    @property
    def name(self) -> str:
        """The name in messages."""

    def needs(self) -> frozenset[str]:
        """Return what it needs of whoever computes with it."""


def needs_of(part: Any, known: Mapping[str, str | Mapping[str, str]], plain: Iterable[str] = ()) -> frozenset[str]:
    """Return what the fields of a dataclass need whose values are not their defaults.

    Args:
        part: the object.
        known: what each field needs, always or by its value; a field, or a value, that is not in it needs itself.
        plain: fields that everybody reads, or that nobody computes with.
    """
    found = set()
    for field in fields(part):
        value = getattr(part, field.name)
        if field.name in plain or _is_default(value, field.default, field.default_factory):
            continue
        need = known.get(field.name, field.name)
        found.add(need if isinstance(need, str) else need.get(value, f"{field.name} {value}"))
    return frozenset(found)


def _is_default(value: Any, default: Any, factory: Any) -> bool:
    if factory is not MISSING:
        default = factory()
    if isinstance(value, np.ndarray) or isinstance(default, np.ndarray):
        return value is default
    return bool(value == default)


def refuse_unread(name: str, part: Any, reads: Iterable[str], who: str) -> None:
    """Refuse a float population, or its rule, that has more than somebody reads of such.

    Args:
        name: of the population.
        part: the population or its rule.
        reads: fields that are read.
        who: by whom, as the message begins: ``the compiler``.

    Raises:
        LackingError: another field has a value of its own.
    """
    if unread := needs_of(part, {}, reads):
        raise LackingError(
            f"{who} does not support {', '.join(sorted(unread))} of {name!r}",
            where=f"node {name!r}",
            fix="Leave it out, or use a backend or a target that supports it.",
        )


def lacking(parts: Iterable[Needy], can: frozenset[str]) -> dict[str, list[str]]:
    """Return in words what each of some parts needs that is not in ``can``, by the part's name."""
    missing = {part.name: sorted(part.needs() - can) for part in parts}
    return {name: [NEEDS.get(need, need) for need in needs] for name, needs in missing.items() if needs}


def refuse_missing(parts: Iterable[Needy], can: frozenset[str], who: str, fix: str = "") -> None:
    """Refuse what somebody cannot compute with, by name.

    Args:
        parts: populations, projections and programs, :attr:`neurodeploy.ir.program.Program.parts`.
        can: the needs that are met.
        who: whose they are, as the message begins: ``fine-tuning``.
        fix: what to do instead.

    Raises:
        LackingError: a part needs more; it names them all.
    """
    if found := lacking(parts, can):
        raise LackingError(
            f"{who} cannot compute with " + "; ".join(f"{', '.join(what)} of {name}" for name, what in found.items()),
            where=f"node {', '.join(map(repr, found))}",
            fix=fix or "Run the program on a backend that can, or train the model without it.",
        )
