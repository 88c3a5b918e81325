"""What a SpikingJelly neuron computes, as a NIR node.

Source: SpikingJelly 2.0.0, ``spikingjelly/activation_based/neuron/{integrate_and_fire,lif,plif,lif_variants}.py``. One
step, with x the input and v_r the reset (0 for a soft one)::

    IFNode                      v = v + x
    LIFNode, ParametricLIFNode  v = v + (x - (v - v_r)) / tau        (decay_input=False: v = v - (v - v_r) / tau + x)
    CUBALIFNode                 i = c_decay * i + x;  v = v_decay * v + i
    s = v >= threshold;  v = v_r where s, or v - threshold * s if v_reset is None
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from neurodeploy.exporters.adapter import Adapter, Call, NeuronNodes, first_argument
from neurodeploy.exporters.parameters import HUGE_STEPS, decay_of, euler_tau, rules_metadata
from neurodeploy.synapses import Shape

KINDS = ("IFNode", "LIFNode", "ParametricLIFNode", "CUBALIFNode")


class SpikingJelly(Adapter):
    """SpikingJelly: neurons keep their states, and take one step or all of them, as their ``step_mode`` says."""

    package = "spikingjelly"
    label = "SpikingJelly"
    kinds = KINDS

    def is_neuron(self, module: Any) -> bool:
        """See :class:`Adapter`."""
        names = {f"{cls.__module__}.{cls.__name__}" for cls in type(module).__mro__}
        return any(name.startswith("spikingjelly.activation_based.neuron.") for name in names)

    def kind_of(self, module: Any) -> str | None:
        """See :class:`Adapter`."""
        from spikingjelly.activation_based import neuron

        return next((kind for kind in KINDS if type(module) is getattr(neuron, kind)), None)

    def problems(self, module: Any) -> list[str]:
        """See :class:`Adapter`."""
        import torch

        with torch.no_grad():
            fired = module.surrogate_function(torch.tensor([-1.0, -1e-6, 0.0, 1e-6, 1.0]))
        if fired.tolist() != [0.0, 0.0, 1.0, 1.0, 1.0]:
            return ["has a surrogate_function that fires other than at v >= threshold"]
        return []

    def lead(self, module: Any) -> str:
        """See :class:`Adapter`."""
        return "TB" if module.step_mode == "m" else "B"

    def clear(self, module: Any, n_samples: int) -> None:
        """See :class:`Adapter`."""
        module.reset()

    def start_recording(self, module: Any) -> None:
        """See :class:`Adapter`."""
        module.was_storing = module.store_v_seq
        if module.step_mode == "m":
            module.store_v_seq = True

    def stop_recording(self, module: Any) -> None:
        """See :class:`Adapter`."""
        module.store_v_seq = module.was_storing
        del module.was_storing

    def given(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """See :class:`Adapter`; before the first step states are numbers."""
        import torch

        states = {key: getattr(module, key) for key in _states(module)}
        return {key: value for key, value in states.items() if isinstance(value, torch.Tensor)}

    def left(self, module: Any, output: Any) -> dict[str, Any]:
        """See :class:`Adapter`."""
        return self.given(module, (), {})

    def call(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Call:
        """See :class:`Adapter`; of a whole sequence the current is not kept."""
        entering, lead = first_argument(args, kwargs), self.lead(module)
        v = module.v_seq if lead == "TB" else module.v
        return Call(lead, tuple(entering.shape), output, v, getattr(module, "c", None) if lead == "B" else None)

    def nodes(self, name: str, module: Any, shape: Shape, dt: float) -> NeuronNodes:
        """See :class:`Adapter`."""
        is_soft = module.v_reset is None
        v_reset = 0.0 if is_soft else float(module.v_reset)
        rules = {"reset": "subtract" if is_soft else "value", "spike": ">=", "v_init": v_reset, "max_spikes": 1}
        common = {
            "v_threshold": np.full(shape, float(module.v_threshold)),
            "v_reset": np.full(shape, v_reset),
            "metadata": rules_metadata(rules),
        }
        kind = self.kind_of(module)
        if kind == "IFNode":
            return NeuronNodes(nir.IF(r=np.full(shape, 1.0 / dt), **common))
        if kind == "CUBALIFNode":
            tau_syn = euler_tau(decay_of(name, "c_decay", np.full(shape, float(module.c_decay))), dt)
            tau_mem = euler_tau(decay_of(name, "v_decay", np.full(shape, float(module.v_decay))), dt)
            rates = {"tau_syn": tau_syn, "tau_mem": tau_mem, "r": tau_mem / dt, "w_in": tau_syn / dt}
            return NeuronNodes(nir.CubaLIF(**rates, v_leak=np.zeros(shape), **common))
        steps = _steps(module)
        decay_of(name, "tau", np.full(shape, 1.0 - 1.0 / steps))
        r = 1.0 if module.decay_input else steps
        node = nir.LIF(tau=np.full(shape, steps * dt), r=np.full(shape, r), v_leak=np.full(shape, v_reset), **common)
        return NeuronNodes(node)


def _states(module: Any) -> tuple[str, ...]:
    return ("v", "c") if hasattr(module, "c_decay") else ("v",)


def _steps(module: Any) -> float:
    """Return the membrane's time constant in steps."""
    if hasattr(module, "w"):
        rate = float(module.w.detach().sigmoid())
        return 1.0 / rate if rate else HUGE_STEPS
    return float(module.tau)
