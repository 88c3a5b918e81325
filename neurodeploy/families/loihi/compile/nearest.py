"""Measure, on calibration data, what the nearest form of a network costs where a chip lacks what it needs."""

from __future__ import annotations

from dataclasses import replace

from neurodeploy.coding.approximation import Approximation, approximation_sentence, measure_changes
from neurodeploy.coding.calibration import Calibration
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.messages import is_graded
from neurodeploy.families.loihi.quantise.approximate import approximate
from neurodeploy.families.loihi.target import LoihiTarget
from neurodeploy.ir.host import entering, split
from neurodeploy.ir.network import Network, Projection
from neurodeploy.ir.synapses import MaxPool2d, Pool2d
from neurodeploy.passes.maxima import STAIRS


def nearest_form(network: Network, target: LoihiTarget, calibration: Calibration) -> str:
    """Return in sentences what of a network would change for a target to take it, and what that costs.

    Real-valued input is left to the host, maxima of currents become means, neurons the nearest that the target has.

    Args:
        network: that the target lacks something for.
        target: the chip.
        calibration: data, and what the float model does on it.

    Returns:
        Empty where there is no such form.
    """
    said = "--approximate"
    try:
        if not target.number_formats.values()["message_bits_max"] and any(map(is_graded, calibration.inputs.values())):
            host, network = split(network, "auto")
            run = calibration.run
            inputs = entering(host, network.inputs, calibration.inputs, lambda net, x, _: run(net, x))
            calibration, said = calibration.of(network, inputs), "--host auto --approximate"
        pooled, changes = _with_means(network, target)
        nearest, more = approximate(pooled, target)
    except DeployError:
        return ""
    if not (changes or more):
        return f"With {said} nothing that the chip computes is approximated."
    measured = measure_changes(calibration, nearest, (*changes, *more))
    return f"What the nearest form costs before any training ({said}): {approximation_sentence(measured)}."


def _with_means(network: Network, target: LoihiTarget) -> tuple[Network, tuple[Approximation, ...]]:
    """Return a network with means in place of maxima of currents, where a target cannot rectify."""
    if target.neuron.spikes_per_step_max.value >= STAIRS:
        return network, ()
    pooled: list[Projection] = []
    changed: list[str] = []
    for p in network.projections:
        ops = tuple(
            Pool2d(op.kernel, op.stride, op.padding, mean=True) if isinstance(op, MaxPool2d) else op for op in p.ops
        )
        if ops != p.ops:
            changed.append(p.target)
        pooled.append(replace(p, ops=ops))
    changes = tuple(Approximation(name, ("averages currents in place of their maxima",)) for name in changed)
    return replace(network, projections=tuple(pooled)), changes
