"""Rockpool modules as NIR nodes, with the time step that they were built with.

Source: rockpool 3.1.0, ``rockpool/nn/modules/torch/{lif_torch,lif_bitshift_torch,ahp_lif_torch,lif_neuron_torch,
exp_syn_torch,linear_torch}.py``. One step, with x the input, a = exp(-dt / tau_mem) and b = exp(-dt / tau_syn)::

    LIFTorch        i = b * (i + x + W_rec^T s);  v = a * v + i + bias
    LIFBitshiftTorch  as LIFTorch, with a and b of 1 - 2^-k
    aLIFTorch       as LIFTorch;  c = exp(-dt / tau_ahp) * (c + w_ahp * s), added to v
    LIFNeuronTorch  v = a * v + x + bias
    n = floor(v / threshold) where v >= threshold, no more than max_spikes_per_dt;  v = v - n * threshold
    ExpSynTorch     v = b * (v + x), which is its output
    LinearTorch     y = x W + bias, with W (n_in, n_out)

Inputs of a neuron with several synapses are summed where these have one time constant; else each is a leaky integrator
of its own, and the neuron adds them up. The last neurons of SynNet with
output="vmem" have a threshold that nothing reaches: they are integrators, read by v.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neurodeploy.exporters.adapter import Adapter, Call, NeuronNodes, first_argument, kind_among
from neurodeploy.exporters.parameters import by_neuron, compact, decay_of, exp_tau, rules_metadata
from neurodeploy.ir.synapses import Shape

KINDS = ("LIFTorch", "LIFBitshiftTorch", "aLIFTorch", "LIFNeuronTorch", "ExpSynTorch")
ADVICE = {
    "LIFSlayer": "it runs on CUDA only; the nearest is LIFTorch",
    "LIFExodus": "it runs on CUDA only; the nearest is LIFTorch",
    "LIFMembraneExodus": "it runs on CUDA only; the nearest is ExpSynTorch",
    "RateTorch": "it sends activations, not spikes; the nearest is LIFTorch",
    "UpDownTorch": "it encodes values; give its spikes as input data",
    "LowPass": "the nearest is ExpSynTorch",
}
"""What to take instead of neurons that are not exported, by the beginning of their names."""
_NEURONS = ("LIF", "ExpSyn", "Rate", "UpDown", "AHP", "LowPass", "aLIF")


class Rockpool(Adapter):
    """rockpool: modules take all steps, samples first, and return their output, state and record."""

    package = "rockpool"
    label = "rockpool"
    kinds = KINDS
    advice = ADVICE
    states = ("vmem", "isyn", "spikes", "iahp")
    forms = ("static", "sequence", "batch-first", "time-last")

    def is_neuron(self, module: Any) -> bool:
        """See :class:`Adapter`."""
        names = [cls.__name__ for cls in type(module).__mro__ if cls.__module__.startswith("rockpool.nn.modules")]
        return any(name.startswith(_NEURONS) for name in names)

    def kind_of(self, module: Any) -> str | None:
        """See :class:`Adapter`."""
        return _kind(module)

    def problems(self, module: Any) -> list[str]:
        """See :class:`Adapter`."""
        import torch

        problems = []
        if float(module.noise_std) != 0:
            problems.append("has noise_std other than 0; set it to 0 once the model is trained")
        if hasattr(module, "spike_generation_fn"):
            one, half = torch.tensor(1.0), torch.tensor(0.5)
            probe = torch.tensor([-1.5, -1e-6, 0.99999, 1.0, 2.5])
            fired = module.spike_generation_fn(probe, one, half, torch.tensor(2.0**16))
            if fired.tolist() != [0.0, 0.0, 0.0, 1.0, 2.0]:
                problems.append("has a spike_generation_fn that fires other than floor(v / threshold) times")
        return problems

    def own_dt(self, module: Any) -> float | None:
        """See :class:`Adapter`."""
        return float(module.dt)

    def lead(self, module: Any) -> str:
        """See :class:`Adapter`."""
        return "BT"

    def clear(self, module: Any, n_samples: int) -> None:
        """See :class:`Adapter`."""
        module.reset_state()

    def start_recording(self, module: Any) -> None:
        """See :class:`Adapter`; each call would switch the record off again."""

        def keep(module: Any, args: Any) -> None:
            module._record = True

        module.__dict__["recording_hook"] = module.register_forward_pre_hook(keep)

    def stop_recording(self, module: Any) -> None:
        """See :class:`Adapter`."""
        module.__dict__.pop("recording_hook").remove()

    def given(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """See :class:`Adapter`."""
        return {key: getattr(module, key) for key in self.states if hasattr(module, key)}

    def left(self, module: Any, output: Any) -> dict[str, Any]:
        """See :class:`Adapter`."""
        return self.given(module, (), {})

    def views(self, module: Any, output: Any) -> dict[str, Any]:
        """See :class:`Adapter`; what a module was asked to record."""
        recorded = getattr(module, "_record_dict", {})  # ExpSynTorch records nothing
        return {key: value for key, value in recorded.items() if key == "vmem"}

    def call(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Call:
        """See :class:`Adapter`."""
        shape = tuple(first_argument(args, kwargs).shape)
        if self.kind_of(module) == "ExpSynTorch":
            return Call("BT", shape, output, output)
        record = module._record_dict
        i = record["isyn"].sum(-1) if "isyn" in record and _beta_of_all(module) is not None else None
        return Call("BT", shape, record["vmem"] if _is_read(module) else output, record.get("vmem"), i)

    def nodes(self, name: str, module: Any, shape: Shape, dt: float) -> NeuronNodes:
        """See :class:`Adapter`."""
        if self.kind_of(module) == "ExpSynTorch":
            return NeuronNodes(_synapse_node(name, module, shape, dt))
        n = getattr(module, "n_synapses", 1)
        if n != 1 and _beta_of_all(module) is None:
            through = nir.Scale(np.ones(shape[0] * n))
            node = _neuron_node(name, module, shape, dt, has_current=False)
            return NeuronNodes(node, entering=through, currents=_currents(name, module, shape, dt))
        entering = recurrent = None
        if n != 1:
            entering = nir.Linear(sum(_selecting(shape, n)))
        if getattr(module, "_has_rec", False):
            recurrent = nir.Linear(_back(module, shape, n).sum(0))
        return NeuronNodes(_neuron_node(name, module, shape, dt), [], entering, recurrent)


def _kind(module: Any) -> str | None:
    from rockpool.nn import modules
    from rockpool.nn.modules.torch import ahp_lif_torch, lif_bitshift_torch

    sources = (modules, ahp_lif_torch, lif_bitshift_torch)
    return kind_among(module, (getattr(source, kind) for source in sources for kind in KINDS if hasattr(source, kind)))


def _currents(name: str, module: Any, shape: Shape, dt: float) -> tuple[tuple[Any, Any, Any | None], ...]:
    """Return each synapse of the neurons as an integrator, with what leads to it."""
    n = int(module.n_synapses)
    beta = np.broadcast_to(module.beta.detach().numpy(), (*shape, n))
    back: Any = [None] * n
    if module._has_rec:
        late = nir.Delay(np.full(shape, dt))  # the loop has several ways, so it says itself where it takes a step
        back = [[late, nir.Linear(weight)] for weight in _back(module, shape, n)]
    into = [nir.Linear(weight) for weight in _selecting(shape, n)]
    made = [_current(_decay(name, "tau_syn", beta[:, k], shape), dt) for k in range(n)]
    return tuple(zip(into, made, back, strict=True))


def _current(decay: NDArray[np.float32], dt: float) -> Any:
    """Return the node of i = b * (i + x), which passes on i: its membrane keeps nothing of its own."""
    tau_syn, tau_mem = exp_tau(decay, dt), exp_tau(0 * decay, dt)
    rates = {"tau_syn": tau_syn, "tau_mem": tau_mem, "r": np.ones(decay.shape), "w_in": 1.0 / np.expm1(dt / tau_syn)}
    return nir.CubaLI(**rates, v_leak=np.zeros(decay.shape), metadata=rules_metadata({}))


def _back(module: Any, shape: Shape, n_synapses: int) -> NDArray[np.float32]:
    """Return the recurrent weights into each synapse of the neurons, (n_synapses, n_neurons, n_neurons)."""
    weight = module.w_rec.detach().numpy().T.reshape(shape[0], n_synapses, shape[0])
    return np.ascontiguousarray(weight.transpose(1, 0, 2))


def _selecting(shape: Shape, n_synapses: int) -> list[NDArray[np.float32]]:
    """Return the weights that lead to each synapse of the neurons its part of the input, neuron by neuron."""
    one = np.eye(shape[0] * n_synapses, dtype=np.float32)
    return [one[k::n_synapses] for k in range(n_synapses)]


def _neuron_node(name: str, module: Any, shape: Shape, dt: float, has_current: bool = True) -> Any:
    """Return the NIR node of neurons that have a membrane; without their synapses if ``has_current`` is False."""
    tau = exp_tau(_decay(name, "tau_mem", _alpha(module), shape), dt)
    lost = -np.expm1(-dt / tau)
    bias = by_neuron(name, "bias", module.bias, shape)
    rules: dict[str, Any] = {"bias": compact(bias)} | ({} if has_current else {"sums_input": True})
    common = {"r": 1.0 / np.maximum(lost, 2.0**-40), "v_leak": bias / np.maximum(lost, 2.0**-40)}
    fires = not _is_read(module)
    if fires:
        rules |= {"reset": "subtract", "spike": ">=", "max_spikes": int(float(module.max_spikes_per_dt))}
        common |= {"v_threshold": by_neuron(name, "threshold", module.threshold, shape), "v_reset": np.zeros(shape)}
    if _kind(module) == "aLIFTorch":
        rules |= _adaptation(name, module, shape)
    if _kind(module) == "LIFNeuronTorch" or not has_current:
        return (nir.LIF if fires else nir.LI)(tau=tau, **common, metadata=rules_metadata(rules))
    tau_syn = exp_tau(_decay(name, "tau_syn", _beta(module), shape), dt)
    rates = {"tau_syn": tau_syn, "tau_mem": tau, "w_in": 1.0 / np.expm1(dt / tau_syn)}
    return (nir.CubaLIF if fires else nir.CubaLI)(**rates, **common, metadata=rules_metadata(rules))


def _adaptation(name: str, module: Any, shape: Shape) -> dict[str, Any]:
    """Return the rules of a current of a neuron's own spikes."""
    kept = compact(_decay(name, "tau_ahp", module.gamma, shape))
    lowered = -by_neuron(name, "w_ahp", module.w_ahp, shape)
    return {"adapts": "v", "adapt_decay": kept, "adapt_gain": compact(lowered)}


def _is_read(module: Any) -> bool:
    """Tell whether nothing reaches a neuron's threshold, as in the last layer of SynNet with output="vmem"."""
    from rockpool.nn.networks.synnet import THRESHOLD_OUT

    return hasattr(module, "threshold") and bool((module.threshold >= THRESHOLD_OUT).all())


def _synapse_node(name: str, module: Any, shape: Shape, dt: float) -> Any:
    """Return ExpSynTorch as a leaky integrator of the input's decayed part, v = b * v + b * x."""
    import torch

    return _integrator(_decay(name, "tau", torch.exp(-module.dt / module.tau), shape), dt)


def _integrator(decay: NDArray[np.float32], dt: float) -> Any:
    """Return the node of v = b * (v + x)."""
    tau = exp_tau(decay, dt)
    r = decay.astype(np.float64) * tau / dt
    return nir.LI(tau=tau, r=r, v_leak=np.zeros(decay.shape), metadata=rules_metadata({"gain": "euler"}))


def _alpha(module: Any) -> Any:
    """Return the factor that v keeps in a step, as forward computes it."""
    if hasattr(module, "leak_mode"):
        return module.alpha
    from rockpool.nn.modules.torch.lif_torch import tau_to_decay

    found = tau_to_decay(module.dt, module.tau_mem)
    return found[0] if isinstance(found, tuple) else found


def _beta(module: Any) -> Any:
    beta = _beta_of_all(module)
    return module.beta if beta is None else beta


def _beta_of_all(module: Any) -> Any:
    """Return the factor that all synapses of a neuron keep in a step; None if they differ."""
    beta = module.beta
    if beta.ndim < 2:
        return beta
    return beta[..., 0] if bool((beta == beta[..., :1]).all()) else None


def _decay(name: str, key: str, factor: Any, shape: Shape) -> NDArray[np.float32]:
    return decay_of(name, key, by_neuron(name, key, factor, shape))
