"""Follow sums, differences, products and running maxima: what they make of the signals that they take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from neurodeploy.exporters.origins import Origins, TorchCall
from neurodeploy.exporters.signals import Signal, equal, features_of

_SIGNS = {"sub": (1, -1), "isub": (1, -1), "subtract": (1, -1), "rsub": (-1, 1)}


def sum_of(origins: Origins, call: TorchCall) -> Signal | None:
    """Return the sum, or difference, of two signals or of a signal and a constant."""
    terms, alpha = _terms(call), call.kwargs.get("alpha", 1)
    if len(terms) != 2 or not isinstance(alpha, (int, float)):
        return None
    signs = _SIGNS.get(call.name, (1, 1))
    factors = (signs[0], signs[1] * alpha)
    signals = [origins.signal_of(term) for term in terms]
    parts = [s.scaled(f) for s, f in zip(signals, factors, strict=True) if s is not None]
    if len(parts) == 1:
        index = signals.index(None)
        constant = 0.0 if origins.is_zero(terms[index]) else features_of(terms[index], parts[0])
        if np.any(constant) and parts[0].rule == "sum":
            return None  # once, not in each step
        if constant is None or tuple(call.out.shape) != tuple(terms[1 - index].shape):
            return None
        return parts[0].shifted(np.multiply(constant, factors[index])) if np.any(constant) else parts[0]
    one, two = parts
    if (one.axes, one.shape) != (two.axes, two.shape) or (one.rule, one.groups) != (two.rule, two.groups):
        return None
    return one.plus(two)


def product_of(origins: Origins, call: TorchCall) -> Signal | None:
    """Return a signal times, or divided by, a constant."""
    if call.name == "neg":
        signal = origins.signal_of(call.args[0])
        return None if signal is None else signal.scaled(-1.0)
    terms = _terms(call)
    if len(terms) != 2 or call.kwargs.get("rounding_mode") is not None:
        return None
    divides = "div" in call.name
    signal, other = origins.signal_of(terms[0]), terms[1]
    if signal is None:
        if divides:
            return None
        signal, other = origins.signal_of(terms[1]), terms[0]
    if signal is None or origins.signal_of(other) is not None or tuple(call.out.shape) != _shape_of(terms, other):
        return None
    constant = features_of(other, signal)
    if constant is None or not np.isfinite(constant).all() or (divides and not np.all(constant)):
        return None
    return signal.scaled(np.divide(1.0, constant) if divides else constant)


def running_maximum(origins: Origins, call: TorchCall) -> Signal | None:
    """Return the largest value of steps 0 to t from that of the steps before t, which carries the step it has."""
    before, now = origins.signal_of(call.args[0]), origins.signal_of(call.args[1])
    if before is None or now is None:
        return None
    if now.rule == "max":
        before, now = now, before
    (first, *more), (second, *others) = before.terms or [None], now.terms or [None]
    if first is None or second is None or more or others or first.step is None or second.step != first.step + 1:
        return None
    if before.rule not in (None, "max") or not now.is_plain or (before.rule is None and first.step != 0):
        return None
    is_same = before.axes == now.axes and before.shape == now.shape and equal(before.offset, now.offset)
    if not is_same or first[:2] != second[:2] or not equal(before.terms[first], now.terms[second]):
        return None
    return replace(now, rule="max")


def _terms(call: TorchCall) -> list[Any]:
    return [*call.args, *((call.kwargs["other"],) if "other" in call.kwargs else ())]


def _shape_of(terms: list[Any], other: Any) -> tuple[int, ...]:
    """Return the shape of the term that is not ``other``."""
    return tuple(next(term for term in terms if term is not other).shape)
