"""Advice on operations that cannot be exported: one sentence by name."""

from __future__ import annotations

SUPPORTED = (
    "Supported are linear and convolutional layers, batch normalisation in eval mode, pools, flatten, dropout in eval "
    "mode, sums, factors and offsets that do not change, concatenation along the channels, and picking or stacking "
    "time steps."
)

_RANDOM = "Random encoding belongs to the data: let forward take spikes, and use --encode rate (or latency) later."
_GATE = "No neuron on a chip multiplies two signals; add them, or use a threshold neuron of both."
_POOL = "NIR has Scale and AvgPool2d: write the module with a factor that does not change, or torch's pools."

HINTS = {
    "relu": "Use spiking neurons in its place: `neurodeploy convert` does that for trained networks without spikes.",
    "bernoulli": _RANDOM,
    "rand": _RANDOM,
    "poisson": _RANDOM,
    "mul": f"{_GATE} {_POOL}",
    "div": _POOL,
    "layer_norm": "It computes from each sample's own values; use batch normalisation, which is folded, and finetune.",
    "group_norm": "It computes from each sample's own values; use batch normalisation, which is folded, and finetune.",
    "instance_norm": "It computes from each sample's own values; use batch normalisation, which is folded.",
    "batch_norm": "Put the model in eval mode with running statistics (track_running_stats=True); they are folded.",
    "interpolate": "Let the layer before it give the larger size, or scale the data.",
    "setitem": "Assign whole time steps, in order, or stack them at the end.",
    "pad": "Pad with zeros.",
    "softmax": "Feed spikes forward; a softmax belongs behind the output.",
    "conv3d": "Chips take one image a step: use Conv2d on each step.",
}
"""What to do about an operation, by its name."""


def said(cause: str) -> str:
    """Return a cause without the advice that it may carry behind a semicolon."""
    return cause.partition(";")[0]


def hint_for(cause: str) -> str:
    """Return what to do about a cause such as ``relu() in fc``, or ``pad() by 1; pad with zeros``."""
    if advice := cause.partition(";")[2].strip():
        return f"{advice[0].upper()}{advice[1:]}. {SUPPORTED}"
    name = cause.partition("(")[0]
    return f"{HINTS[name]} {SUPPORTED}" if name in HINTS else SUPPORTED
