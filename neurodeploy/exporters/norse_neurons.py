"""What a norse cell computes, as NIR nodes, with the time step that it was built with.

Source: norse 1.1.0, ``norse/torch/functional/{lif_box,lif,iaf,leaky_integrator_box}.py``. One step, with x the input::

    LIFBoxCell        v = v + dt * tau_mem_inv * (x + v_leak - v)
    LIFCell           i = i + x;  v = v + dt * tau_mem_inv * (v_leak - v + i);  i = i - dt * tau_syn_inv * i
    LIFRecurrentCell  as LIFCell, x = W_in x + W_rec s
    IAFCell           v = v + x
    LIBoxCell         as LIFBoxCell; its output is v
    s = v > v_th;  v = v_reset where s, or v - v_th * s with LIFBoxParameters(reset_method=reset_subtract)

v starts at v_leak, that of IAFCell at v_reset.
"""

from __future__ import annotations

import inspect
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.exporters.adapter import Adapter, Call, NeuronNodes, first_argument
from neurodeploy.exporters.parameters import by_neuron, rules_metadata, uniform
from neurodeploy.synapses import Shape

KINDS = ("LIFBoxCell", "LIFCell", "LIFRecurrentCell", "IAFCell", "LIBoxCell")


class Norse(Adapter):
    """norse: cells take one step, and are given and return their states."""

    package = "norse"
    label = "norse"
    kinds = KINDS
    dt = 1e-3

    def is_neuron(self, module: Any) -> bool:
        """See :class:`Adapter`."""
        from norse.torch.module import snn

        bases = (snn.SNNCell, snn.SNNRecurrentCell, snn.SNN, snn.SNNRecurrent)
        name = type(module).__name__
        is_other = type(module).__module__.startswith("norse.") and ("LI" in name or "Cell" in name)
        return isinstance(module, bases) or is_other

    def kind_of(self, module: Any) -> str | None:
        """See :class:`Adapter`."""
        import norse.torch.module.lif_box as lif_box
        from norse.torch.module import iaf, leaky_integrator_box, lif

        sources = (lif_box.LIFBoxCell, lif.LIFCell, lif.LIFRecurrentCell, iaf.IAFCell, leaky_integrator_box.LIBoxCell)
        return next((cls.__name__ for cls in sources if type(module) is cls), None)

    def problems(self, module: Any) -> list[str]:
        """See :class:`Adapter`."""
        from norse.torch.functional.reset import reset_subtract, reset_value

        problems = []
        if hasattr(module.p, "v_th") and not _is_plain_step(module.p):
            problems.append(f"has method={module.p.method!r}, which fires other than at v > v_th")
        if getattr(module.p, "reset_method", reset_value) not in (reset_value, reset_subtract):
            problems.append("has a reset_method of its own")
        return problems

    def own_dt(self, module: Any) -> float | None:
        """See :class:`Adapter`; an IAFCell does not use its own."""
        return None if self.kind_of(module) == "IAFCell" else float(module.dt)

    def passes_state(self, model: Any) -> bool:
        """See :class:`Adapter`."""
        return len(inspect.signature(model.forward).parameters) > 1

    def clear(self, module: Any, n_samples: int) -> None:
        """See :class:`Adapter`; cells keep nothing."""

    def given(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """See :class:`Adapter`."""
        state = args[1] if len(args) > 1 else kwargs.get("state")
        return {} if state is None else dict(state._asdict())

    def left(self, module: Any, output: Any) -> dict[str, Any]:
        """See :class:`Adapter`."""
        return dict(output[1]._asdict())

    def call(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Call:
        """See :class:`Adapter`."""
        out, state = output
        return Call("B", tuple(first_argument(args, kwargs).shape), out, state.v, getattr(state, "i", None))

    def nodes(self, name: str, module: Any, shape: Shape, dt: float) -> NeuronNodes:
        """See :class:`Adapter`."""
        kind, p = self.kind_of(module), module.p
        values = {key: by_neuron(name, key, getattr(p, key), shape) for key in _PARAMETERS if hasattr(p, key)}
        if kind == "LIBoxCell":
            tau = _tau(name, "tau_mem_inv", values, dt)
            return NeuronNodes(nir.LI(tau=tau, r=np.ones(shape), v_leak=values["v_leak"], metadata=rules_metadata({})))
        rules: dict[str, Any] = {"reset": _reset(module), "spike": ">", "max_spikes": 1}
        if kind == "IAFCell":
            rules["v_init"] = uniform(name, "v_reset", values["v_reset"])
        common = {"v_threshold": values["v_th"], "v_reset": values["v_reset"], "metadata": rules_metadata(rules)}
        if kind == "IAFCell":
            return NeuronNodes(nir.IF(r=np.full(shape, 1.0 / dt), **common))
        common |= {"r": np.ones(shape), "v_leak": values["v_leak"]}
        tau = _tau(name, "tau_mem_inv", values, dt)
        if kind == "LIFBoxCell":
            return NeuronNodes(nir.LIF(tau=tau, **common))
        tau_syn = _tau(name, "tau_syn_inv", values, dt)
        node = nir.CubaLIF(tau_syn=tau_syn, tau_mem=tau, w_in=tau_syn / dt, **common)
        if kind == "LIFCell":
            return NeuronNodes(node)
        entering, recurrent = (w.detach().numpy().copy() for w in (module.input_weights, module.recurrent_weights))
        return NeuronNodes(node, [], nir.Linear(entering), nir.Linear(recurrent))


_PARAMETERS = ("tau_mem_inv", "tau_syn_inv", "v_leak", "v_th", "v_reset")


def _is_plain_step(p: Any) -> bool:
    import torch
    from norse.torch.functional.threshold import threshold

    with torch.no_grad():
        fired = [threshold(torch.tensor([-1.0, -1e-6, 0.0, 1e-6, 1.0]), p.method, p.alpha).tolist() for _ in range(2)]
    return fired == [[0.0, 0.0, 0.0, 1.0, 1.0]] * 2


def _reset(module: Any) -> str:
    from norse.torch.functional.reset import reset_subtract

    return "subtract" if getattr(module.p, "reset_method", None) is reset_subtract else "value"


def _tau(name: str, key: str, values: dict[str, NDArray[np.float64]], dt: float) -> NDArray[np.float64]:
    """Return a time constant in seconds.

    Raises:
        DeployError: it is shorter than a step, so that v overshoots, or not above 0.
    """
    inverse = values[key]
    if (inverse <= 0).any() or (dt * inverse > 1).any():
        raise DeployError(
            f"{key} is {inverse.min():g} to {inverse.max():g} per s with steps of {dt:g} s",
            where=name,
            fix="Time constants are at least one step, and finite.",
        )
    return 1.0 / inverse
