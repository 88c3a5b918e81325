"""What a snnTorch neuron computes, as a NIR node: parameters by neuron, and the rules that NIR has no word for.

Source: snnTorch 1.0.0, ``snntorch/_neurons/{leaky,synaptic,rleaky,rsynaptic}.py``. One step, with x the input::

    Leaky       v = beta * v + x                             RLeaky       as Leaky, x = x + W s + b
    Synaptic    i = alpha * i + x;  v = beta * v + i         RSynaptic    as Synaptic, x = x + W s + b
    s = v > threshold

``reset_delay=True`` stores the v that fired and resets it in the next step; ``zero`` then keeps that step's input in
Leaky and drops it in the others. ``reset_delay=False`` resets at once; RSynaptic assigns that to a local name, so there
it has no effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError, known
from neurodeploy.files import to_json
from neurodeploy.importers.nir_graph import METADATA_KEY
from neurodeploy.synapses import Shape

STATES = {"Leaky": ("mem",), "Synaptic": ("syn", "mem"), "RLeaky": ("spk", "mem"), "RSynaptic": ("spk", "syn", "mem")}
"""The neurons that are exported, and the states that their forward takes after the input, in order."""

RECURRENT = ("RLeaky", "RSynaptic")
_HUGE_STEPS = 2.0**40  # a time constant of so many steps decays by less than float32 can see, and is exact to divide by
_RESETS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}
_RESET_CODES = {"subtract": 0, "zero": 1, "none": 2}


@dataclass(slots=True)
class Call:
    """One call of a neuron: shape of its input, and the tensors it left."""

    input_shape: Shape
    spikes: Any
    v: Any
    i: Any


def kind_of(module: Any) -> str | None:
    """Return the snnTorch class name of a neuron that is exported, else None; a subclass must keep ``forward``."""
    import snntorch

    for kind in STATES:
        base = getattr(snntorch, kind)
        if isinstance(module, base):
            return kind if type(module).forward is base.forward else None
    return None


def neurons(model: Any) -> dict[str, Any]:
    """Return the neurons of a model that are exported, by module path.

    Raises:
        DeployError: there is none, or one is of a kind that is not exported, or has an option that would be lost.
    """
    from snntorch import SpikingNeuron

    found, problems = {}, []
    for path, module in model.named_modules():
        if kind_of(module) is not None:
            found[path or type(module).__name__.lower()] = module
            problems += [f"{path}: {type(module).__name__} {problem}" for problem in _unsupported_options(module)]
        elif isinstance(module, SpikingNeuron) or type(module).__name__ == "LeakyParallel":
            problems.append(f"{path}: {type(module).__name__} is not supported")
    if problems:
        raise DeployError(
            "; ".join(problems),
            where="its neurons",
            fix=f"Use {known(STATES)} as snnTorch has them, with plain spikes.",
        )
    if not found:
        raise DeployError(
            "it has no snnTorch neuron", where="the model", fix=f"snnTorch models are exported, with {known(STATES)}."
        )
    return found


def clear_states(found: dict[str, Any]) -> None:
    """Forget the states of all neurons, so that the next call starts from zero."""
    import torch

    for module in found.values():
        for state in STATES[kind_of(module) or "Leaky"]:
            setattr(module, state, torch.zeros(0))


@contextmanager
def watch(found: dict[str, Any]) -> Iterator[dict[str, list[Call]]]:
    """Collect every call of the neurons while the block runs."""
    calls: dict[str, list[Call]] = {name: [] for name in found}

    def collect(name: str) -> Any:
        def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            spikes = output[0] if isinstance(output, tuple) else output
            entering = args[0] if args else kwargs["input_"]
            calls[name].append(Call(tuple(entering.shape), spikes, module.mem, getattr(module, "syn", None)))

        return hook

    handles = [module.register_forward_hook(collect(name), with_kwargs=True) for name, module in found.items()]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def neuron_node(name: str, module: Any, shape: Shape, dt: float) -> tuple[Any, list[str]]:
    """Return the NIR node of a neuron, and findings.

    Args:
        name: its node's name, for messages.
        module: a neuron of :func:`neurons`.
        shape: of its neurons, without batch.
        dt: seconds per step.

    Raises:
        DeployError: a parameter does not fit ``shape``.
    """
    rules, findings = _rules(name, module)
    metadata = {METADATA_KEY: to_json({"rules": rules})}
    threshold = _by_neuron(name, "threshold", module.threshold, shape)
    tau_mem = _time_constant(name, "beta", module.beta, shape, dt, findings)
    common = {"r": tau_mem / dt, "v_leak": np.zeros(shape), "v_threshold": threshold, "v_reset": np.zeros(shape)}
    if kind_of(module) in ("Leaky", "RLeaky"):
        return nir.LIF(tau=tau_mem, **common, metadata=metadata), findings
    tau_syn = _time_constant(name, "alpha", module.alpha, shape, dt, findings)
    return nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau_mem, w_in=tau_syn / dt, **common, metadata=metadata), findings


def recurrent_node(name: str, module: Any, shape: Shape) -> Any | None:
    """Return the NIR node of a neuron's own recurrent weights, None if it has none.

    Raises:
        DeployError: the recurrence is a convolution, or does not fit ``shape``.
    """
    from torch import nn

    if kind_of(module) not in RECURRENT:
        return None
    if not module.all_to_all:
        factors = _by_neuron(name, "V", module.recurrent.V, shape).astype(np.float32)
        if len(shape) != 1:
            raise DeployError(
                f"one-to-one recurrence over shape {list(shape)}",
                where=name,
                fix="Flatten before it; it needs one axis.",
            )
        return nir.Linear(weight=np.diag(factors))
    if type(module.recurrent) is not nn.Linear or len(shape) != 1:
        raise DeployError(
            f"recurrence by {type(module.recurrent).__name__} over shape {list(shape)}",
            where=name,
            fix="Use linear_features, or all_to_all=False.",
        )
    weight = module.recurrent.weight.detach().numpy().copy()
    if module.recurrent.bias is None:
        return nir.Linear(weight=weight)
    return nir.Affine(weight=weight, bias=module.recurrent.bias.detach().numpy().copy())


def _unsupported_options(module: Any) -> list[str]:
    """Return what a neuron does that neither NIR nor our rules can say."""
    import torch

    problems = []
    if module.inhibition:
        problems.append("has inhibition=True")
    if module.state_quant:
        problems.append("has state_quant")
    if not bool((module.graded_spikes_factor == 1).all()):
        problems.append("has graded_spikes_factor other than 1")
    with torch.no_grad():
        fired = module.spike_grad(torch.tensor([-1.0, -1e-6, 0.0, 1e-6, 1.0]))
    if fired.tolist() != [0.0, 0.0, 0.0, 1.0, 1.0]:
        problems.append("has a spike_grad that fires other than at v > threshold")
    if module.state_function.__name__ not in _RESETS:
        problems.append("has a state_function of its own")
    return problems


def _rules(name: str, module: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the rules that hold when the module runs, which its options need not say."""
    kind = kind_of(module)
    reset, delay, findings = _RESETS[module.state_function.__name__], bool(module.reset_delay), []
    if _RESET_CODES[reset] != int(module.reset_mechanism_val):
        findings.append(
            f"{name}: the weights file says another reset than the factory; snnTorch applies the factory's, {reset}"
        )
        if not delay:
            raise DeployError(
                f"the factory resets by {reset}, the weights file says otherwise",
                where=name,
                fix="Build the model with the reset_mechanism it was trained with.",
            )
    if kind == "RSynaptic" and not delay:
        findings.append(
            f"{name}: snnTorch 1.0.0 ignores reset_delay=False in RSynaptic; written as it runs, with the delay"
        )
        delay = True
    drops = kind != "Leaky" and reset == "zero" and delay
    return {"reset": reset, "reset_delay": delay, "spike": ">", "reset_drops_input": drops}, findings


def _time_constant(
    name: str, key: str, decay: Any, shape: Shape, dt: float, findings: list[str]
) -> NDArray[np.float64]:
    """Return tau (s) such that float32(1 - dt / tau) is the decay that forward uses: clamped to 0 to 1, in float32."""
    wanted = np.clip(_by_neuron(name, key, decay, shape).astype(np.float32), np.float32(0), np.float32(1))
    exact = wanted.astype(np.float64)
    tau = np.where(exact == 1, dt * _HUGE_STEPS, dt / np.where(exact == 1, 1.0, 1 - exact))
    for candidate in (np.nextafter(tau, 0), np.nextafter(tau, np.inf)):
        wrong = (1 - dt / tau).astype(np.float32) != wanted
        tau = np.where(wrong, candidate, tau)
    change = np.abs((1 - dt / tau).astype(np.float32).astype(np.float64) - exact)
    if change.any():
        findings.append(
            f"{name}: {int((change > 0).sum())} values of {key} near 0 change, by at most {change.max():.1g}"
        )
    return tau


def _by_neuron(name: str, key: str, values: Any, shape: Shape) -> NDArray[np.float64]:
    """Return a parameter as float64 of the neurons' shape."""
    array = values.detach().numpy().astype(np.float64)
    if array.ndim == len(shape) + 1 and array.shape[0] == 1:
        array = array[0]
    if not np.isfinite(array).all():
        raise DeployError(f"{key} is not finite", where=name, fix="Train again; such a neuron computes nothing.")
    try:
        return np.array(np.broadcast_to(array, shape))
    except ValueError as error:
        raise DeployError(
            f"{key} of shape {list(array.shape)} does not fit neurons of shape {list(shape)}",
            where=name,
            fix="Give one, or one per neuron.",
        ) from error
