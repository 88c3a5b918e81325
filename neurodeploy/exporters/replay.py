"""Does the exported graph fire as the model does: replay the graph from its parameters alone, and compare every spike.

The replay reads time constants and rules back from the NIR nodes, so it also proves that they carry the model's decays.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import torch
from torch.nn import functional

from neurodeploy.errors import DeployError
from neurodeploy.exporters.snntorch_neurons import Call
from neurodeploy.importers.nir_graph import METADATA_KEY

Edge = tuple[str, str]
_TIE = (
    1e-5  # |v - threshold| relative to the larger of threshold and 1: more than float32 sums of usual fan-in differ by
)


@dataclass(slots=True)
class _State:
    """A population's parameters as float32 tensors, its rules, and its state."""

    decay_mem: Any
    decay_syn: Any
    threshold: Any
    rules: dict[str, Any]
    v: Any
    i: Any
    spikes: Any


def check_graph(
    nodes: dict[str, Any], edges: tuple[Edge, ...], calls: dict[str, list[Call]], x: Any, dt: float
) -> tuple[str, ...]:
    """Compare the graph's spikes with the model's own.

    Args:
        nodes: NIR nodes by name.
        edges: between them.
        calls: what the model's neurons did, one call for each step.
        x: the input of both, float32 [T, B, *shape].
        dt: seconds per step.

    Returns:
        Findings: what was compared, ties of rounding, and neurons that never fired.

    Raises:
        DeployError: a neuron fires otherwise than in the model.
    """
    compared = [name for name in nodes if calls.get(name)]
    states = {name: _state(nodes[name], x.shape[1], dt) for name in compared}
    loops = _loops(nodes, edges)
    order = _order(nodes, edges, loops)
    with torch.no_grad():
        for step in range(len(x)):
            _run_step(nodes, edges, states, order, loops, x[step])
            differing = {name: s.spikes != calls[name][step].spikes for name, s in states.items()}
            if any(bool(mask.any()) for mask in differing.values()):
                first = next(name for name in order if name in differing and bool(differing[name].any()))
                return (_tie_or_refuse(first, differing[first], calls[first][step], states[first], step),)
    silent = [name for name in compared if not any(bool(call.spikes.any()) for call in calls[name])]
    summary = f"check: every spike equals the model's in {len(x)} steps of {x.shape[1]} samples"
    return (summary, *(f"check: {name} never fired in it" for name in silent))


def _tie_or_refuse(name: str, differing: Any, call: Call, state: _State, step: int) -> str:
    """Return the finding if the difference is a tie of rounding, refuse the graph otherwise."""
    # A reset in the same step hides the v of the one that fired, not of the one that did not.
    distance = torch.minimum((call.v - state.threshold).abs(), (state.v - state.threshold).abs())
    if float((distance / state.threshold.abs().clamp(min=1))[differing].max()) < _TIE:
        return f"check: every spike equals the model's up to step {step}, where {name} differs by a tie of rounding"
    raise DeployError(
        f"the graph does not compute what the model does: {int(differing.sum())} spikes of {name} differ at {step=}",
        where=name,
        fix="forward does something between its modules that cannot be followed; write it with the supported modules.",
    )


def _run_step(
    nodes: dict[str, Any],
    edges: tuple[Edge, ...],
    states: dict[str, _State],
    order: list[str],
    loops: set[Edge],
    x: Any,
) -> None:
    """Advance all populations by one step, in place."""
    late = {edge: states[edge[0]].spikes for edge in loops}
    values: dict[str, Any] = {}
    for name in order:
        incoming: list[Any] = [late[edge] if edge in late else values[edge[0]] for edge in edges if edge[1] == name]
        if isinstance(nodes[name], nir.Input):
            values[name] = x
            continue
        total = sum(incoming[1:], incoming[0])
        if name in states:
            _fire(states[name], total)
            values[name] = states[name].spikes
        else:
            values[name] = _layer(nodes[name], total)


def _fire(state: _State, x: Any) -> None:
    """Advance one population by one step, in place; see the equations in ``snntorch_neurons``."""
    rules, threshold = state.rules, state.threshold
    owed = (state.v > threshold).float()
    if state.decay_syn is not None:
        x = state.i = state.decay_syn * state.i + x
    if rules["reset"] == "subtract":
        v = state.decay_mem * state.v + x - owed * threshold
    elif rules["reset"] == "zero" and rules["reset_drops_input"]:
        v = (1 - owed) * (state.decay_mem * state.v + x)
    elif rules["reset"] == "zero":
        v = state.decay_mem * ((1 - owed) * state.v) + x
    else:
        v = state.decay_mem * state.v + x
    state.spikes = (v > threshold).float()
    if not rules["reset_delay"]:
        now = state.spikes - owed
        v = v - now * (threshold if rules["reset"] == "subtract" else v if rules["reset"] == "zero" else 0 * v)
    state.v = v


def _state(node: Any, n_samples: int, dt: float) -> _State:
    """Return a population at rest, with decays read back from its time constants."""

    def single(values: Any) -> Any:
        return torch.from_numpy(np.asarray(values, dtype=np.float64).astype(np.float32))

    is_cuba = isinstance(node, nir.CubaLIF)
    rules = json.loads(node.metadata[METADATA_KEY])["rules"]
    rest = torch.zeros(n_samples, *node.v_threshold.shape)
    return _State(
        single(np.clip(1 - dt / (node.tau_mem if is_cuba else node.tau), 0, 1)),
        single(np.clip(1 - dt / node.tau_syn, 0, 1)) if is_cuba else None,
        single(node.v_threshold),
        rules,
        rest,
        rest,
        rest,
    )


def _layer(node: Any, x: Any) -> Any:
    match node:
        case nir.Linear() | nir.Affine():
            bias = torch.from_numpy(node.bias) if isinstance(node, nir.Affine) else None
            return functional.linear(x, torch.from_numpy(node.weight), bias)
        case nir.Conv2d():
            weight, bias = torch.from_numpy(node.weight), torch.from_numpy(node.bias)
            return functional.conv2d(x, weight, bias, node.stride, node.padding, node.dilation, node.groups)
        case nir.AvgPool2d():
            kernel, stride, padding = (
                tuple(int(n) for n in pair) for pair in (node.kernel_size, node.stride, node.padding)
            )
            return functional.avg_pool2d(x, kernel, stride, padding)
        case nir.Flatten():
            return x.flatten(node.start_dim + 1, node.end_dim + 1 if node.end_dim >= 0 else node.end_dim)
        case _:
            return x


def _loops(nodes: dict[str, Any], edges: tuple[Edge, ...]) -> set[Edge]:
    """Return the edges on which a population's spikes set out to itself, which take a step."""

    def is_population(name: str) -> bool:
        return isinstance(nodes[name], (nir.LIF, nir.CubaLIF))

    def returns(start: str, name: str) -> bool:
        if is_population(name):
            return name == start
        return any(returns(start, target) for source, target in edges if source == name)

    return {(source, target) for source, target in edges if is_population(source) and returns(source, target)}


def _order(nodes: dict[str, Any], edges: tuple[Edge, ...], loops: set[Edge]) -> list[str]:
    """Return the nodes so that each comes after those that feed it within a step."""
    waiting = {
        name: {source for source, target in edges if target == name and (source, target) not in loops} for name in nodes
    }
    order: list[str] = []
    while waiting:
        ready = [name for name, sources in waiting.items() if sources <= set(order)]
        if not ready:
            raise DeployError(
                f"{', '.join(waiting)} wait for each other within a step",
                where="the model",
                fix="Let every loop pass through a recurrence.",
            )
        order += ready
        waiting = {name: sources for name, sources in waiting.items() if name not in ready}
    return order
