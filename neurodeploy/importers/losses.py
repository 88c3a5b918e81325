"""The losses of each framework's own NIR exporter, what it drops or changes, as data.

Source: the exporters of snnTorch 1.0.0 (``export_nir.py``), norse 1.1.0 (``torch/utils/export_nir.py``), sinabs 3.1.3
(``nir.py``), rockpool 3.1.0 (``nn/modules/torch/nir.py``), SpikingJelly 2.0.0 (``nir_exchange/to_nir.py``) and spyx
1.0.0 (``nir.py``), compared with the options of the modules that they write.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.importers.dialects import FIRING
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.node import NirNode

Floats = NDArray[np.float64]

LEAKY = ("LI", "LIF", "CubaLI", "CubaLIF")
CONVOLUTIONS = ("Conv1d", "Conv2d")
POOLS = ("AvgPool2d", "SumPool2d")


@dataclass(frozen=True, slots=True)
class Loss:
    """An option of a framework's modules that its exporter does not write.

    key: of ``--dialect``. option: as the framework calls it. means: what it decides. default: the framework's own, as
    written behind the key. kinds: node types that have it. way_out: what to do where the model has another than the
    default, if no answer but the default can be computed with; else empty.
    """

    key: str
    option: str
    means: str
    default: str
    kinds: tuple[str, ...] = FIRING
    way_out: str = ""


EXPORT = "Export the model from its module, which has it: neurodeploy export."
"""The way out where our own exporter keeps what a framework's drops."""

NO_SPYX = "neurodeploy export reads no spyx."


def _layers(option: str, means: str, kinds: tuple[str, ...]) -> Loss:
    return Loss("layers", option, means, "plain", kinds, EXPORT)


LOSSES: dict[str, tuple[Loss, ...]] = {
    "snntorch": (
        Loss("reset", "reset_mechanism", "what a spike does to v: subtract, zero or none", "subtract"),
        Loss("reset_delay", "reset_delay", "whether a reset acts in the step after the spike", "true"),
        Loss("graded", "graded_spikes_factor", "what a spike is worth where it arrives", "1"),
        Loss(
            "inhibition",
            "inhibition",
            "whether only one neuron of a layer may fire",
            "false",
            way_out="Train with inhibition=False, perhaps with negative weights from the layer back to itself (RLeaky);"
            " neurodeploy export refuses it, too.",
        ),
        Loss(
            "state_quant",
            "state_quant",
            "whether states are quantised",
            "false",
            way_out="Train without state_quant, which neurodeploy export refuses, too; neurodeploy finetune trains with"
            " a chip's registers.",
        ),
        _layers(
            "padding_mode, padding, divisor_override",
            "convolutions pad with zeros; pools have no padding and no divisor_override",
            (*CONVOLUTIONS, *POOLS),
        ),
    ),
    "norse": (
        Loss("dt", "dt", "the time step of the cells, s", "0.001", LEAKY),
        Loss("tau_scale", "1 / dt of to_nir", "what brings the file's time constants to seconds", "1000", LEAKY),
        Loss("reset", "reset_method", "what a spike does to v: value (reset_value) or subtract", "value", ("LIF",)),
        Loss("v_reset", "v_reset", "the v after a spike, V", "0"),
        _layers("padding_mode", "convolutions pad with zeros", CONVOLUTIONS),
    ),
    "sinabs": (
        Loss("reset", "reset_fn", "what a spike does to v: subtract (MembraneSubtract) or zero", "subtract"),
        Loss(
            "subtract_value",
            "MembraneSubtract.subtract_value",
            "what is subtracted",
            "threshold",
            way_out="Train with MembraneSubtract() without a value; neurodeploy export refuses others, too.",
        ),
        Loss("v_reset", "MembraneReset.reset_value", "what is added to v after a spike", "0", way_out=EXPORT),
        Loss("max_spikes", "spike_fn", "spikes in a step: 0 for MultiSpike, 1 for SingleSpike, N for MaxSpike", "0"),
        Loss("min_v_mem", "min_v_mem", "below which v cannot fall, V, or none", "none"),
        Loss("min_v_mem", "min_v_mem", "below which v cannot fall", "none", ("LI",), EXPORT),
        Loss("tau_syn", "tau_syn", "time constant of a synaptic current, steps, or none", "none", ("IF", "LIF")),
        Loss("norm_input", "norm_input", "whether input is scaled by 1 - decay", "true", ("LIF",)),
        Loss("norm_input", "norm_input", "whether input is scaled by 1 - decay", "false", ("LI",)),
        _layers(
            "padding_mode, ceil_mode",
            "convolutions pad with zeros; pools have no ceil_mode",
            (*CONVOLUTIONS, *POOLS),
        ),
    ),
    "rockpool": (
        Loss("bias", "bias", "what is added to v in each step, V", "0"),
        Loss("max_spikes", "max_spikes_per_dt", "spikes in a step at most, 0 for 65536", "0"),
        Loss("w_rec", "w_rec", "weights from the layer back to itself", "none", way_out=EXPORT),
        Loss(
            "noise_std",
            "noise_std",
            "noise in each step",
            "0",
            (*FIRING, "LI"),
            "Noise differs in every run, and neurodeploy export refuses it, too: set noise_std=0 once the model is"
            " trained, and compare with that.",
        ),
    ),
    "spikingjelly": (Loss("dt", "dt of export_to_nir", "the time step that was written, s", "0.0001", ("LIF",)),),
    "spyx": (
        Loss("dt", "dt of to_nir", "the time step that was written", "1", ("LI", "Threshold")),
        Loss(
            "activation",
            "activation",
            "what a neuron gives: step for 1 where v is above the threshold, as all of spyx.axn; custom may differ",
            "step",
            way_out=f"Train with an activation of spyx.axn; {NO_SPYX}",
        ),
        Loss(
            "skipped",
            "layers that to_nir warns of",
            "layers that are not in the file (LI, ALIF, LoRA, functions), but for those that change nothing in a"
            " trained model",
            "none",
            ("Output",),
            f"Put a neuron or layer in their place that to_nir writes; {NO_SPYX}",
        ),
        Loss(
            "layers",
            "kernel_dilation, mask, channel_axis",
            "convolutions have no dilation and no mask; pools keep channels apart",
            "plain",
            (*CONVOLUTIONS, *POOLS),
            f"Train without them; {NO_SPYX}",
        ),
    ),
    "nir": (),
}
"""What each exporter drops. What it changes and the parameters still tell is in :data:`TIME_STEPS`."""


TRACED_BY_CALLS = ("snntorch", "norse", "sinabs", "rockpool")
"""Exporters that use ``nirtorch.extract_nir_graph``, which follows calls of modules: functions are lost."""

UNWRITTEN = {
    **dict.fromkeys(
        TRACED_BY_CALLS,
        "forward only calls modules and returns what the last one fires, or gives if it does not fire (nirtorch leaves"
        " out what forward computes between them or reads of their states)",
    ),
    "spikingjelly": "neurons spike (surrogate_function.spiking), and forward adds only outputs of different modules"
    " (nirtorch leaves out numbers, parameters and repeated outputs)",
}
"""What no file of an exporter tells, and is assumed of each."""

CALLED = Loss(
    "called",
    "forward",
    "once if forward calls each module once in a step and returns the output of one; inputs of a node are then added",
    "once",
    way_out=EXPORT,
)
"""nirtorch gives a module that is called again the edges of all calls, or SpikingJelly's neurons another node."""


def called_again(graph: NirGraph, name: str) -> list[str]:
    """Return the nodes that stand for modules which are called more than once in a step, as far as a graph tells.

    nirtorch loses sums, so that edges which meet in a node are those of several calls; but a recurrent layer's own.
    SpikingJelly's tracer calls the second call of ``lif`` ``lif_1``.
    """
    if name in TRACED_BY_CALLS:
        into = {node: [s for s in graph.sources(node) if not s.endswith("w_rec")] for node in graph.nodes}
        return [node for node, sources in into.items() if len(sources) > 1]
    if name == "spikingjelly":
        bases = {node: re.sub(r"_\d+$", "", node) for node, of in graph.nodes.items() if of.kind in FIRING}
        return [node for node, base in bases.items() if base != node and base in bases]
    return []


def left_out(graph: NirGraph, name: str) -> list[str]:
    """Return the layers that an exporter left out, as far as a graph tells: spyx counts them all the same."""
    numbers = {int(found[1]) for node in graph.nodes if (found := re.match(r"layer_(\d+)", node))}
    return [f"layer_{i}" for i in range(max(numbers, default=0)) if i not in numbers] if name == "spyx" else []


def _snntorch_step(node: NirNode) -> Floats:
    """Solve tau = dt / (1 - beta), r = tau / dt; at r = 1 (beta = 0) any tau would do."""
    tau, r = np.broadcast_arrays(node.membrane_tau, node.numbers("r"))
    return np.asarray(tau[r != 1] / r[r != 1])


def _spikingjelly_step(node: NirNode) -> Floats:
    """IF: r = 1 / dt; LIF: r = 1, which hides dt, or tau / dt; CubaLIF: r = tau_mem / dt."""
    if node.kind == "IF":
        return 1.0 / node.numbers("r")
    return _snntorch_step(node)


def _rockpool_step(node: NirNode) -> Floats:
    """Solve r = tau / dt * exp(-dt / tau)."""
    from scipy.special import lambertw

    tau, r = np.broadcast_arrays(node.membrane_tau, node.numbers("r"))
    with np.errstate(over="ignore"):
        return np.asarray(tau * np.real(lambertw(1.0 / r, 0)))


def _spyx_step(node: NirNode) -> Floats:
    """Solve tau = dt / (1 - beta), r = beta."""
    if node.kind not in ("LIF", "CubaLIF"):
        return np.empty(0)
    return np.asarray(node.membrane_tau * (1.0 - node.numbers("r")))


TIME_STEPS: dict[str, Callable[[NirNode], Floats]] = {
    "snntorch": _snntorch_step,
    "rockpool": _rockpool_step,
    "spikingjelly": _spikingjelly_step,
    "spyx": _spyx_step,
}
"""The dt, s, at which each exporter would have written a neuron's parameters, one for each neuron that tells."""


def read_time_step(name: str, neurons: list[NirNode]) -> float | None:
    """Return the one dt that all neurons' parameters agree on, s; None where none tells, or they do not agree."""
    if name not in TIME_STEPS:
        return None
    with np.errstate(all="ignore"):
        steps = [TIME_STEPS[name](node).ravel() for node in neurons]
    known = np.concatenate([values[np.isfinite(values)] for values in steps]) if steps else np.empty(0)
    if not known.size or (known <= 0).any():
        return None
    dt = float(np.median(known))
    rounded = float(f"{dt:.5g}")  # what somebody typed, freed of the rounding of float32
    dt = rounded if abs(rounded - dt) <= 1e-6 * dt else dt
    return dt if np.allclose(known, dt, rtol=1e-5, atol=0.0) else None


def proven_time_step(name: str, node: NirNode) -> float | None:
    """Return the dt, s, that a node's several time constants agree on; None where it has one, or they do not agree."""
    return read_time_step(name, [node]) if np.unique(node.membrane_tau).size > 1 else None
