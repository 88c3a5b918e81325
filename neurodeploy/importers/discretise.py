"""Discretise a neuron node, as the settings that it is read with say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.importers.dialects import BY_NEURON, FIRING, Settings
from neurodeploy.importers.node import NirNode
from neurodeploy.ir.network import Population
from neurodeploy.ir.rule import NeuronRule
from neurodeploy.ir.synapses import Shape

Floats = NDArray[np.float64]

NEVER = 1e30
"""A threshold, V, that stands for an infinite one: float32 holds it, and what is computed with it."""


def discretise(name: str, node: NirNode, shape: Shape, settings: Settings, place: str) -> Population:
    """Return the neurons of one node, discretised as its settings say.

    Args:
        name: of the node.
        node: with NIR's parameters.
        shape: of the neurons, to which parameters are spread.
        settings: which the neurons are read with; ``dt`` and ``reset`` are known.
        place: the node, for messages.

    Raises:
        DeployError: a parameter or setting does not fit the shape, or nothing can be computed with it.
    """
    node = _with_current(name, node, settings, shape, place)
    _check_time_constants(name, node, settings, place)
    values = {
        key: _parameter(node, key, shape, place) for key in node.params if key not in ("input_type", "output_type")
    }
    said = {key: spread_setting(name, key, getattr(settings, key), shape, place) for key in BY_NEURON}
    zeros = np.zeros(shape)
    decay_mem, gain_mem = _membrane(node.kind, values, settings, zeros)
    decay_syn, gain_syn = _current(values, settings, zeros)
    v_reset, v_init = _start(values, said, settings, zeros)
    try:
        return Population(
            name,
            shape,
            _rule(node.kind, settings),
            decay_mem=decay_mem,
            decay_syn=decay_syn,
            gain_mem=gain_mem,
            gain_syn=gain_syn,
            threshold=np.minimum(values.get("v_threshold", values.get("threshold", zeros + 1.0)), NEVER),
            bias=values.get("v_leak", zeros) * (1.0 - decay_mem) if settings.bias is None else said["bias"],
            v_reset=v_reset,
            v_init=v_init,
            v_min=said["min_v_mem"],
            **{key: said[key] for key in BY_NEURON if key.startswith(("adapt_", "decay_", "gain_", "i_"))},
            refractory=settings.refractory,
        )
    except ValueError as error:
        raise DeployError(
            f"{node.kind} {name!r} cannot be read: {error}",
            where=place,
            fix="Check the node's tau and r, and dt and the other keys of --dialect.",
        ) from error


def spread_setting(name: str, key: str, value: Any, shape: Shape, place: str) -> Any:
    """Return a setting spread over the neurons, float64 ``shape``; None if it is None.

    Args:
        name: of the node. key: of the setting. value: one number, or nested numbers that broadcast.
        shape: of the neurons. place: the node, for messages.

    Raises:
        DeployError: the value does not broadcast to the shape.
    """
    if value is None:
        return None
    try:
        return np.broadcast_to(np.asarray(value, dtype=np.float64), shape)
    except ValueError as error:
        raise DeployError(
            f"the metadata of {name!r} has {key} of shape {np.shape(value)}, but the neurons have shape {shape}",
            where=place,
            fix="Give one number, or one for each neuron.",
        ) from error


def _check_time_constants(name: str, node: NirNode, settings: Settings, place: str) -> None:
    """Refuse time constants with which a state would grow or change its sign in each step."""
    assert settings.dt is not None
    clamps = settings.gain == "unit"
    for key in ("tau", "tau_mem", "tau_syn"):
        tau = np.asarray(node.params.get(key, 1.0), dtype=np.float64)
        if (tau == 0).any() or ((tau < 0).any() and not clamps):
            raise DeployError(
                f"{node.kind} {name!r} has {key} down to {tau.min():g} s; a time constant must be above 0",
                where=place,
                fix="Correct the parameter in the model, and export it again.",
            )
        if settings.decay == "euler" and not clamps and (settings.dt > tau * settings.tau_scale * (1 + 1e-6)).any():
            raise DeployError(
                f"{node.kind} {name!r} has {key} down to {tau.min() * settings.tau_scale:g} s, which is below its time"
                f" step of {settings.dt:g} s: its state would change its sign in each step",
                where=place,
                fix="Check dt (and tau_scale) of --dialect, or train with time constants of at least one step.",
            )


def _start(values: dict[str, Floats], said: dict[str, Any], settings: Settings, zeros: Floats) -> tuple[Floats, Floats]:
    """Return what v is reset to, and what it starts from."""
    v_reset = values.get("v_reset", zeros) if settings.v_reset is None else said["v_reset"]
    if settings.v_init is not None:
        return v_reset, said["v_init"]
    if settings.starts_at_reset:
        return v_reset, v_reset
    return v_reset, values.get("v_leak", zeros) if settings.starts_at_leak else zeros


def _with_current(name: str, node: NirNode, settings: Settings, shape: Shape, place: str) -> NirNode:
    """Return the node with the synaptic current that its dialect gives it; an IF then has a membrane without leak."""
    tau_syn = spread_setting(name, "tau_syn", settings.tau_syn, shape, place)
    if tau_syn is None or node.kind not in ("IF", "LIF"):
        return node
    of_membrane = {key: value for key, value in node.params.items() if key != "tau"}
    taus = {"tau_mem": node.params.get("tau", np.inf), "tau_syn": tau_syn}
    return replace(node, kind="CubaLIF", params={**of_membrane, **taus})


def _rule(kind: str, settings: Settings) -> NeuronRule:
    """Return what neurons of a node do in a step; a Threshold has no memory that a framework could read otherwise."""
    assert settings.reset is not None
    fires, is_threshold = kind in FIRING, kind == "Threshold"
    return NeuronRule(
        spike=">" if is_threshold else settings.spike,
        reset="none" if not fires or is_threshold else settings.reset,
        reset_delay=settings.reset_delay,
        reset_drops_input=bool(settings.reset_drops_input),
        reset_before_decay=settings.reset_before_decay,
        reset_pending=settings.reset_pending and not settings.reset_delay,
        max_spikes=1 if is_threshold else settings.max_spikes or None,
        rounds=settings.rounds,
        signed=settings.signed,
        order=settings.order,
        adapts=settings.adapts,
        adapt_order=settings.adapt_order,
        reset_currents=settings.reset_currents,
        sums_input=settings.sums_input,
        output_delay=settings.output_delay if fires and not is_threshold else 0,
        fires=fires,
    )


def _membrane(kind: str, values: dict[str, Floats], settings: Settings, zeros: Floats) -> tuple[Floats, Floats]:
    """Return the membrane's decay and the gain on what enters it."""
    assert settings.dt is not None
    if kind == "Threshold":
        return zeros, zeros + 1.0
    if kind in ("IF", "I"):
        rate = zeros + settings.dt
        return zeros + 1.0, zeros + 1.0 if settings.gain == "unit" else _gain(values["r"], rate, "euler")
    tau = values.get("tau_mem", values.get("tau", zeros))
    decay = _decay(tau, settings)
    if settings.gain == "norm":
        return decay, 1.0 - decay
    if settings.gain == "unit":
        return decay, zeros + 1.0
    return decay, _gain(values["r"], settings.dt / (tau * settings.tau_scale), "euler")


def _current(values: dict[str, Floats], settings: Settings, zeros: Floats) -> tuple[Floats | None, Floats]:
    """Return the decay of the synaptic current, None where there is none, and the gain on what enters it."""
    if "tau_syn" not in values:
        return None, zeros + 1.0
    assert settings.dt is not None
    rate = settings.dt / (values["tau_syn"] * settings.tau_scale)
    return _decay(values["tau_syn"], settings), _gain(values.get("w_in", zeros + 1.0), rate, settings.gain_syn)


def _decay(tau: Floats, settings: Settings) -> Floats:
    """Return the factor that a state keeps in a step.

    A negative tau stands for a factor above 1, which frameworks clamp.
    """
    assert settings.dt is not None
    with np.errstate(over="ignore"):
        steps = settings.dt / (tau * settings.tau_scale)
    if settings.decay == "exp":
        return np.clip(np.exp(-steps), 0.0, 1.0)
    return np.where(tau < 0, 1.0, np.clip(1.0 - steps, 0.0, 1.0))


def _gain(factor: Floats, rate: Floats, kind: str) -> Floats:
    """Return the factor on what enters a state; 1 where the product is 1 but for rounding, or infinity times zero."""
    if kind == "unit":
        return np.ones_like(factor)
    with np.errstate(invalid="ignore"):
        gain = factor * rate
    return np.where(np.isnan(gain) | (np.abs(gain - 1.0) < 1e-9), 1.0, gain)


def _parameter(node: NirNode, key: str, shape: Shape, place: str) -> Floats:
    """Return a neuron parameter as float64 of the neuron's shape."""
    value = np.asarray(node.params[key], dtype=np.float64)
    try:
        return np.broadcast_to(value, shape)
    except ValueError as error:
        raise DeployError(
            f"{node.kind} has {key} of shape {value.shape}, but its inputs have shape {shape}",
            where=place,
            fix="Give the parameter the shape of the inputs, or one value.",
        ) from error
