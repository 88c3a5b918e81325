"""Sinabs layers as NIR nodes. Their time constants count steps.

Source: sinabs 3.1.3, ``sinabs/layers/{iaf,lif,alif,exp_leak}.py``, ``sinabs/layers/functional/{lif,alif}.py`` and
``sinabs/activation``. One step, with x the input, a = exp(-1 / tau_mem) (1 in IAF) and b = exp(-1 / tau_syn)::

    i = b * (i + x)                                     (layers with tau_syn; x = i from here on)
    v = a * v + x                                       (norm_input=True: a * v + (1 - a) * x)
    n = trunc(v / threshold) where v >= threshold       (SingleSpike: 1; MaxSpike: no more than so many)
    v = v - n * threshold                               (MembraneReset: 0 where n, then v = v + reset_value for all)
    v = max(v, min_v_mem)

ExpLeak does not fire; its output is v before it is clipped. ALIF has a threshold of its own in each step, and carries
on a current that was multiplied by 1 - a where norm_input is True::

    threshold = spike_threshold + adapt_scale * c;  then c = exp(-1 / tau_adapt) * c + (1 - exp(-1 / tau_adapt)) * n

Recurrent ones add rec_connect(n) to the next step's input; before the first step that is 0, whatever its bias.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.exporters.adapter import Adapter, Call, NeuronNodes, first_argument, kind_among
from neurodeploy.exporters.parameters import by_neuron, compact, decay_of, exp_tau, rules_metadata
from neurodeploy.exporters.recurrence import late_bias, recurrent_nodes
from neurodeploy.ir.synapses import Shape

KINDS = (
    "IAF", "IAFSqueeze", "IAFRecurrent", "LIF", "LIFSqueeze", "LIFRecurrent", "ALIF", "ALIFSqueeze", "ALIFRecurrent",
    "ExpLeak", "ExpLeakSqueeze",
)  # fmt: skip


class Sinabs(Adapter):
    """sinabs: layers take all steps, samples first; the Squeeze ones with samples and steps on one axis."""

    package = "sinabs"
    label = "sinabs"
    kinds = KINDS
    states = ("v_mem", "i_syn", "b", "spike_threshold")
    forms = ("static", "sequence", "batch-first", "time-last", "squeezed")
    dt = 1.0

    def is_neuron(self, module: Any) -> bool:
        """See :class:`Adapter`."""
        from sinabs.layers import StatefulLayer

        return isinstance(module, StatefulLayer)

    def kind_of(self, module: Any) -> str | None:
        """See :class:`Adapter`."""
        return _kind(module) or None

    def problems(self, module: Any) -> list[str]:
        """See :class:`Adapter`."""
        from sinabs.activation import MembraneReset, MembraneSubtract

        if module.spike_fn is None:
            return []
        problems = []
        if _max_spikes(module) is None:
            problems.append("has a spike_fn other than MultiSpike, SingleSpike and MaxSpike")
        match module.reset_fn:
            case MembraneSubtract(subtract_value=None) | MembraneReset():
                pass
            case MembraneSubtract():
                problems.append(
                    "has MembraneSubtract(subtract_value) other than the threshold; train with MembraneSubtract()"
                )
            case _:
                problems.append("has a reset_fn other than MembraneSubtract and MembraneReset")
        return problems

    def lead(self, module: Any) -> str:
        """See :class:`Adapter`."""
        return "b" if hasattr(module, "num_timesteps") else "BT"

    def prepare(self, model: Any) -> None:
        """See :class:`Adapter`; counters of synaptic operations add up over calls, which must be of one size."""
        for module in model.modules():
            for key, hook in list(module._forward_hooks.items()):
                if str(getattr(hook, "__module__", "")) in ("sinabs.synopcounter", "sinabs.hooks"):
                    del module._forward_hooks[key]

    def clear(self, module: Any, n_samples: int) -> None:
        """See :class:`Adapter`; a Squeeze layer is told how many samples share its first axis."""
        import torch

        for name, buffer in list(module.named_buffers()):
            module.register_buffer(name, torch.zeros(0, device=buffer.device))
        if self.lead(module) == "b":
            module.batch_size, module.num_timesteps = n_samples, -1

    def start_recording(self, module: Any) -> None:
        """See :class:`Adapter`."""
        module.was_recording, module.record_states = module.record_states, True

    def stop_recording(self, module: Any) -> None:
        """See :class:`Adapter`."""
        module.record_states = module.was_recording
        del module.was_recording

    def given(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """See :class:`Adapter`."""
        return dict(module.named_buffers())

    def left(self, module: Any, output: Any) -> dict[str, Any]:
        """See :class:`Adapter`."""
        return dict(module.named_buffers())

    def call(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Call:
        """See :class:`Adapter`."""
        entering, lead = first_argument(args, kwargs), self.lead(module)
        states = {} if _is_loop(module) or _adapts(module) else dict(module.recordings)  # theirs is overwritten
        if lead == "b":
            states = {name: value.flatten(0, 1) for name, value in states.items()}
        v = states.get("v_mem")
        v = v if v is None else v - _added(module)
        return Call(lead, tuple(entering.shape), output, v, states.get("i_syn"))

    def nodes(self, name: str, module: Any, shape: Shape, dt: float) -> NeuronNodes:
        """See :class:`Adapter`."""
        recurrent = recurrent_nodes(name, module.rec_connect, shape) if _is_loop(module) else None
        return NeuronNodes(_neuron_node(name, module, shape, dt), recurrent=recurrent)


def _kind(module: Any) -> str:
    """Return the class of a layer that is exported, an empty text for others."""
    from sinabs import layers
    from sinabs.layers import alif

    sources = (layers, alif)
    found = kind_among(module, (getattr(source, kind) for source in sources for kind in KINDS if hasattr(source, kind)))
    return found or ""


def _is_loop(module: Any) -> bool:
    return _kind(module).endswith("Recurrent")


def _adapts(module: Any) -> bool:
    return _kind(module).startswith("ALIF")


def _neuron_node(name: str, module: Any, shape: Shape, dt: float) -> Any:
    """Return the NIR node of the neurons themselves."""
    decay = _decay(name, "tau_mem", module.alpha_mem_calculated, shape)
    tau, alpha_syn = exp_tau(decay, dt), module.alpha_syn_calculated
    is_iaf = _kind(module).startswith("IAF")
    is_scaled = bool(module.norm_input) and not is_iaf
    norm = is_scaled and not (_adapts(module) and alpha_syn is not None)  # ALIF scales its current instead
    rules: dict[str, Any] = {} if is_iaf else {"norm_input": norm}
    if module.min_v_mem is not None:
        rules["min_v_mem"] = compact(by_neuron(name, "min_v_mem", module.min_v_mem, shape) - _added(module))
    common: dict[str, Any] = {
        "r": np.ones(shape) if norm else 1.0 / np.maximum(1.0 - np.exp(-dt / tau), 2.0**-40),
        "v_leak": np.zeros(shape),
    }
    if module.spike_fn is None:
        return nir.LI(tau=tau, **common, metadata=rules_metadata(rules))
    rules |= {"sums_input": True} if _is_loop(module) else {}
    rules |= {"reset": _reset(module), "spike": ">=", "max_spikes": _max_spikes(module)}
    rules |= _adaptation(name, module, shape) | _start(name, module, shape, decay, norm)
    common |= {"v_threshold": _threshold(name, module, shape), "v_reset": np.zeros(shape)}
    if alpha_syn is not None:
        factor = by_neuron(name, "tau_syn", alpha_syn, shape)
        if is_scaled and not norm:
            factor = ((1 - decay) * factor.astype(np.float32)).astype(np.float64)
        rules |= {"norm_input": norm, "order": "add-decay"}
        common |= _current(exp_tau(_decay(name, "tau_syn", factor, shape), dt), dt)
        return nir.CubaLIF(tau_mem=tau, **common, metadata=rules_metadata(rules))
    common["metadata"] = rules_metadata(rules)
    if not is_iaf:
        return nir.LIF(tau=tau, **common)
    return nir.IF(**{key: value for key, value in common.items() if key != "v_leak"} | {"r": np.full(shape, 1.0 / dt)})


def _current(tau_syn: NDArray[np.float64], dt: float) -> dict[str, Any]:
    """Return time constant and gain of a synaptic current that decays with its input."""
    return {"tau_syn": tau_syn, "w_in": 1.0 / np.expm1(dt / tau_syn)}


def _adaptation(name: str, module: Any, shape: Shape) -> dict[str, Any]:
    """Return the rules of an adaptive threshold, none if it is fixed."""
    if not _adapts(module):
        return {}
    decay = _decay(name, "tau_adapt", module.alpha_adapt_calculated, shape)
    scale = by_neuron(name, "adapt_scale", module.adapt_scale, shape)
    return {"adapt_decay": compact(decay), "adapt_gain": compact(scale)}


def _start(name: str, module: Any, shape: Shape, decay: NDArray[np.float32], norm: bool) -> dict[str, Any]:
    """Return the states and bias that make up for what is added at a reset, and for a recurrent bias.

    Our v is sinabs' before MembraneReset adds its value to all neurons, which then enters with the next step's input.
    The first step has neither that value nor a recurrent bias.
    """
    bias = late_bias(name, module.rec_connect, shape) if _is_loop(module) else np.zeros(shape)
    added, found = np.full(shape, _added(module)), {}
    if added.any():
        found["bias"] = compact(decay * added)
    if module.alpha_syn_calculated is not None and bias.any():
        found["i_init"] = compact(-bias)
        bias = np.zeros(shape)
    if bias.any() and not decay.all():
        raise DeployError(
            "the recurrent layer has a bias, and v keeps nothing from step to step",
            where=name,
            fix="Use bias=False in rec_connect.",
        )
    gain = 1.0 - decay.astype(np.float64) if norm else np.ones(shape)
    start = -added - np.divide(gain * bias, decay, out=np.zeros(shape), where=bias != 0)
    return found | ({"v_init": compact(start)} if start.any() else {})


def _added(module: Any) -> float:
    """Return what a reset adds to the v of all neurons, whether they fired or not."""
    return float(getattr(module.reset_fn, "reset_value", 0.0))


def _reset(module: Any) -> str:
    from sinabs.activation import MembraneReset

    return "value" if isinstance(module.reset_fn, MembraneReset) else "subtract"


def _max_spikes(module: Any) -> int | None:
    """Return the most spikes in a step, 0 for no limit, or None if its spike function is not known."""
    from sinabs.activation import MaxSpike, MultiSpike, SingleSpike

    if module.spike_fn is MultiSpike:
        return 0
    if module.spike_fn is SingleSpike:
        return 1
    if isinstance(module.spike_fn, MaxSpike):
        return int(module.spike_fn.max_num_spikes_per_bin or 0)
    return None


def _decay(name: str, key: str, factor: Any, shape: Shape) -> NDArray[np.float32]:
    return decay_of(name, key, by_neuron(name, key, factor, shape))


def _threshold(name: str, module: Any, shape: Shape) -> NDArray[np.float64]:
    threshold = by_neuron(name, "spike_threshold", module.b0 if _adapts(module) else module.spike_threshold, shape)
    if (threshold <= 0).any():
        raise DeployError(f"spike_threshold is {threshold.min():g}", where=name, fix="Use a spike_threshold above 0.")
    return threshold
