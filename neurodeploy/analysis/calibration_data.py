"""The float model's activity on calibration data, population by population, for quantisation to match."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.base import Inputs, RunOptions
from neurodeploy.coding.data import Data
from neurodeploy.coding.scoring import agreement, decide
from neurodeploy.errors import DeployError
from neurodeploy.families.loihi.quantise.approximate import Approximation
from neurodeploy.families.loihi.quantise.second_moments import MAX_EMULATED, IsolatedPopulation, few
from neurodeploy.ir.codes import CodedPopulation, CodedProjection
from neurodeploy.ir.decision import Decision, class_count, membranes, settle_decision
from neurodeploy.ir.network import Network, Projection
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.passes.schedule import acts_after

FEWEST_SPIKES = 20
"""Spikes of a population on calibration data below which rates are chance: nothing is corrected by them."""

MUCH_ROUNDED = 0.1
"""Share of graded input, root mean square, that its rounding to whole numbers may change without a word."""

FAR_APART = 2.0
"""By how much the rate of an input may exceed that of calibration data, or fall below it, before that is said."""


@dataclass(frozen=True, eq=False, slots=True)
class Calibration:
    """Calibration data, and what the float model sends on it.

    network: as it is compiled, which may approximate the one that was recorded. inputs: ``[T, B, *shape]`` by input.
    labels: int64 (B,), or None. recording: of the reference, all populations.
    """

    network: Network
    inputs: Inputs
    labels: NDArray[np.int64] | None
    recording: Recording

    def drive(self, name: str, input_scale: dict[str, float]) -> IsolatedPopulation:
        """Return a population alone, given what its sources sent; graded inputs in units of their payload."""
        into = self.network.into(name)
        observed = self.recording.nodes[name]
        fired = observed["spikes"] if "spikes" in observed else observed["value"]
        spikes = tuple(self._arriving(projection, input_scale.get(projection.source)) for projection in into)
        n_samples = MAX_EMULATED // max(fired[:, 0].size + sum(values[:, 0].size for values in spikes), 1)
        driving = tuple(few(values, n_samples) for values in spikes)

        def emulate(population: CodedPopulation, projections: tuple[CodedProjection, ...]) -> NDArray[Any]:
            return _emulate_alone(population, projections, driving)

        return IsolatedPopulation(spikes, few(fired, n_samples), emulate)

    def spikes(self, name: str) -> int | None:
        """Return how often the float model's population fires; None for an integrator."""
        sent = self.recording.nodes[name].get("spikes")
        return None if sent is None else int(np.abs(sent.astype(np.int64)).sum())

    def rates(self) -> dict[str, float]:
        """Return the share of values other than 0 of each input."""
        return {name: np.count_nonzero(values) / max(values.size, 1) for name, values in self.inputs.items()}

    def _arriving(self, projection: Projection, input_scale: float | None) -> NDArray[Any]:
        """Return a source's spikes in the rows in which they act; whole numbers where it is graded."""
        if projection.source in self.inputs:
            values = self.inputs[projection.source]
            if input_scale is not None:
                values = np.rint(values * input_scale).astype(np.int32)
        else:
            values = self.recording.spikes(projection.source)
            rule = self.network.population(projection.source).rule
            if not rule.is_graded:  # counts of the model as it was trained, where its neurons are approximated
                values = (values != 0).astype(np.uint8)
        if (after := acts_after(projection, self.network)) == 0:
            return values
        late = np.zeros_like(values)
        late[after:] = values[:-after]
        return late


def run_reference(network: Network, data: Data) -> Calibration:
    """Run the float model on calibration data.

    Raises:
        DeployError: the data does not fit the model, or holds nothing but zeros.
        BackendError: torch is missing.
    """
    if data.x and not any(np.any(values) for values in data.x.values()):
        raise DeployError(
            "the calibration data holds nothing but zeros, so that nothing can be fitted to it",
            where="--calibrate",
            fix="Give data like that which the network is to run on, or leave --calibrate out.",
        )
    from neurodeploy.backends.reference.backend import Reference

    options = RunOptions(membranes=membranes(network))
    return Calibration(network, data.x, data.labels, Reference().run(network, data.x, options))


def correction_sentences(calibration: Calibration, factors: dict[str, float], asked: bool) -> list[str]:
    """Return what calibration data changed of thresholds, and where it holds too few spikes for that.

    Args:
        calibration: the data, and what the float model does on it.
        factors: by what each population's thresholds were multiplied.
        asked: whether corrections were asked for.
    """
    found, counts = [], {name: calibration.spikes(name) for name in factors}
    few = [f"{name} ({n} spikes)" for name, n in counts.items() if n is not None and n < FEWEST_SPIKES]
    if few and asked:
        found.append(
            f"the float model hardly fires on calibration data in {', '.join(few)}: thresholds and biases there are"
            " left as rounded; give --calibrate data like that which the network is to run on"
        )
    if moved := [f"{name} times {factor:.3g}" for name, factor in factors.items() if factor != 1]:
        found.append(
            f"thresholds were changed so that firing rates on calibration data are met: {', '.join(moved)} (--correct"
            " bias leaves them as rounded)"
        )
    return found


def other_data_sentences(calibrated: dict[str, float], rates: dict[str, float]) -> list[str]:
    """Return which inputs fire far more, or far less, than they did in calibration data; both are shares of values."""
    found = []
    for name, rate in rates.items():
        before = calibrated.get(name)
        if before is not None and max(rate, before) > FAR_APART * min(rate, before):
            found.append(
                f"input {name!r} is not 0 in {100 * rate:.3g} % of its values, but the calibration data is not 0 in"
                f" {100 * before:.3g} %: scales and thresholds were fitted to data of another kind; compile with"
                " --calibrate data like this input"
            )
    return found


@dataclass(slots=True)
class Rounding:
    """What graded input loses where it is sent as whole numbers, a block of samples at a time.

    scales: by what values are multiplied before they are rounded, for each graded input. lost, sent: sums of squares of
    what rounding changed, and of all values.
    """

    scales: dict[str, float]
    lost: dict[str, float] = field(default_factory=dict)
    sent: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, program: Program) -> Rounding:
        """Return a count for a program's graded input; where a host sends it, it is made of the data, and not data."""
        graded = program.message_bits if program.host is None else ()
        return cls({name: program.input_scale.get(name, 1.0) for name in graded})

    def add(self, inputs: Inputs) -> None:
        """Add a block, for each input ``[T, B, *shape]``."""
        for name, scale in self.scales.items():
            values = np.asarray(inputs[name], np.float64)
            self.lost[name] = self.lost.get(name, 0.0) + float(((np.rint(values * scale) / scale - values) ** 2).sum())
            self.sent[name] = self.sent.get(name, 0.0) + float((values**2).sum())

    def sentences(self) -> list[str]:
        """Return which inputs lose more than :data:`MUCH_ROUNDED` of their root mean square."""
        shares = {name: (self.lost[name] / self.sent[name]) ** 0.5 for name in self.sent if self.sent[name]}
        return [
            f"rounding input {name!r} to whole numbers of {1 / self.scales[name]:.3g} changes it by {100 * share:.3g} %"
            " (root mean square): these values are small for the scale of the messages; compile with --calibrate data"
            " like this input, or with a larger --input-scale"
            for name, share in shares.items()
            if share > MUCH_ROUNDED
        ]


def measure_changes(trained: Calibration, nearest: Network, changes: tuple[Approximation, ...]) -> dict[str, Any]:
    """Return what :func:`measure` finds of a network beside the one that it was made from.

    Args:
        trained: what the float model does as it was trained. nearest: the network that ``changes`` made of it.
    """
    data = Data(trained.inputs, trained.labels, "calibration")
    settled = settle_decision(trained.network, None, class_count(trained.labels))
    after = run_reference(nearest, data).recording
    return measure(trained.recording, after, trained.labels, changes, settled.decision)


def measure(
    before: Recording,
    after: Recording,
    labels: NDArray[np.int64] | None,
    changes: tuple[Approximation, ...],
    decision: Decision | None = None,
) -> dict[str, Any]:
    """Return what an approximation changed on calibration data, JSON-ready: the rung ``neuron`` of the ladder.

    Args:
        before: of the float model as it was trained. after: of the approximated one.
        labels: int64 (B,), or None.
        changes: what was approximated.
        decision: how a sample is decided, or None where nobody chose, so that accuracy is not measured.
    """
    measured: dict[str, Any] = {
        "rung": "neuron",
        "samples": before.n_samples,
        "changes": {
            node: [what for change in changes if change.node == node for what in change.changes]
            for node in dict.fromkeys(change.node for change in changes)
        },
        "agreement": {
            name: agreement(one["spikes"], after.nodes[name]["spikes"])
            for name, one in before.nodes.items()
            if "spikes" in one
        },
    }
    if labels is not None and decision is not None:
        measured["accuracy"] = {
            "reference": float((decide(before, decision) == labels).mean()),
            "neuron": float((decide(after, decision) == labels).mean()),
        }
    return measured


def approximation_sentence(measured: dict[str, Any]) -> str:
    """Return what :func:`measure` found as a sentence."""
    changes = "; ".join(f"{node}: {', '.join(what)}" for node, what in measured["changes"].items())
    common = ", ".join(f"{node} {share:.1%}" for node, share in measured["agreement"].items())
    text = f"approximated ({changes}); on {measured['samples']} calibration samples spikes in common: {common}"
    if (accuracy := measured.get("accuracy")) is not None:
        text += f"; accuracy {accuracy['reference']:.2%} before, {accuracy['neuron']:.2%} after"
    return text


def _emulate_alone(
    population: CodedPopulation, projections: tuple[CodedProjection, ...], spikes: tuple[NDArray[Any], ...]
) -> NDArray[Any]:
    """Run one population on the emulator, each projection from an input of its own.

    Its rows come at its own latency, for which its initial codes are made: a deep layer's bias acts before. Projections
    beyond the spikes are those of a source that is always on.
    """
    extent = next((values.shape[:2] for values in spikes), (1, 1))
    always = np.ones((*extent, 1), np.uint8)
    spikes = (*spikes, *(always for _ in projections[len(spikes) :]))
    if population.latency == 0:
        # Nothing acts in row 0, and a connection takes a step.
        spikes = tuple(np.concatenate([values[1:], np.zeros_like(values[:1])]) for values in spikes)
    from neurodeploy.backends.emulator.backend import Emulator

    names, latency = [f"input {i}" for i in range(len(projections))], max(population.latency, 1)
    graded = {name: p.message_bits for name, p in zip(names, projections, strict=True) if p.message_bits}
    program = Program(
        "calibration",
        "loihi",
        {name: values.shape[2:] for name, values in zip(names, spikes, strict=True)},
        (population,),
        tuple(replace(p, source=name, delay=latency) for name, p in zip(names, projections, strict=True)),
        (population.name,),
        1.0,
        "",
        {},
        message_bits=graded,
    )
    inputs = dict(zip(names, spikes, strict=True))
    observed = Emulator().run(program, inputs, RunOptions(counters=False)).nodes[population.name]
    return observed["spikes"] if "spikes" in observed else observed["value"]
