"""The dialects: what each training framework computes where NIR is silent, as data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

FIRING = ("IF", "LIF", "CubaLIF", "Threshold")
INTEGRATING = ("I", "LI", "CubaLI")
NEURONS = FIRING + INTEGRATING
"""Node types that become populations."""

ByNeuron = float | tuple[Any, ...]
BY_NEURON = (
    "v_init", "i_init", "bias", "v_reset", "min_v_mem", "tau_syn", "graded", "adapt_decay", "adapt_gain", "adapt_rate",
    "decay_second", "gain_second",
)  # fmt: skip
"""Settings that may differ between the neurons of a node."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings with which a neuron node is read; None stands for what the file cannot know and nobody said.

    dt: seconds per step.
    tau_scale: factor that brings the file's time constants to seconds.
    decay: ``euler`` (1 - dt / tau, in [0, 1]) or ``exp`` (exp(-dt / tau)).
    gain: of v's input: ``unit`` (as it is), ``euler`` (r * dt / tau) or ``norm`` (1 - decay). gain_syn: of i's input,
        ``unit`` or ``euler`` (w_in * dt / tau_syn).
    norm_input: True for gain ``norm``, False for ``unit``; None leaves it to ``gain``.
    spike, reset, reset_delay, reset_drops_input, reset_before_decay, reset_pending, order, output_delay: see
        :class:`neurodeploy.ir.rule.NeuronRule`.
    max_spikes: in one step, 0 for no limit.
    v_reset, v_init, bias: V, or None for what the file says (v_init: 0, or the leak where
        ``starts_at_leak``, or v_reset where ``starts_at_reset``).
    min_v_mem: V, below which v cannot fall, or None.
    tau_syn: time constant, in the file's unit, of a synaptic current that an IF or LIF has beside its parameters, or
        None.
    graded: what a spike is multiplied by where it arrives.
    refractory: steps. adapt_decay, adapt_gain, adapt_rate: of an adaptation. decay_second, gain_second: of a second
        synaptic current. i_init: what the first starts with. adapts, adapt_order, reset_currents, rounds, signed,
        sums_input: see :class:`neurodeploy.ir.rule.NeuronRule`. All these are extensions of ours, see
        :class:`neurodeploy.ir.network.Population`.

    Keys in :data:`BY_NEURON` may hold a value for each neuron, as nested tuples that broadcast to the neurons' shape.
    """

    dt: float | None = None
    tau_scale: float = 1.0
    decay: str = "euler"
    gain: str = "euler"
    gain_syn: str = "euler"
    norm_input: bool | None = None
    spike: str = ">"
    reset: str | None = None
    reset_delay: bool = False
    reset_drops_input: bool | None = None
    reset_before_decay: bool = False
    reset_pending: bool = False
    max_spikes: int | None = 1
    rounds: bool = False
    signed: bool = False
    order: str = "decay-add"
    output_delay: int = 0
    v_reset: ByNeuron | None = None
    v_init: ByNeuron | None = None
    starts_at_leak: bool = False
    starts_at_reset: bool = False
    bias: ByNeuron | None = None
    min_v_mem: ByNeuron | None = None
    tau_syn: ByNeuron | None = None
    graded: ByNeuron = 1.0
    refractory: int = 0
    adapts: str = "threshold"
    adapt_order: str = "test-decay-add"
    adapt_decay: ByNeuron | None = None
    adapt_gain: ByNeuron = 1.0
    adapt_rate: ByNeuron | None = None
    decay_second: ByNeuron | None = None
    gain_second: ByNeuron = 1.0
    i_init: ByNeuron = 0.0
    reset_currents: bool = False
    sums_input: bool = False


DIALECTS = {
    "snntorch": Settings(dt=1e-4, gain="unit", gain_syn="unit", reset_delay=True, reset_pending=True),
    "norse": Settings(
        dt=1e-3, gain_syn="unit", order="add-use-decay", reset="value", reset_drops_input=False, starts_at_leak=True
    ),
    "sinabs": Settings(
        dt=1.0, decay="exp", gain="norm", gain_syn="unit", order="add-decay", spike=">=", reset_drops_input=False,
        max_spikes=0,
    ),
    "rockpool": Settings(
        decay="exp", gain="unit", gain_syn="unit", order="add-decay", spike=">=", reset="subtract",
        reset_drops_input=False, max_spikes=0,
    ),
    "spikingjelly": Settings(spike=">=", reset="value", reset_drops_input=False, starts_at_reset=True),
    "spyx": Settings(
        dt=1.0, gain="unit", gain_syn="unit", reset="subtract", reset_delay=True, reset_drops_input=False,
        output_delay=1,
    ),
    "nir": Settings(reset="value", reset_drops_input=False),
}  # fmt: skip
"""What each framework computes. Source: snnTorch 1.0.0, norse 1.1.0, sinabs 3.1.3, rockpool 3.1.0, spikingjelly 2.0.0
and spyx 1.0.0, their neuron classes and exporters; nir: forward Euler on the equations of NIR 1.0.8."""

OF_KIND: dict[tuple[str, str], dict[str, Any]] = {
    ("norse", "IF"): {"gain": "unit", "starts_at_leak": False, "starts_at_reset": True},
    ("sinabs", "IF"): {"gain": "unit"},
    ("sinabs", "LI"): {"gain": "norm"},
    ("rockpool", "LI"): {"gain": "euler"},  # r * dt / tau is the decay: what enters decays with the rest
    ("spyx", "CubaLIF"): {"reset_before_decay": True},
}
"""Where one node type of a dialect differs from the rest."""

MODULES = {
    ("snntorch", "LIF"): "Leaky",
    ("snntorch", "CubaLIF"): "Synaptic",
    ("norse", "IF"): "IAFCell",
    ("norse", "LIF"): "LIFBoxCell",
    ("norse", "CubaLIF"): "LIFCell",
    ("norse", "LI"): "LIBoxCell",
    ("sinabs", "IF"): "IAF",
    ("sinabs", "LI"): "ExpLeak",
    ("rockpool", "LIF"): "LIFNeuronTorch",
    ("rockpool", "CubaLIF"): "LIFTorch",
    ("rockpool", "LI"): "ExpSynTorch",
    ("spikingjelly", "IF"): "IFNode",
    ("spikingjelly", "LIF"): "LIFNode",
    ("spikingjelly", "CubaLIF"): "CUBALIFNode",
}
"""What a framework calls its neurons of a NIR type, where not as NIR does."""


def label(name: str, kind: str, dialect: str = "") -> str:
    """Return a node's name as it is shown: one that is a mere number with what the framework calls such neurons.

    Args:
        name: of the node. kind: NIR's type. dialect: its name, where it is known.
    """
    is_number = name.removeprefix("_").replace("_", "").isdecimal()
    return f"{name} ({MODULES.get((dialect, kind), kind)})" if is_number and kind else name


KEYS = tuple(field.name for field in fields(Settings))
