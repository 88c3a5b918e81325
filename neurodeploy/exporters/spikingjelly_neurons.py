"""SpikingJelly neurons, and containers that close a loop around one, as NIR nodes.

Source: SpikingJelly 2.0.0, ``spikingjelly/activation_based/neuron/{integrate_and_fire,lif,plif,lif_variants,ilif,
ternary}.py`` and ``layer/container.py``. One step, with x the input and v_r the reset (0 for a soft one)::

    IFNode                      v = v + x                        (HalfThresholdIFNode starts at threshold / 2)
    LIFNode, ParametricLIFNode  v = v + (x - (v - v_r)) / tau    (decay_input=False: v = v - (v - v_r) / tau + x)
    KLIFNode                    v = relu(k * h), with h the v of LIFNode  (scale_reset=True divides it by k again)
    CUBALIFNode                 i = c_decay * i + x;  v = v_decay * v + i
    s = v >= threshold;  v = v_r where s, or v - threshold * s if v_reset is None
    ILIFNode                    as LIFNode, s = round(v / threshold), at most max_spike_count
    TernaryIFNode, -LIFNode     s = (v >= threshold) - (-v >= threshold)

A LinearRecurrentContainer gives its module ``rc(concatenate(x, y))``, an ElementWiseRecurrentContainer ``f(y, x)``,
with y what the module gave a step before.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from torch import nn

from neurodeploy.errors import DeployError
from neurodeploy.exporters.adapter import Adapter, Call, NeuronNodes, first_argument, kind_among
from neurodeploy.exporters.nir_nodes import module_node
from neurodeploy.exporters.parameters import HUGE_STEPS, by_neuron, decay_of, euler_tau, rules_metadata
from neurodeploy.ir.synapses import Shape

KINDS = (
    "IFNode", "LIFNode", "ParametricLIFNode", "CUBALIFNode", "KLIFNode", "ILIFNode", "TernaryIFNode", "TernaryLIFNode",
    "HalfThresholdIFNode", "SimpleIFNode", "SimpleLIFNode", "SLTTLIFNode", "OTTTLIFNode",
)  # fmt: skip
CONTAINERS = ("LinearRecurrentContainer", "ElementWiseRecurrentContainer")
ADVICE = {
    "QIFNode": "it is quadratic in v; the nearest is LIFNode",
    "EIFNode": "its exponential has no linear step; the nearest is LIFNode",
    "IzhikevichNode": "it is quadratic in v; the nearest is LIFNode",
    "GatedLIFNode": "its gates differ from step to step; the nearest is ParametricLIFNode",
    "ComplementaryLIFNode": "its complementary potential multiplies v; the nearest is LIFNode",
    "LIAFNode": "it sends an activation of v; the nearest is LIFNode",
    "PSN": "each step sees the steps behind it; the nearest is LIFNode",
    "MaskedPSN": "it mixes steps by trained weights; the nearest is LIFNode",
    "SlidingPSN": "it mixes steps by trained weights; the nearest is LIFNode",
    "NonSpiking": "it returns a list of potentials; use LIFNode or IFNode with v_threshold=float('inf')",
    "SpikingLSTM": "its gates multiply states; the nearest is LinearRecurrentContainer around LIFNode",
    "SpikingGRU": "its gates multiply states; the nearest is LinearRecurrentContainer around LIFNode",
    "SpikingVanillaRNN": "the nearest is LinearRecurrentContainer around LIFNode",
}
"""What to take instead of neurons that are not exported, by the beginning of their names."""


class SpikingJelly(Adapter):
    """SpikingJelly: neurons keep their states, and take one step or all of them, as their ``step_mode`` says."""

    package = "spikingjelly"
    label = "SpikingJelly"
    kinds = (*KINDS, *CONTAINERS)
    advice = ADVICE

    def is_neuron(self, module: Any) -> bool:
        """See :class:`Adapter`."""
        names = {f"{cls.__module__}.{cls.__name__}" for cls in type(module).__mro__}
        places = ("spikingjelly.activation_based.neuron.", "spikingjelly.activation_based.rnn.Spiking")
        return any(name.startswith(places) for name in names)

    def kind_of(self, module: Any) -> str | None:
        """See :class:`Adapter`."""
        return _kind(module) or None

    def parts(self, module: Any) -> list[Any]:
        """See :class:`Adapter`."""
        return list(module.sub_module.modules()) if _is_container(module) else []

    def problems(self, module: Any) -> list[str]:
        """See :class:`Adapter`."""
        import torch

        if _is_container(module):
            inner = _neuron(module)
            if self.kind_of(inner) is None or _is_container(inner):
                return [f"ends with {type(inner).__name__}, and {' or '.join(KINDS)} is supported there"]
            return self.problems(inner)
        wanted = [0.0, 0.0, 1.0, 1.0, 1.0]
        if hasattr(module.surrogate_function, "max_spike_count"):
            wanted = [0.0, 0.0, 0.0, 0.0, 1.0]
        with torch.no_grad():
            fired = module.surrogate_function(torch.tensor([-1.0, -1e-6, 0.0, 1e-6, 1.0]))
        if fired.tolist() != wanted:
            return ["has a surrogate_function that fires other than at v >= threshold"]
        return []

    def lead(self, module: Any) -> str:
        """See :class:`Adapter`."""
        return "TB" if module.step_mode == "m" else "B"

    def clear(self, module: Any, n_samples: int) -> None:
        """See :class:`Adapter`."""
        for part in (module, _neuron(module)):
            part.reset()

    def start_recording(self, module: Any) -> None:
        """See :class:`Adapter`."""
        inner = _neuron(module)
        if hasattr(inner, "store_v_seq") and module.step_mode == "m":
            inner.was_storing, inner.store_v_seq = inner.store_v_seq, True

    def stop_recording(self, module: Any) -> None:
        """See :class:`Adapter`."""
        inner = _neuron(module)
        if hasattr(inner, "was_storing"):
            inner.store_v_seq = inner.was_storing
            del inner.was_storing

    def given(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """See :class:`Adapter`; before the first step states are numbers."""
        import torch

        inner = _neuron(module)
        states = {key: getattr(inner, key) for key in _states(inner)}
        if _is_container(module):
            states["y"] = module.y
        return {key: value for key, value in states.items() if isinstance(value, torch.Tensor)}

    def left(self, module: Any, output: Any) -> dict[str, Any]:
        """See :class:`Adapter`."""
        return self.given(module, (), {})

    def call(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Call:
        """See :class:`Adapter`; of a whole sequence the current is not kept."""
        entering, lead, inner = first_argument(args, kwargs), self.lead(module), _neuron(module)
        v = getattr(inner, "v_seq", None) if lead == "TB" else inner.v
        out = v if np.isinf(inner.v_threshold) and v is not None else output
        return Call(lead, tuple(entering.shape), out, v, getattr(inner, "c", None) if lead == "B" else None)

    def nodes(self, name: str, module: Any, shape: Shape, dt: float) -> NeuronNodes:
        """See :class:`Adapter`."""
        node = _neuron_node(name, _neuron(module), shape, dt)
        match _kind(module):
            case "LinearRecurrentContainer":
                return NeuronNodes(node, [], *_linear_loop(name, module, shape))
            case "ElementWiseRecurrentContainer":
                return NeuronNodes(node, [], *_element_wise_loop(name, module, shape))
        return NeuronNodes(node)


def _kind(module: Any) -> str:
    """Return the class of a neuron or container that is exported, an empty text for others."""
    from spikingjelly.activation_based import layer, neuron
    from spikingjelly.activation_based.neuron import ilif, integrate_and_fire, lif, ternary

    sources = (layer, neuron, ilif, integrate_and_fire, lif, ternary)
    names = (*KINDS, *CONTAINERS)
    found = kind_among(module, (getattr(source, kind) for source in sources for kind in names if hasattr(source, kind)))
    return found or ""


def _is_container(module: Any) -> bool:
    return _kind(module) in CONTAINERS


def _neuron(module: Any) -> Any:
    """Return a neuron, or the one that a container closes its loop around: the last of its modules."""
    while _is_container(module) or isinstance(module, nn.Sequential):
        module = module[-1] if isinstance(module, nn.Sequential) else module.sub_module
    return module


def _linear_loop(name: str, module: Any, shape: Shape) -> tuple[list[Any], list[Any]]:
    """Return the layers before the neuron, and those from it back to it."""
    weight = module.rc.weight.detach().numpy().copy()
    n_in = weight.shape[1] - module.sub_module_out_features
    first: Any = nir.Linear(weight[:, :n_in])
    if module.rc.bias is not None:
        first = nir.Affine(weight[:, :n_in], module.rc.bias.detach().numpy().copy())
    between = _layers_before_neuron(name, module, shape)
    back = [nir.Linear(layer.weight) for layer in between]  # a bias enters once
    return [first, *between], [nir.Linear(weight[:, n_in:]), *back]


def _element_wise_loop(name: str, module: Any, shape: Shape) -> tuple[list[Any], list[Any]]:
    """Return the same where input and feedback are combined element by element."""
    import torch

    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn((2, 64), generator=generator)
    one, zero = torch.ones(64), torch.zeros(64)
    f = module.element_wise_function
    with torch.no_grad():
        back, into, rest = f(one, zero), f(zero, one), f(zero, zero)
        is_linear = not rest.any() and torch.equal(f(y, x), back * y + into * x)
    if not is_linear:
        raise DeployError(
            "element_wise_function is not a weighted sum of y and x",
            where=name,
            fix="Use a function that is linear in both, such as lambda y, x: y + x.",
        )
    between = _layers_before_neuron(name, module, shape)
    if any(isinstance(layer, nir.Affine) for layer in between):
        raise DeployError(
            "a layer inside the loop has a bias",
            where=name,
            fix="Use bias=False, or put the layer before the container.",
        )
    scales = [nir.Scale(np.full(shape, float(factor[0]))) for factor in (into, back)]
    first = [] if float(into[0]) == 1 else scales[:1]
    return [*first, *between], [scales[1], *between]


def _layers_before_neuron(name: str, module: Any, shape: Shape) -> list[Any]:
    """Return a container's layers but the neuron."""
    inner = module.sub_module
    layers = list(inner)[:-1] if isinstance(inner, nn.Sequential) else []
    for layer in layers:
        if not isinstance(layer, nn.Linear):
            raise DeployError(
                f"{type(layer).__name__} is not supported inside the loop",
                where=name,
                fix="Use nn.Linear layers and one neuron in it.",
            )
    return [module_node(name, layer, shape) for layer in layers]


def _neuron_node(name: str, module: Any, shape: Shape, dt: float) -> Any:
    """Return the NIR node of a neuron itself; one that never fires is an integrator."""
    kind, v_reset = _kind(module), 0.0 if module.v_reset is None else float(module.v_reset)
    rules = _rules(kind, module, v_reset)
    threshold, fires = float(module.v_threshold), not np.isinf(module.v_threshold)
    k = _slope(name, module)
    if kind == "KLIFNode" and module.scale_reset:
        threshold, k = threshold / k, 1.0
    common: dict[str, Any] = {}
    if fires:
        common = {"v_threshold": by_neuron(name, "v_threshold", threshold, shape), "v_reset": np.full(shape, v_reset)}
    common["metadata"] = rules_metadata(rules if fires else {"v_init": rules["v_init"]})
    if kind.endswith("IFNode") and "LIF" not in kind:
        return (nir.IF if fires else nir.I)(r=np.full(shape, 1.0 / dt), **common)
    if kind == "CUBALIFNode":
        rates = _two_rates(name, module, shape, dt)
        return (nir.CubaLIF if fires else nir.CubaLI)(**rates, v_leak=np.zeros(shape), **common)
    return (nir.LIF if fires else nir.LI)(**_rates(name, module, shape, dt, k, v_reset), **common)


def _rules(kind: str, module: Any, v_reset: float) -> dict[str, Any]:
    """Return what NIR itself has no place for."""
    v_init = 0.0 if kind.startswith("Simple") else v_reset
    if kind == "HalfThresholdIFNode":
        v_init = float(module.v_threshold) / 2
    reset = "subtract" if module.v_reset is None else "value"
    rules: dict[str, Any] = {"reset": reset, "spike": ">=", "v_init": v_init, "max_spikes": 1}
    if kind.startswith("Ternary"):
        rules["signed"] = True
    if kind == "ILIFNode":
        rules |= {"rounds": True, "max_spikes": int(module.surrogate_function.max_spike_count)}
    if kind == "KLIFNode":
        rules["min_v_mem"] = 0.0
    return rules


def _two_rates(name: str, module: Any, shape: Shape, dt: float) -> dict[str, Any]:
    """Return time constants and gains of a CUBALIFNode."""
    tau_syn = euler_tau(decay_of(name, "c_decay", np.full(shape, float(module.c_decay))), dt)
    tau_mem = euler_tau(decay_of(name, "v_decay", np.full(shape, float(module.v_decay))), dt)
    return {"tau_syn": tau_syn, "tau_mem": tau_mem, "r": tau_mem / dt, "w_in": tau_syn / dt}


def _rates(name: str, module: Any, shape: Shape, dt: float, k: float, v_reset: float) -> dict[str, Any]:
    """Return time constant, gain and leak of a leaky neuron, whose slope is ``k``."""
    steps = _steps(module)
    decay_of(name, "tau", np.full(shape, k * (1.0 - 1.0 / steps)))
    kept, leak, r = steps, v_reset, 1.0 if getattr(module, "decay_input", True) else steps
    if k != 1:
        kept = 1.0 / max(1.0 - k * (1.0 - 1.0 / steps), 1.0 / HUGE_STEPS)
        leak, r = v_reset * k * kept / steps, r * k * kept / steps
    return {"tau": np.full(shape, kept * dt), "r": np.full(shape, r), "v_leak": np.full(shape, leak)}


def _slope(name: str, module: Any) -> float:
    """Return k of a KLIFNode, 1 of others."""
    if _kind(module) != "KLIFNode":
        return 1.0
    k = float(module.k.detach())
    if k <= 0 or (module.v_reset or 0.0) < 0:
        raise DeployError(
            f"k is {k:g} and v_reset is {module.v_reset}, with which a KLIFNode is not linear",
            where=name,
            fix="Use a k above 0 and a v_reset of 0 or more.",
        )
    return k


def _states(module: Any) -> tuple[str, ...]:
    return ("v", "c") if hasattr(module, "c_decay") else ("v",)


def _steps(module: Any) -> float:
    """Return the membrane's time constant in steps."""
    if hasattr(module, "w"):
        rate = float(module.w.detach().sigmoid())
        return 1.0 / rate if rate else HUGE_STEPS
    return float(module.tau)
