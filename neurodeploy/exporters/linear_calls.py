"""Follow linear layers: those that NIR has a node for, and those that become a matrix."""

from __future__ import annotations

from dataclasses import replace

from neurodeploy.exporters.by_step import swapped
from neurodeploy.exporters.layers import LINEAR, UnsupportedError, layer_step, matrix_of, named_arguments
from neurodeploy.exporters.origins import Origins, TorchCall
from neurodeploy.exporters.signals import Signal
from neurodeploy.exporters.views import voted
from neurodeploy.ir.synapses import Flatten


def layer(origins: Origins, call: TorchCall) -> Signal | None:
    """Return what leaves a linear layer, which becomes a node."""
    name, given = call.name, named_arguments(call.name, call.args, call.kwargs)
    signal = origins.signal_or_rest(given["input"])
    if signal is None or any(origins.signal_of(given.get(key)) for key in ("weight", "bias", "other")):
        return None
    if name == "avg_pool1d" and (vote := voted(signal, given)) is not None:
        return vote
    if signal.lead is None or (name not in ("linear", "matmul") and len(signal.axes) != len(signal.shape) + 1):
        raise UnsupportedError(f"{name}() over an axis that is not one of the features")
    step = layer_step(name, given, signal.shape)
    return origins.through(name, step.ops, signal).scaled(step.factor)


def as_matrix(origins: Origins, call: TorchCall) -> Signal | None:
    """Return what leaves a linear function that NIR has no node for, as a matrix; None if it is none."""
    name, args, kwargs, taken = call.name, call.args, call.kwargs, call.taken
    if name not in LINEAR or not taken or any(signal.broken for signal in taken):
        return None
    given, signal = origins.followed(call), taken[0]
    n_lead = len(signal.axes) - len(signal.shape)
    if len(given) != 1 or not signal.is_plain or signal.lead is None or "T" in signal.axes[n_lead - 1 : n_lead]:
        return None
    if call.out.shape[:n_lead] != given[0].shape[:n_lead]:
        return None
    try:
        op = matrix_of(
            lambda x: call.func(*swapped(args, given[0], x), **swapped(kwargs, given[0], x)), n_lead, signal.shape
        )
    except UnsupportedError as problem:
        return origins.broken(call, call.out, f"{name}() as {problem}")
    except (RuntimeError, ValueError, IndexError):
        return None
    if op is None:
        return None
    flat = (Flatten(0, -1),) if len(signal.shape) > 1 else ()
    found = origins.through(name, (*flat, op), signal)
    leaving = tuple(call.out.shape[n_lead:])
    return found if leaving else replace(found, axes=found.axes[:n_lead], shape=())
