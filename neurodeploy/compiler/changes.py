"""What of a network is changed before it is quantised, because the chip lacks it, and what that costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from neurodeploy.calibrate import Calibration, measure, run_reference
from neurodeploy.compiler.options import CompileOptions
from neurodeploy.data import Data
from neurodeploy.decision import class_count, settle_decision
from neurodeploy.errors import LackingError
from neurodeploy.network import Network
from neurodeploy.passes.maxima import STAIRS, rectify, takes_maxima, widest
from neurodeploy.quantise.approximate import Approximation, approximate
from neurodeploy.quantise.population import Coded
from neurodeploy.quantise.registers import MISSED_CONDITION
from neurodeploy.synapses import MaxPool2d
from neurodeploy.target import Target, load_target, target_names


def without_maxima(
    network: Network, target: Target, calibration: Calibration | None
) -> tuple[Network, Calibration | None, dict[str, float], dict[str, Any]]:
    """Return the network with rectifiers in place of maxima of values, and what that changes on calibration data.

    Raises:
        DeployError: the target's neurons cannot rectify.
    """
    if not takes_maxima(network):
        return network, calibration, {}, {}
    if target.neuron.spikes_per_step_max.value < STAIRS:
        able = [name for name in target_names() if load_target(name).neuron.spikes_per_step_max.value >= STAIRS]
        raise LackingError(
            f"the network pools maxima of currents, and {target.title} has no neurons that send values",
            where="MaxPool2d",
            fix=f"Compile for --target {' or '.join(able)}, which takes them with rectifiers; or use nn.AvgPool2d in"
            " its place, or pool behind the neurons, and train that (neurodeploy finetune starts from these weights).",
        )
    rows = None
    if calibration is not None:
        spikes = {n: o["spikes"] for n, o in calibration.recording.nodes.items() if "spikes" in o}
        rows = {**calibration.inputs, **spikes}
    made = rectify(network, widest(network, rows))
    if calibration is None:
        return made.network, None, made.steps, {}
    after = run_reference(made.network, Data(calibration.inputs, calibration.labels, "calibration"))
    targets = {p.target for p in network.projections if any(isinstance(op, MaxPool2d) for op in p.ops)}
    changes = tuple(Approximation(name, (f"takes maxima with rectifiers of {STAIRS} steps",)) for name in targets)
    settled = settle_decision(network, None, class_count(calibration.labels))
    measured = measure(calibration.recording, after.recording, calibration.labels, changes, settled.decision)
    return made.network, after, made.steps, {"approximations": measured}


def helping(coded: Coded) -> Coded:
    """Return rectifiers as a population that the model does not have."""
    return replace(coded, population=replace(coded.population, helps="takes the largest of currents"))


def approximated(
    network: Network,
    target: Target,
    options: CompileOptions,
    calibration: Calibration | None,
) -> tuple[Network, dict[str, Any]]:
    """Return the network with neurons that the target has, and what that changed, as programs carry it."""
    if not options.approximate:
        return network, {}
    assert calibration is not None
    nearest, changes = approximate(network, target)
    if not changes:
        return network, {}
    return nearest, {"approximations": _measured(network, nearest, changes, calibration)}


def _measured(
    network: Network, nearest: Network, changes: tuple[Approximation, ...], calibration: Calibration
) -> dict[str, Any]:
    """Return what changes of neurons do to a network on calibration data."""
    after = run_reference(nearest, Data(calibration.inputs, calibration.labels, "calibration"))
    settled = settle_decision(network, None, class_count(calibration.labels))
    return measure(calibration.recording, after.recording, calibration.labels, changes, settled.decision)


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


def strict(
    network: Network, coded: list[Coded], calibration: Calibration | None, said: dict[str, list[str]]
) -> dict[str, Any]:
    """Return what it changes on calibration data that neurons fire at ``>`` where the model's do at ``>=``.

    Args:
        network: as it is compiled.
        coded: its populations.
        calibration: what the model does as it was trained, or None.
        said: what was approximated before, by population.
    """
    missed = [c.population.name for c in coded if any(MISSED_CONDITION in warning for warning in c.warnings)]
    if calibration is None or not missed:
        return {}
    populations = tuple(
        replace(p, rule=replace(p.rule, spike=">")) if p.name in missed else p for p in network.populations
    )
    found = {name: list(said.get(name, [])) for name in (*said, *missed)}
    for name in missed:
        found[name].append("fires at v > instead of v >= threshold")
    changes = tuple(Approximation(name, tuple(what)) for name, what in found.items())
    nearest = replace(network, populations=populations)
    return {"approximations": _measured(network, nearest, changes, calibration)}
