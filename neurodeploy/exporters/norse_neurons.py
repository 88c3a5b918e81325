"""Norse cells as NIR nodes, with the time step that they were built with.

Source: norse 1.1.0, ``norse/torch/functional/{lif_box,lif,lif_refrac,iaf,lsnn,leaky_integrator_box,
leaky_integrator}.py``. One step, with x the input::

    LIFBoxCell  v = v + dt * tau_mem_inv * (x + v_leak - v)
    LIFCell     i = i + x;  v = v + dt * tau_mem_inv * (v_leak - v + i);  i = i - dt * tau_syn_inv * i
    LSNNCell    v = v + dt * tau_mem_inv * (v_leak - v + i);  i = i - dt * tau_syn_inv * i + x
                b = b + dt * tau_adapt_inv * (v_th - b), against which v is tested;  b = b + beta * s
    LIFRefracCell  as LIFCell; v is held, and fires no more, for rho_reset steps after a spike
    IAFCell     v = v + x
    LIBoxCell   as LIFBoxCell, LICell as LIFCell; their output is v
    s = v > v_th;  v = v_reset where s, or v - v_th * s with LIFBoxParameters(reset_method=reset_subtract)

Recurrent ones take x = W_in x + W_rec s. Those without Cell in their name take all steps at once. v starts at v_leak,
that of IAFCell at v_reset; b at v_th.
"""

from __future__ import annotations

import inspect
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.exporters.adapter import Adapter, Call, NeuronNodes, first_argument, kind_among
from neurodeploy.exporters.parameters import by_neuron, compact, rules_metadata
from neurodeploy.ir.synapses import Shape

MODELS = {
    "LIFBoxCell": "LIFBox", "LIFCell": "LIF", "LIF": "LIF", "LIFRecurrentCell": "LIF", "LIFRecurrent": "LIF",
    "LSNNCell": "LSNN", "LSNN": "LSNN", "LSNNRecurrentCell": "LSNN", "LSNNRecurrent": "LSNN", "IAFCell": "IAF",
    "LIFRefracCell": "LIF", "LIFRefracRecurrentCell": "LIF", "LIFRefracRecurrent": "LIF",
    "IAF": "IAF", "LIBoxCell": "LIBox", "LICell": "LI", "LI": "LI", "LILinearCell": "LI",
}  # fmt: skip
"""The classes that are exported, and which neuron each is."""

ADVICE = {
    "LIFAdEx": "its exponential has no linear step; the nearest is LSNN, whose threshold adapts",
    "LIFEx": "its exponential has no linear step; the nearest is LIF",
    "LIFMC": "its compartments are coupled; the nearest is LIFRecurrent",
    "LIFCorrelation": "it learns while it runs; the nearest is LIFRecurrent",
    "CobaLIF": "its conductances multiply v; the nearest is LIF",
    "Izhikevich": "it is quadratic in v; the nearest is LIF",
    "ConstantCurrentLIFEncoder": "encoding belongs to the data: leave it out, and give the spikes that it makes",
    "SpikeLatencyLIFEncoder": "encoding belongs to the data: leave it out, and give the spikes that it makes",
    "ConvLSTM": "its gates multiply states; the nearest is LSNN",
}
"""What to take instead of neurons that are not exported, by the beginning of their names."""

_ENCODED = (
    "Leave {} out of the module: encode the data before it (spikes = encoder(x), saved as x [T, B, ...] in an .npz), "
    "and give that as --input here and later."
)
ENCODERS = {name: _ENCODED.format(name) for name in ("ConstantCurrentLIFEncoder", "SpikeLatencyLIFEncoder")}
"""What to do with modules that make spikes of the data."""

_PARAMETERS = ("tau_mem_inv", "tau_syn_inv", "v_leak", "v_th", "v_reset")


class Norse(Adapter):
    """norse: cells take one step, layers all of them; both are given and return their states."""

    package = "norse"
    label = "norse"
    kinds = tuple(MODELS)
    advice = ADVICE
    encoders = ENCODERS
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
        return _kind(module)

    def problems(self, module: Any) -> list[str]:
        """See :class:`Adapter`."""
        from norse.torch.functional.reset import reset_subtract, reset_value

        problems, p = [], _parameters(module)
        if hasattr(p, "v_th") and not _is_plain_step(p):
            problems.append(f"has method={p.method!r}, which fires other than at v > v_th")
        if getattr(module.p, "reset_method", reset_value) not in (reset_value, reset_subtract):
            problems.append("has a reset_method of its own")
        return problems

    def own_dt(self, module: Any) -> float | None:
        """See :class:`Adapter`; an IAFCell does not use its own."""
        return None if _model(module) == "IAF" else float(module.dt)

    def passes_state(self, model: Any) -> bool:
        """See :class:`Adapter`."""
        return len(inspect.signature(model.forward).parameters) > 1

    def lead(self, module: Any) -> str:
        """See :class:`Adapter`."""
        return "TB" if hasattr(module, "record_states") else "B"

    def clear(self, module: Any, n_samples: int) -> None:
        """See :class:`Adapter`; cells keep nothing."""

    def start_recording(self, module: Any) -> None:
        """See :class:`Adapter`."""
        if self.lead(module) == "TB":
            module.was_recording, module.record_states = module.record_states, True

    def stop_recording(self, module: Any) -> None:
        """See :class:`Adapter`."""
        if self.lead(module) == "TB":
            module.record_states = module.was_recording
            del module.was_recording

    def given(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """See :class:`Adapter`."""
        state = args[1] if len(args) > 1 else kwargs.get("state")
        return {} if state is None else _states(state)

    def left(self, module: Any, output: Any) -> dict[str, Any]:
        """See :class:`Adapter`."""
        return _states(output[1])

    def call(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Call:
        """See :class:`Adapter`."""
        states, shape = _states(output[1]), tuple(first_argument(args, kwargs).shape)
        return Call(self.lead(module), shape, output[0], states["v"], states.get("i"))

    def nodes(self, name: str, module: Any, shape: Shape, dt: float) -> NeuronNodes:
        """See :class:`Adapter`."""
        p = _parameters(module)
        values = {key: by_neuron(name, key, getattr(p, key), shape) for key in _PARAMETERS if hasattr(p, key)}
        node = _node(name, module, values, shape, dt)
        entering, recurrent = (
            nir.Linear(weight.detach().numpy().copy()) if weight is not None else None
            for weight in (getattr(module, key, None) for key in ("input_weights", "recurrent_weights"))
        )
        return NeuronNodes(node, [], entering, recurrent)


def _kind(module: Any) -> str | None:
    from norse.torch.module import iaf, leaky_integrator, leaky_integrator_box, lif, lif_box, lif_refrac, lsnn

    sources = (lif_box, lif, lif_refrac, lsnn, iaf, leaky_integrator_box, leaky_integrator)
    return kind_among(module, (getattr(source, kind) for source in sources for kind in MODELS if hasattr(source, kind)))


def _model(module: Any) -> str:
    return MODELS[_kind(module) or ""]


def _parameters(module: Any) -> Any:
    """Return the parameters of the membrane, which a refractory cell keeps inside its own."""
    return getattr(module.p, "lif", module.p)


def _states(state: Any) -> dict[str, Any]:
    """Return states by name, those inside others as well."""
    found = dict(state._asdict())
    return {**found.pop("lif")._asdict(), **found} if "lif" in found else found


def _node(name: str, module: Any, values: dict[str, NDArray[np.float64]], shape: Shape, dt: float) -> Any:
    """Return the NIR node of the neurons themselves."""
    model = _model(module)
    if model == "IAF":
        rules = {"reset": "value", "spike": ">", "max_spikes": 1, "v_init": compact(values["v_reset"])}
        firing = {"v_threshold": values["v_th"], "v_reset": values["v_reset"]}
        return nir.IF(r=np.full(shape, 1.0 / dt), **firing, metadata=rules_metadata(rules))
    tau = _tau(name, "tau_mem_inv", values, dt)
    common: dict[str, Any] = {"r": np.ones(shape), "v_leak": values["v_leak"]}
    if model in ("LIFBox", "LIF", "LSNN"):
        rules = {"reset": _reset(module), "spike": ">", "max_spikes": 1}
        if model == "LSNN":
            rules |= _adaptation(name, module, shape)
        if hasattr(module.p, "rho_reset"):
            rules["refractory"] = _refractory(name, module, shape)
        common |= {"v_threshold": values["v_th"], "v_reset": values["v_reset"], "metadata": rules_metadata(rules)}
    else:
        common["metadata"] = rules_metadata({})
    if model in ("LIFBox", "LIBox"):
        return (nir.LIF if model == "LIFBox" else nir.LI)(tau=tau, **common)
    tau_syn = _tau(name, "tau_syn_inv", values, dt)
    cuba = nir.CubaLI if model == "LI" else nir.CubaLIF
    return cuba(tau_syn=tau_syn, tau_mem=tau, w_in=tau_syn / dt, **common)


def _adaptation(name: str, module: Any, shape: Shape) -> dict[str, Any]:
    """Return the rules of a threshold that decays before it is tested, and of input that acts a step later."""
    import torch

    rate = by_neuron(name, "tau_adapt_inv", module.dt * torch.as_tensor(module.p.tau_adapt_inv), shape)
    if (rate < 0).any() or (rate > 1).any():
        raise DeployError(
            f"tau_adapt_inv makes the threshold decay by {rate.min():g} to {rate.max():g} in a step, and a decay is 0"
            " to 1",
            where=name,
            fix="Use a tau_adapt_inv with a time constant of at least one step.",
        )
    return {
        "order": "use-decay-add",
        "adapt_order": "decay-test-add",
        "adapt_decay": compact(1.0 - rate),
        "adapt_rate": compact(rate),
        "adapt_gain": compact(by_neuron(name, "beta", module.p.beta, shape)),
    }


def _refractory(name: str, module: Any, shape: Shape) -> int:
    """Return for how many steps v is held after a spike."""
    steps = np.ceil(by_neuron(name, "rho_reset", module.p.rho_reset, shape))
    if (steps != steps.flat[0]).any() or (steps < 0).any():
        raise DeployError(
            f"rho_reset is {steps.min():g} to {steps.max():g} within one layer",
            where=name,
            fix="Give all neurons of a layer the same rho_reset.",
        )
    return int(steps.flat[0])


def _is_plain_step(p: Any) -> bool:
    import torch
    from norse.torch.functional.threshold import threshold

    x = torch.tensor([-1.0, -1e-6, 0.0, 1e-6, 1.0])
    try:
        with torch.no_grad():
            fired = [threshold(x, p.method, p.alpha).tolist() for _ in range(2)]
    except ValueError:  # norse knows no such method, and fails when the model runs
        return False
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
            f"{key} is {inverse.min():g} to {inverse.max():g} per s, which steps of {dt:g} s cannot follow",
            where=name,
            fix="Use finite time constants of at least one step.",
        )
    return 1.0 / inverse
