"""Changes to a network before it is quantised, where the chip lacks something, and what they cost."""

from __future__ import annotations

from dataclasses import replace

from neurodeploy.coding.approximation import Approximation
from neurodeploy.coding.calibration import Calibration
from neurodeploy.errors import LackingError
from neurodeploy.families.loihi.quantise.population import Coded
from neurodeploy.families.loihi.registers import MISSED_CONDITION
from neurodeploy.families.loihi.target import LoihiTarget, loihi_targets
from neurodeploy.ir.network import Network
from neurodeploy.passes.maxima import STAIRS, pooling, rectify, widest

Changes = tuple[Approximation, ...]


def without_maxima(
    network: Network, target: LoihiTarget, calibration: Calibration | None
) -> tuple[Network, Calibration | None, dict[str, float], Changes]:
    """Return the network with rectifiers in place of maxima of values, what it does, their steps, and what changed.

    Args:
        network: the model.
        target: the chip.
        calibration: what the model does on calibration data, or None.

    Raises:
        LackingError: the target's neurons cannot rectify.
    """
    pools = pooling(network)
    if not pools:
        return network, calibration, {}, ()
    if target.neuron.spikes_per_step_max.value < STAIRS:
        able = [one.name for one in loihi_targets() if one.neuron.spikes_per_step_max.value >= STAIRS]
        raise LackingError(
            f"the network pools maxima of currents, and {target.title} has no neurons that send values",
            where="MaxPool2d",
            fix=f"Compile for --target {' or '.join(able)}, which takes them with rectifiers; or use nn.AvgPool2d in"
            " its place, or pool after the neurons, and train that (neurodeploy finetune starts from these weights).",
        )
    rows = None
    if calibration is not None:
        spikes = {n: o["spikes"] for n, o in calibration.recording.nodes.items() if "spikes" in o}
        rows = {**calibration.inputs, **spikes}
    made = rectify(network, widest(network, rows))
    if calibration is not None:
        calibration = calibration.of(made.network)
    what = (f"takes maxima with rectifiers of {STAIRS} steps",)
    return made.network, calibration, made.steps, tuple(Approximation(p.target, what) for p in pools)


def helping(coded: Coded) -> Coded:
    """Return rectifiers as a population that the model does not have."""
    return replace(coded, population=replace(coded.population, helps="takes the largest of currents"))


def never_firing(coded: Coded) -> Coded:
    """Return integrators as neurons of a threshold that nothing reaches, so that their spikes, none, are recorded."""
    population = coded.population
    sentence = (
        f"{population.name}: no input brings v to its threshold, so that it fires in no backend; its v can be read, and"
        " its scale is that of an integrator"
    )
    model = replace(population.model, fires=True)
    warnings = (sentence, *coded.warnings)
    return replace(coded, population=replace(population, model=model), warnings=warnings, never_fires=True)


def strict(network: Network, coded: list[Coded]) -> tuple[Network, Changes]:
    """Return the network with neurons that fire at ``>`` where the chip's do and the model's fire at ``>=``."""
    missed = [c.population.name for c in coded if any(MISSED_CONDITION in warning for warning in c.warnings)]
    populations = tuple(
        replace(p, rule=replace(p.rule, spike=">")) if p.name in missed else p for p in network.populations
    )
    changes = tuple(Approximation(name, ("fires at v > instead of v >= threshold",)) for name in missed)
    return replace(network, populations=populations), changes
