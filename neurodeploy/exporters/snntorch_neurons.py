"""snnTorch neurons as NIR nodes: parameters by neuron, and the rules that NIR has no word for.

Source: snnTorch 1.0.0, ``snntorch/_neurons/{leaky,synaptic,rleaky,rsynaptic,alpha,lapicque,leakyparallel}.py``. One
step, with x the input::

    Leaky       v = beta * v + x                             RLeaky       as Leaky, x = x + W s + b
    Synaptic    i = alpha * i + x;  v = beta * v + i         RSynaptic    as Synaptic, x = x + W s + b
    Lapicque    v = (1 - dt / (R * C)) * v + dt / C * x
    Alpha       i = alpha * i + x;  e = beta * e - x;  v = (log(alpha) / (log(beta) - log(alpha)) + 1) * (i + e)
    LeakyParallel  v = relu(W x + b + beta * v), all steps at once; spikes reset nothing
    s = v > threshold, which leaves as graded_spikes_factor * s

``reset_delay=True`` stores the v that fired and resets it in the next step; ``zero`` then keeps that step's input in
Leaky and drops it in the others, and Alpha's currents with it. ``reset_delay=False`` resets at once; RSynaptic assigns
that to a local name, so there it has no effect.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.exporters.adapter import Adapter, Call, NeuronNodes, first_argument
from neurodeploy.exporters.parameters import by_neuron, compact, decay_of, euler_tau, rules_metadata
from neurodeploy.exporters.recurrence import recurrent_nodes
from neurodeploy.ir.synapses import Shape

STATES = {
    "Leaky": ("mem",), "Synaptic": ("syn", "mem"), "RLeaky": ("spk", "mem"), "RSynaptic": ("spk", "syn", "mem"),
    "Alpha": ("syn_exc", "syn_inh", "mem"), "Lapicque": ("mem",), "LeakyParallel": (),
}  # fmt: skip
"""The neurons that are exported, and the states that their forward takes after the input, in order."""

ADVICE = {
    "SLSTM": "its gates multiply states; the nearest are RLeaky and RSynaptic with linear_features",
    "SConv2dLSTM": "its gates multiply states; the nearest are RLeaky and RSynaptic with conv2d_channels",
    "LeakyKernel": "it runs all steps at once; use Leaky in a loop",
    "StateLeaky": "it has no reset and takes all steps at once; use Leaky with reset_mechanism='none' in a loop",
    "LinearLeaky": "it has no reset and takes all steps at once; use nn.Linear and Leaky with reset_mechanism='none'",
}
"""What to take instead of neurons that are not exported."""

RECURRENT = ("RLeaky", "RSynaptic")
_RESETS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}
_RESET_CODES = {"subtract": 0, "zero": 1, "none": 2}


class SnnTorch(Adapter):
    """snnTorch: neurons keep their states, or pass them in and out, one step at a time."""

    package = "snntorch"
    label = "snnTorch"
    kinds = tuple(STATES)
    advice = ADVICE

    def is_neuron(self, module: Any) -> bool:
        """See :class:`Adapter`."""
        from snntorch import SpikingNeuron

        return isinstance(module, SpikingNeuron) or type(module).__name__ in (*ADVICE, *STATES)

    def kind_of(self, module: Any) -> str | None:
        """See :class:`Adapter`."""
        return kind_of(module)

    def problems(self, module: Any) -> list[str]:
        """See :class:`Adapter`."""
        return _unsupported_options(module) if _states(module) else _parallel_problems(module)

    def lead(self, module: Any) -> str:
        """See :class:`Adapter`."""
        return "B" if _states(module) else "TB"

    def clear(self, module: Any, n_samples: int) -> None:
        """See :class:`Adapter`."""
        import torch

        for state in _states(module):
            setattr(module, state, torch.zeros(0))

    def given(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """See :class:`Adapter`."""
        given = {}
        for position, state in enumerate(_states(module), start=1):
            value = kwargs.get(state, args[position] if len(args) > position else None)
            given[state] = getattr(module, state) if value is None else value
        return given

    def left(self, module: Any, output: Any) -> dict[str, Any]:
        """See :class:`Adapter`."""
        return {state: getattr(module, state) for state in _states(module)}

    def call(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Call:
        """See :class:`Adapter`."""
        sent = output[0] if isinstance(output, tuple) else output
        shape = tuple(first_argument(args, kwargs).shape)
        current = getattr(module, "syn", getattr(module, "syn_exc", None))
        fired, v = (sent != 0).to(sent.dtype), getattr(module, "mem", None)
        return Call(self.lead(module), shape, fired, v, current)

    def nodes(self, name: str, module: Any, shape: Shape, dt: float) -> NeuronNodes:
        """See :class:`Adapter`."""
        leaving = _leaving_node(name, module, shape)
        if not _states(module):
            entering, node = _parallel_nodes(name, module, shape, dt)
            return NeuronNodes(node, entering=entering, leaving=leaving)
        node, findings = _neuron_node(name, module, shape, dt)
        return NeuronNodes(node, findings, recurrent=_recurrent_node(name, module, shape), leaving=leaving)


def kind_of(module: Any) -> str | None:
    """Return the snnTorch class name of a neuron that is exported, else None; a subclass must keep ``forward``."""
    import snntorch

    for kind in STATES:
        base = getattr(snntorch, kind)
        if isinstance(module, base):
            return kind if type(module).forward is base.forward else None
    return None


def _states(module: Any) -> tuple[str, ...]:
    return STATES[kind_of(module) or "Leaky"]


def _parallel_nodes(name: str, module: Any, shape: Shape, dt: float) -> tuple[Any, Any]:
    """Return the NIR nodes of a LeakyParallel: its weights, and neurons that keep v above 0 and never reset it."""
    state = {key: value.detach().numpy() for key, value in module.rnn.named_parameters()}
    entering: Any = nir.Linear(state["weight_ih_l0"].copy())
    if module.rnn.bias:
        entering = nir.Affine(state["weight_ih_l0"].copy(), state["bias_ih_l0"] + state["bias_hh_l0"])
    tau = euler_tau(decay_of(name, "beta", np.diag(state["weight_hh_l0"]).astype(np.float64)), dt)
    rules = {"reset": "none", "reset_delay": False, "spike": ">", "min_v_mem": 0.0}
    threshold = by_neuron(name, "threshold", module.threshold, shape)
    common = {"r": tau / dt, "v_leak": np.zeros(shape), "v_threshold": threshold, "v_reset": np.zeros(shape)}
    return entering, nir.LIF(tau=tau, **common, metadata=rules_metadata(rules))


def _parallel_problems(module: Any) -> list[str]:
    """Return what a LeakyParallel does that no neuron of ours does."""
    weight, problems = module.rnn.weight_hh_l0.detach(), []
    if bool((weight != weight.diag().diag()).any()):
        problems.append("passes potentials from neuron to neuron (weight_hh_enable=True); the nearest is RLeaky")
    if bool((module.threshold <= 0).any()):
        problems.append("has a threshold of 0 or less, which its potential never leaves")
    return problems + _other_steps(module)


def _neuron_node(name: str, module: Any, shape: Shape, dt: float) -> tuple[Any, list[str]]:
    rules, findings = _rules(name, module)
    threshold = by_neuron(name, "threshold", module.threshold, shape)
    common: dict[str, Any] = {"v_leak": np.zeros(shape), "v_threshold": threshold, "v_reset": np.zeros(shape)}
    match kind_of(module):
        case "Lapicque":
            tau_mem, gain = _membrane(name, module, shape, dt)
            rules |= {} if (gain == 1).all() else {"gain": "euler"}
            common |= {"r": gain * tau_mem / dt, "metadata": rules_metadata(rules)}
            return nir.LIF(tau=tau_mem, **common), findings
        case "Alpha":
            tau_syn = _time_constant(name, "alpha", module.alpha, shape, dt, findings)
            second = np.clip(by_neuron(name, "beta", module.beta, shape), 0.0, 1.0)
            rules |= {"gain": "euler", "decay_second": compact(second), "gain_second": -1.0, "reset_currents": True}
            common |= {"r": _alpha_gain(name, module, shape), "metadata": rules_metadata(rules)}
            tau_mem = np.full(shape, dt)  # v keeps nothing of its own
            return nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau_mem, w_in=tau_syn / dt, **common), findings
    tau_mem = _time_constant(name, "beta", module.beta, shape, dt, findings)
    common |= {"r": tau_mem / dt, "metadata": rules_metadata(rules)}
    if kind_of(module) in ("Leaky", "RLeaky"):
        return nir.LIF(tau=tau_mem, **common), findings
    tau_syn = _time_constant(name, "alpha", module.alpha, shape, dt, findings)
    return nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau_mem, w_in=tau_syn / dt, **common), findings


def _membrane(name: str, module: Any, shape: Shape, dt: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return tau (s) of a Lapicque neuron, and the factor on its input."""
    import torch

    with torch.no_grad():
        kept = 1 - (module.time_step / (module.R * module.C))
        gain = torch.ones(()) * module.R * (1 / (module.R * module.C)) * module.time_step
    decay = decay_of(name, "R * C", by_neuron(name, "R * C", kept, shape))
    return euler_tau(decay, dt), by_neuron(name, "1 / C", gain, shape)


def _alpha_gain(name: str, module: Any, shape: Shape) -> NDArray[np.float64]:
    """Return the factor on the sum of an Alpha neuron's currents, in float32 as forward computes it."""
    import torch

    with torch.no_grad():
        alpha, beta = module.alpha.clamp(0, 1), module.beta.clamp(0, 1)
        gain = torch.log(alpha) / (torch.log(beta) - torch.log(alpha)) + 1
    return by_neuron(name, "log(alpha) / (log(beta) - log(alpha)) + 1", gain, shape)


def _recurrent_node(name: str, module: Any, shape: Shape) -> Any | None:
    """Return the NIR node of a neuron's own recurrent weights, None if it has none."""
    if kind_of(module) not in RECURRENT:
        return None
    if not module.all_to_all:
        return nir.Scale(by_neuron(name, "V", module.recurrent.V, shape))
    return recurrent_nodes(name, module.recurrent, shape)


def _leaving_node(name: str, module: Any, shape: Shape) -> Any | None:
    """Return the NIR node of what a spike is worth to those that it reaches, None if that is 1."""
    factor = by_neuron(name, "graded_spikes_factor", module.graded_spikes_factor, shape)
    return None if (factor == 1).all() else nir.Scale(factor)


def _unsupported_options(module: Any) -> list[str]:
    """Return what a neuron does that neither NIR nor our rules can say."""
    problems = []
    if module.inhibition:
        problems.append("has inhibition=True; train with inhibition=False, perhaps with negative weights of RLeaky")
    if module.state_quant:
        problems.append("has state_quant; train without it, and let neurodeploy finetune train with a chip's registers")
    if bool((module.graded_spikes_factor == 0).any()):
        problems.append("has a graded_spikes_factor of 0, so that its spikes reach nothing")
    if kind_of(module) == "Alpha" and module.state_function.__name__ == "_base_sub":
        problems.append("has reset_mechanism='subtract', which takes from its currents; use 'zero' or 'none'")
    if bool(module.threshold.isinf().any()) and module.state_function.__name__ == "_base_sub":
        problems.append("has an infinite threshold, which its reset subtracts; use reset_mechanism='none'")
    problems += _other_steps(module)
    if module.state_function.__name__ not in _RESETS:
        problems.append("has a state_function of its own")
    return problems


def _other_steps(module: Any) -> list[str]:
    import torch

    with torch.no_grad():
        fired = module.spike_grad(torch.tensor([-1.0, -1e-6, 0.0, 1e-6, 1.0]))
    if fired.tolist() != [0.0, 0.0, 0.0, 1.0, 1.0]:
        return ["has a spike_grad that fires other than at v > threshold"]
    return []


def _rules(name: str, module: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the rules that hold when the module runs, which its options need not say."""
    kind = kind_of(module)
    reset, delay, findings = _RESETS[module.state_function.__name__], bool(getattr(module, "reset_delay", True)), []
    if _RESET_CODES[reset] != int(module.reset_mechanism_val):
        findings.append(
            f"{name}: the weights file says another reset than the factory; snnTorch applies the factory's, {reset}"
        )
        if not delay:
            raise DeployError(
                f"the factory builds the neuron with reset_mechanism {reset}, but the weights file has another",
                where=name,
                fix="Build the model with the reset_mechanism that it was trained with.",
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
    wanted = np.clip(by_neuron(name, key, decay, shape).astype(np.float32), np.float32(0), np.float32(1))
    exact, tau = wanted.astype(np.float64), euler_tau(wanted, dt)
    change = np.abs((1 - dt / tau).astype(np.float32).astype(np.float64) - exact)
    if change.any():
        findings.append(
            f"{name}: {int((change > 0).sum())} values of {key} near 0 change, by at most {change.max():.1g}"
        )
    return tau
