"""What a rockpool module computes, as NIR nodes, with the time step that it was built with.

Source: rockpool 3.1.0, ``rockpool/nn/modules/torch/{lif_torch,lif_neuron_torch,exp_syn_torch,linear_torch}.py``. One
step, with x the input, a = exp(-dt / tau_mem) and b = exp(-dt / tau_syn)::

    LIFTorch        i = b * (i + x + W_rec^T s);  v = a * v + i + bias
    LIFNeuronTorch  v = a * v + x + bias
    n = floor(v / threshold) where v >= threshold, no more than max_spikes_per_dt;  v = v - n * threshold
    ExpSynTorch     v = b * (v + x), which is its output
    LinearTorch     y = x W + bias, with W (n_in, n_out)
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.exporters.adapter import Adapter, Call, NeuronNodes, first_argument
from neurodeploy.exporters.parameters import by_neuron, decay_of, exp_tau, rules_metadata
from neurodeploy.synapses import Shape

KINDS = ("LIFTorch", "LIFNeuronTorch", "ExpSynTorch")
_NEURONS = ("LIF", "ExpSyn", "Rate", "UpDown", "AHP", "LowPass", "aLIF")


class Rockpool(Adapter):
    """rockpool: modules take all steps, samples first, and return their output, state and record."""

    package = "rockpool"
    label = "rockpool"
    kinds = KINDS
    states = ("vmem", "isyn", "spikes")
    forms = ("static", "sequence", "batch-first", "time-last")

    def is_neuron(self, module: Any) -> bool:
        """See :class:`Adapter`."""
        names = [cls.__name__ for cls in type(module).__mro__ if cls.__module__.startswith("rockpool.nn.modules")]
        return any(name.startswith(_NEURONS) for name in names)

    def kind_of(self, module: Any) -> str | None:
        """See :class:`Adapter`."""
        from rockpool.nn import modules

        return next((kind for kind in KINDS if type(module) is getattr(modules, kind)), None)

    def problems(self, module: Any) -> list[str]:
        """See :class:`Adapter`."""
        import torch

        problems = []
        if float(module.noise_std) != 0:
            problems.append("has noise_std other than 0")
        if getattr(module, "n_synapses", 1) != 1:
            problems.append(f"has {module.n_synapses} synapses per neuron, and one is supported")
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
        return {key: getattr(module, key) for key in ("vmem", "isyn", "spikes") if hasattr(module, key)}

    def left(self, module: Any, output: Any) -> dict[str, Any]:
        """See :class:`Adapter`."""
        return self.given(module, (), {})

    def views(self, module: Any, output: Any) -> dict[str, Any]:
        """See :class:`Adapter`; a module that was asked to record returns that."""
        record = output[2] if isinstance(output, tuple) and len(output) > 2 else {}
        return {key: value for key, value in record.items() if key == "vmem"}

    def call(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Call:
        """See :class:`Adapter`."""
        shape = tuple(first_argument(args, kwargs).shape)
        if self.kind_of(module) == "ExpSynTorch":
            return Call("BT", shape, output, output)
        record = module._record_dict
        i = record["isyn"][..., 0] if "isyn" in record else None
        return Call("BT", shape, output, record.get("vmem"), i)

    def nodes(self, name: str, module: Any, shape: Shape, dt: float) -> NeuronNodes:
        """See :class:`Adapter`."""
        kind = self.kind_of(module)
        if kind == "ExpSynTorch":
            return NeuronNodes(_synapse_node(name, module, shape, dt))
        tau = exp_tau(_decay(name, "tau_mem", _alpha(module), shape), dt)
        lost = -np.expm1(-dt / tau)
        bias = by_neuron(name, "bias", module.bias, shape)
        rules: dict[str, Any] = {"reset": "subtract", "spike": ">=", "max_spikes": int(float(module.max_spikes_per_dt))}
        if (bias == bias.flat[0]).all():
            rules["bias"] = float(bias.flat[0])
        elif (lost < 2.0**-24).any():
            raise DeployError(
                "biases differ and tau_mem is infinite", where=name, fix="Give all neurons the same bias."
            )
        common = {
            "r": 1.0 / np.maximum(lost, 2.0**-40),
            "v_leak": bias / np.maximum(lost, 2.0**-40),
            "v_threshold": by_neuron(name, "threshold", module.threshold, shape),
            "v_reset": np.zeros(shape),
            "metadata": rules_metadata(rules),
        }
        if kind == "LIFNeuronTorch":
            return NeuronNodes(nir.LIF(tau=tau, **common))
        tau_syn = exp_tau(_decay(name, "tau_syn", _beta(module), shape), dt)
        node = nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, w_in=1.0 / np.expm1(dt / tau_syn), **common)
        recurrent = nir.Linear(module.w_rec.detach().numpy().T.copy()) if module._has_rec else None
        return NeuronNodes(node, [], recurrent=recurrent)


def _synapse_node(name: str, module: Any, shape: Shape, dt: float) -> Any:
    """Return ExpSynTorch as a leaky integrator of the input's decayed part, v = b * v + b * x."""
    import torch

    decay = _decay(name, "tau", torch.exp(-module.dt / module.tau), shape)
    tau = exp_tau(decay, dt)
    r = decay.astype(np.float64) * tau / dt
    return nir.LI(tau=tau, r=r, v_leak=np.zeros(shape), metadata=rules_metadata({"gain": "euler"}))


def _alpha(module: Any) -> Any:
    """Return the factor that v keeps in a step, as forward computes it."""
    if hasattr(module, "leak_mode"):
        return module.alpha
    from rockpool.nn.modules.torch.lif_torch import tau_to_decay

    found = tau_to_decay(module.dt, module.tau_mem)
    return found[0] if isinstance(found, tuple) else found


def _beta(module: Any) -> Any:
    beta = module.beta
    return beta[..., 0] if beta.ndim == 2 else beta


def _decay(name: str, key: str, factor: Any, shape: Shape) -> NDArray[np.float32]:
    return decay_of(name, key, by_neuron(name, key, factor, shape))
