"""Values of a dialect's keys: read from text or from a file's metadata, checked, and set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from neurodeploy.errors import DeployError, known
from neurodeploy.importers.dialects import BY_NEURON, KEYS, Settings
from neurodeploy.ir.rule import ADAPT_ORDERS, ADAPTATIONS, ORDERS

CHOICES = {
    "decay": ("euler", "exp"),
    "gain": ("unit", "euler", "norm"),
    "gain_syn": ("unit", "euler"),
    "spike": (">", ">="),
    "reset": ("subtract", "value", "none", "zero"),
    "order": ORDERS,
    "adapts": ADAPTATIONS,
    "adapt_order": ADAPT_ORDERS,
}
TRUTHS = (
    "reset_delay", "reset_drops_input", "reset_before_decay", "reset_pending", "reset_currents", "norm_input",
    "starts_at_leak", "starts_at_reset", "rounds", "signed", "sums_input",
)  # fmt: skip
COUNTS = {"max_spikes": 2**23, "output_delay": 1, "refractory": 4096}
MAY_BE_NONE = ("min_v_mem", "tau_syn")


def set_keys(settings: Settings, said: dict[str, Any], where: str) -> Settings:
    """Return settings with what is said on top.

    Args:
        settings: below. said: values by key, as text or decoded. where: who says so, for messages.

    Raises:
        DeployError: no dialect has a key, or the key cannot have its value.
    """
    for key, value in said.items():
        if key not in KEYS:
            raise DeployError(f"no dialect has a key {key!r}", where=where, fix=f"Choose from {known(KEYS)}.")
        parsed = _value(key, value, where)
        if key == "reset" and parsed == "zero":
            settings = replace(settings, reset="value", v_reset=0.0)
        else:
            settings = replace(settings, **{key: parsed})
    return settings


def is_same_number(one: Any, other: Any) -> bool:
    """Tell whether two values are numbers, or texts of them, and equal."""
    try:
        return float(one) == float(other)
    except (TypeError, ValueError):
        return False


def _value(key: str, value: Any, where: str) -> Any:
    if key in CHOICES:
        if value not in CHOICES[key]:
            raise DeployError(f"{key} cannot be {value!r}", where=where, fix=f"Choose one of {known(CHOICES[key])}.")
        return value
    if key in TRUTHS:
        truth = {"true": True, "false": False}.get(str(value).lower())
        if truth is None:
            raise DeployError(f"{key} cannot be {value!r}", where=where, fix="Give true or false.")
        return truth
    if key in MAY_BE_NONE and str(value).lower() == "none":
        return None
    if key in BY_NEURON and isinstance(value, (list, tuple)):
        return _by_neuron(key, value, where)
    return _number(key, value, where)


def _number(key: str, value: Any, where: str) -> float | int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if key in COUNTS:
        if not (0 <= number <= COUNTS[key] and number == int(number)):
            raise DeployError(
                f"{key} cannot be {value!r}", where=where, fix=f"Give a whole number up to {COUNTS[key]}."
            )
        return int(number)
    if not np.isfinite(number) or (key in ("dt", "tau_scale") and number <= 0):
        raise DeployError(
            f"{key} cannot be {value!r}",
            where=where,
            fix=f"Give a finite number for {key}; dt is in seconds and above 0.",
        )
    return number


def _by_neuron(key: str, value: Any, where: str) -> Any:
    """Return nested lists of numbers as nested tuples."""
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.full(1, np.nan)
    if not numbers.size or not np.isfinite(numbers).all():
        raise DeployError(
            f"{key} is not an array of finite numbers", where=where, fix="Give one number, or one for each neuron."
        )

    def nested(part: Any) -> Any:
        return tuple(nested(inner) for inner in part) if isinstance(part, list) else part

    return nested(numbers.tolist())
