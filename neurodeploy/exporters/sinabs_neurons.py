"""What a sinabs layer computes, as a NIR node. Its time constants count steps.

Source: sinabs 3.1.3, ``sinabs/layers/{iaf,lif,exp_leak}.py``, ``sinabs/layers/functional/lif.py`` and
``sinabs/activation``. One step, with x the input, a = exp(-1 / tau_mem) (1 in IAF) and b = exp(-1 / tau_syn)::

    i = b * (i + x)                                     (layers with tau_syn; x = i from here on)
    v = a * v + x                                       (norm_input=True: a * v + (1 - a) * x)
    n = trunc(v / threshold) where v >= threshold       (SingleSpike: 1; MaxSpike: no more than so many)
    v = v - n * threshold                               (MembraneReset: 0 where n)
    v = max(v, min_v_mem)

ExpLeak does not fire; its output is v before it is clipped.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.exporters.adapter import Adapter, Call, NeuronNodes, first_argument
from neurodeploy.exporters.parameters import by_neuron, decay_of, exp_tau, rules_metadata, uniform
from neurodeploy.synapses import Shape

KINDS = ("IAF", "IAFSqueeze", "LIF", "LIFSqueeze", "ExpLeak", "ExpLeakSqueeze")


class Sinabs(Adapter):
    """sinabs: layers take all steps, samples first; the Squeeze ones with samples and steps on one axis."""

    package = "sinabs"
    label = "sinabs"
    kinds = KINDS
    states = ("v_mem", "i_syn")
    forms = ("static", "sequence", "batch-first", "time-last", "squeezed")
    dt = 1.0

    def is_neuron(self, module: Any) -> bool:
        """See :class:`Adapter`."""
        from sinabs.layers import StatefulLayer

        return isinstance(module, StatefulLayer)

    def kind_of(self, module: Any) -> str | None:
        """See :class:`Adapter`."""
        from sinabs import layers

        return next((kind for kind in KINDS if type(module) is getattr(layers, kind)), None)

    def problems(self, module: Any) -> list[str]:
        """See :class:`Adapter`."""
        from sinabs.activation import MembraneReset, MembraneSubtract

        if module.spike_fn is None:
            return []
        problems = []
        if _max_spikes(module) is None:
            problems.append("has a spike_fn other than MultiSpike, SingleSpike and MaxSpike")
        match module.reset_fn:
            case MembraneSubtract(subtract_value=None) | MembraneReset(reset_value=0.0):
                pass
            case MembraneReset():
                problems.append("has MembraneReset(reset_value) other than 0, which sinabs adds to all neurons")
            case MembraneSubtract():
                problems.append("has MembraneSubtract(subtract_value) other than the threshold")
            case _:
                problems.append("has a reset_fn other than MembraneSubtract and MembraneReset")
        return problems

    def lead(self, module: Any) -> str:
        """See :class:`Adapter`."""
        return "b" if hasattr(module, "num_timesteps") else "BT"

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
        states = dict(module.recordings)
        if lead == "b":
            states = {name: value.flatten(0, 1) for name, value in states.items()}
        return Call(lead, tuple(entering.shape), output, states.get("v_mem"), states.get("i_syn"))

    def nodes(self, name: str, module: Any, shape: Shape, dt: float) -> NeuronNodes:
        """See :class:`Adapter`."""
        decay = _decay(name, "tau_mem", module.alpha_mem_calculated, shape)
        tau = exp_tau(decay, dt)
        is_iaf = (self.kind_of(module) or "").startswith("IAF")
        norm = bool(module.norm_input) and not is_iaf
        rules: dict[str, Any] = {} if is_iaf else {"norm_input": norm}
        if module.min_v_mem is not None:
            rules["min_v_mem"] = uniform(name, "min_v_mem", by_neuron(name, "min_v_mem", module.min_v_mem, shape))
        r = np.ones(shape) if norm else 1.0 / np.maximum(1.0 - np.exp(-dt / tau), 2.0**-40)
        v_leak = np.zeros(shape)
        if module.spike_fn is None:
            return NeuronNodes(nir.LI(tau=tau, r=r, v_leak=v_leak, metadata=rules_metadata(rules)))
        rules |= {"reset": _reset(module), "spike": ">=", "max_spikes": _max_spikes(module)}
        common = {
            "v_threshold": _threshold(name, module, shape),
            "v_reset": np.zeros(shape),
            "metadata": rules_metadata(rules),
        }
        if (alpha_syn := module.alpha_syn_calculated) is not None:
            rules |= {"norm_input": norm, "order": "add-decay"}
            common["metadata"] = rules_metadata(rules)
            tau_syn = exp_tau(_decay(name, "tau_syn", alpha_syn, shape), dt)
            w_in = 1.0 / np.expm1(dt / tau_syn)
            return NeuronNodes(nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, r=r, v_leak=v_leak, w_in=w_in, **common))
        if is_iaf:
            return NeuronNodes(nir.IF(r=np.full(shape, 1.0 / dt), **common))
        return NeuronNodes(nir.LIF(tau=tau, r=r, v_leak=v_leak, **common))


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
    threshold = by_neuron(name, "spike_threshold", module.spike_threshold, shape)
    if (threshold <= 0).any():
        raise DeployError(f"spike_threshold is {threshold.min():g}", where=name, fix="Thresholds lie above 0.")
    return threshold
