"""Run a model on several backends and hold them against each other: what the report shows and a CI job gates on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy import backends
from neurodeploy.backends.base import RunOptions, check_inputs, spike_inputs
from neurodeploy.comparison.equality import reference_equals
from neurodeploy.comparison.measures import first_difference
from neurodeploy.compiler import compile
from neurodeploy.cost.energy import count_events, estimate_energy
from neurodeploy.data import Data
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.importers.lower import read_network
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.settle import Dialect
from neurodeploy.network import Network
from neurodeploy.program import Program
from neurodeploy.recording import Recording
from neurodeploy.scoring import agreement, decide, mcnemar, wilson
from neurodeploy.target import load_target
from neurodeploy.version import __version__

FORMAT, VERSION = "neurodeploy-comparison", 1
LAVA_SAMPLES = 32
TOLERANCE_POINTS = 1.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """Backends held against each other on the same model and data.

    network, program, data: what ran. recordings: by backend; ``trained`` is the framework's own, where given.
    result: the comparison file's content (DESIGN section 4), JSON-ready.
    """

    network: Network
    program: Program
    data: Data
    recordings: dict[str, Recording]
    result: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Whether nothing is outside the tolerance."""
        return bool(self.result["verdict"]["status"] == "pass")


def compare(
    model: Path | str | Any,
    target: str,
    data: Data,
    *,
    dialect: str | None = None,
    program: Program | None = None,
    only: tuple[str, ...] = (),
    trained: Recording | None = None,
    lava_samples: int = LAVA_SAMPLES,
    tolerance: float = TOLERANCE_POINTS,
    time_limit: float | None = None,
    progress: Progress | None = None,
    **compiling: Any,
) -> Comparison:
    """Run a model on backends and compare them.

    Args:
        model: path of a ``.nir`` file or an in-memory ``nir.NIRGraph``.
        target: name of the chip.
        data: inputs and, for accuracy, labels.
        dialect: as given to ``--dialect``.
        program: the compiled model; compiled here if None.
        only: backends to run; all that can run here if empty.
        trained: the framework's own recording on the same data.
        lava_samples: Lava, and a Loihi board, run on this many samples from the first on.
        tolerance: points of accuracy that a backend may lose against the reference.
        time_limit: seconds for a backend, or None.
        progress: called with (backend, done, in all).
        **compiling: options of :func:`neurodeploy.compiler.compile_with_plan`, for compiling here.

    Raises:
        DeployError: the model, the data or an option is refused.
        BackendError: a backend that was named is missing, or one died.
    """
    check_tolerance(tolerance)
    network, settled, graph = read_network(model, dialect)
    check_inputs(network.inputs, data.x)
    _check_labels(network, data)
    if program is None:
        program = compile(model, target, dialect=dialect, **compiling)
    else:
        _check_program(program, network, target)
    names, not_run = _choose(only)
    runner = _Runner(network, program, data, lava_samples, time_limit, progress)
    recordings = {name: runner.run(name) for name in names}
    if trained is not None:
        recordings["trained"] = trained
    order = tuple(population.name for population in network.populations)
    result: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "target": target,
        "samples": {name: recording.n_samples for name, recording in recordings.items()},
        "steps": next(iter(recordings.values())).n_steps,
        "nodes": list(order),
        "not_run": not_run,
        "equalities": {
            "reference_trained": _reference_trained(network, data, recordings),
            "emulator_lava": runner.emulator_lava(recordings, not_run, order),
        },
        **_accuracies(recordings, data),
        **_agreements(recordings, order),
        "counters": _counters(recordings, order),
        "energy": _energy(program, data, recordings, target),
        "ladder": None,
        "warnings": [*program.warnings, *_silences(recordings)],
        "provenance": _provenance(model, runner, (settled, graph), recordings),
    }
    result["verdict"] = _verdict(result, tolerance)
    return Comparison(network, program, data, recordings, result)


def _provenance(
    model: Path | str | Any, runner: _Runner, read: tuple[Dialect, NirGraph], recordings: dict[str, Recording]
) -> dict[str, Any]:
    """Return what was compared, of which versions, and how the model was read."""
    settled, graph = read
    return {
        "neurodeploy": __version__,
        "model": _model_name(model),
        "model_sha256": graph.sha256,
        "data": runner.data.source,
        "dialect": settled.name,
        "dialect_evidence": list(settled.evidence),
        "dt_s": runner.network.dt,
        "target": load_target(runner.program.target).title,
        "program": runner.program.provenance,
        "backends": {name: recording.meta.get("versions", {}) for name, recording in recordings.items()},
    }


def check_tolerance(tolerance: float) -> None:
    """Refuse a tolerance that is no share of a hundred.

    Raises:
        DeployError: it is below 0, above 100, or no number.
    """
    if not 0 <= tolerance <= 100:
        raise DeployError(f"a tolerance of {tolerance:g}", where="--tolerance", fix="Give a number from 0 to 100.")


def _check_labels(network: Network, data: Data) -> None:
    output = network.outputs[0]
    n_classes = network.population(output).size
    if data.labels is not None and data.labels.size and not 0 <= data.labels.min() <= data.labels.max() < n_classes:
        raise DeployError(
            f"labels run from {data.labels.min()} to {data.labels.max()}, output {output!r} has {n_classes} neurons",
            where=data.source,
            fix="Labels count from 0, one for each output neuron.",
        )


def _check_program(program: Program, network: Network, target: str) -> None:
    if program.target != target:
        raise DeployError(
            f"the program was compiled for {program.target}", where="--program", fix=f"Say --target {program.target}."
        )
    if program.provenance.get("network_sha256") != network.digest():
        raise DeployError(
            "the program was compiled from another model, or in another dialect",
            where="--program",
            fix="Compile this model again, with the same --dialect.",
        )


def _silences(recordings: dict[str, Recording]) -> list[str]:
    """Return which outputs never fire, so that what they decide means nothing."""
    return [
        f"output {node} never fires on {name}: every sample is decided as class 0"
        for name, recording in recordings.items()
        for node in recording.outputs[:1]
        if "spikes" in recording.nodes.get(node, {}) and not recording.spikes(node).any()
    ]


def _model_name(model: Path | str | Any) -> str | None:
    """Return what to call a model: its file, with its folder where the file's own name says nothing."""
    if not isinstance(model, (str, Path)):
        return None
    path = Path(model).resolve()
    return f"{path.parent.name}/{path.name}" if path.stem == "model" else path.name


def _choose(only: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the backends to run, and why each of the others does not."""
    missing = {name: backends.load(name).missing() for name in only or backends.names()}
    for name in only:
        if (reason := missing[name]) is not None:
            raise BackendError(f"backend {name!r} cannot run here", where="--backend", fix=reason)
    not_run = {name: reason for name, reason in missing.items() if reason is not None}
    not_run.update({name: "not asked for" for name in backends.names() if only and name not in only})
    return tuple(name for name, reason in missing.items() if reason is None), not_run


class _Runner:
    """Runs backends on the same data; Lava and a Loihi board on the first samples only."""

    def __init__(
        self,
        network: Network,
        program: Program,
        data: Data,
        lava_samples: int,
        time_limit: float | None,
        progress: Progress | None,
    ) -> None:
        if lava_samples < 1:
            raise DeployError(f"Lava on {lava_samples} samples", where="--lava-samples", fix="Give 1 or more.")
        self.network, self.program, self.data = network, program, data
        self.lava_samples, self.time_limit, self.progress = lava_samples, time_limit, progress

    def run(self, name: str, arithmetic: str | None = None) -> Recording:
        """Return a backend's recording; with states where Lava's are to be met."""
        in_lava = name == "lava" or arithmetic == "lava"
        # A board runs sample by sample, each compiled anew: as slow as Lava, and shared with others.
        inputs = self.data.first(self.lava_samples).x if in_lava or name == "loihi" else self.data.x
        options = RunOptions(
            record=("spikes", "v", "u") if in_lava else ("spikes",),
            arithmetic=arithmetic,
            time_limit=self.time_limit,
            progress=None if self.progress is None else lambda done, total: self.progress(name, done, total),  # type: ignore[misc]
        )
        subject = self.network if name == "reference" else self.program
        return backends.load(name).run(subject, inputs, options)

    def emulator_lava(
        self, recordings: dict[str, Recording], not_run: dict[str, str], order: tuple[str, ...]
    ) -> dict[str, Any]:
        """Hold emulator and Lava against each other in Lava's arithmetic: spikes and states of every node."""
        for name in ("emulator", "lava"):
            if name not in recordings:
                return {"status": "not-run", "reason": f"{name} did not run: {not_run[name]}"}
        lava = recordings["lava"]
        emulator = self.run("emulator", arithmetic="lava")
        what = ("spikes", "value", "u", "v")
        different = first_difference(emulator, lava, order, what)
        held = sum(observed[key].size for observed in lava.nodes.values() for key in what if key in observed)
        scope = f"spikes, u and v of {len(order)} nodes on {lava.n_samples} samples ({held:,} values)"
        if custom := [p.name for p in self.program.populations if p.process == "custom"]:
            scope += f"; {len(custom)} of them are custom neurons, our own on both sides ({', '.join(custom)})"
        if different is None:
            return {"status": "pass", "reason": f"equal in {scope}", "samples": lava.n_samples}
        return {
            "status": "fail",
            "reason": f"they differ in {scope}",
            "first_difference": different.to_dict(),
            "samples": lava.n_samples,
        }


def _reference_trained(network: Network, data: Data, recordings: dict[str, Recording]) -> dict[str, Any]:
    trained, reference = recordings.get("trained"), recordings.get("reference")
    if trained is not None and trained.meta.get("backend") in backends.names():
        raise DeployError(
            f"this is a recording of our own backend {trained.meta['backend']!r}, not of the training framework",
            where="--trained",
            fix="Record the framework itself: neurodeploy export ... --input DATA --record-output TRAINED.npz",
        )
    if trained is None or reference is None:
        return {
            "status": "not-run",
            "reason": "trained output not given" if trained is None else "the reference did not run",
        }
    return reference_equals(network, data.x, reference, trained)


def _accuracies(recordings: dict[str, Recording], data: Data) -> dict[str, Any]:
    """Return the share of samples that each backend decides rightly, its interval, and a test against the reference."""
    accuracy, detail = {}, {}
    right: dict[str, Any] = {}
    output = next((recording.outputs[0] for recording in recordings.values() if recording.outputs), None)
    for name, recording in recordings.items():
        if data.labels is None or not recording.outputs or recording.outputs[0] not in recording.nodes:
            continue
        labels = data.labels[: recording.n_samples]
        right[name] = decide(recording) == labels
        correct, n = int(right[name].sum()), recording.n_samples
        accuracy[name] = correct / n
        detail[name] = {"correct": correct, "samples": n, "interval_95": list(wilson(correct, n))}
    for name in right.keys() - {"reference"} if "reference" in right else ():
        n = min(len(right[name]), len(right["reference"]))
        detail[name]["mcnemar"] = mcnemar(right["reference"][:n], right[name][:n])
    return {"accuracy": accuracy, "accuracy_detail": detail, "accuracy_output": output}


def _agreements(recordings: dict[str, Recording], order: tuple[str, ...]) -> dict[str, Any]:
    """Return the share of spikes in common with the reference by backend and node, and each pair's first difference."""
    base = "reference" if "reference" in recordings else next(iter(recordings))
    shares: dict[str, dict[str, float]] = {}
    first: dict[str, Any] = {}
    for one, two in combinations(recordings, 2):
        n = min(recordings[one].n_samples, recordings[two].n_samples)
        a, b = recordings[one].first(n), recordings[two].first(n)
        nodes = tuple(node for node in order if "spikes" in a.nodes.get(node, {}) and "spikes" in b.nodes.get(node, {}))
        nodes = tuple(node for node in nodes if a.spikes(node).shape == b.spikes(node).shape)
        if not nodes:
            continue
        different = first_difference(a, b, nodes)
        first[f"{one}-{two}"] = None if different is None else different.to_dict()
        if base in (one, two):
            shares[two if one == base else one] = {node: agreement(a.spikes(node), b.spikes(node)) for node in nodes}
    return {"agreement": shares, "agreement_with": base, "first_difference": first}


def _counters(recordings: dict[str, Recording], order: tuple[str, ...]) -> dict[str, Any]:
    """Return events of one sample on average: spikes by backend and node, and all that the emulator counts."""
    spikes = {
        name: {
            node: float(recording.spikes(node).sum() / recording.n_samples)
            for node in order
            if "spikes" in recording.nodes.get(node, {})
        }
        for name, recording in recordings.items()
    }
    events: dict[str, dict[str, float]] = {}
    if (emulator := recordings.get("emulator")) is not None:
        for key, values in emulator.counters.items():
            per_sample = values.sum(axis=0).mean(axis=0).tolist()
            events[key] = dict(zip(emulator.meta["counter_nodes"], per_sample, strict=True))
    return {"unit": "events per sample", "spikes": spikes, "emulator": events}


def _energy(program: Program, data: Data, recordings: dict[str, Recording], target: str) -> dict[str, Any] | None:
    if "emulator" not in recordings:
        return None
    sent = spike_inputs(program, data.x)
    input_spikes = {name: float(np.count_nonzero(values) / values.shape[1]) for name, values in sent.items()}
    return estimate_energy(load_target(target), count_events(program, recordings["emulator"], input_spikes))


def _verdict(result: dict[str, Any], tolerance: float) -> dict[str, Any]:
    """Return pass or fail, with each reason for a failure; what was not run is said, and fails nothing."""
    reasons = [
        f"{name.replace('_', ' == ')}: {equality['reason']}"
        for name, equality in result["equalities"].items()
        if equality["status"] == "fail"
    ]
    detail = result["accuracy_detail"]
    losses = {}
    for name in ("emulator", "loihi"):
        if name in detail and "reference" in detail and detail[name]["samples"] == detail["reference"]["samples"]:
            losses[name] = 100.0 * (result["accuracy"]["reference"] - result["accuracy"][name])
            if losses[name] > tolerance + 1e-9:
                reasons.append(f"{name} loses {losses[name]:.2f} points of accuracy, {tolerance:g} are tolerated")
    open_questions = [
        f"{name.replace('_', ' == ')}: {equality['reason']}"
        for name, equality in result["equalities"].items()
        if equality["status"] == "not-run"
    ]
    if not losses:
        why = "no chip backend and reference on the same samples" if detail else "the data has no labels"
        open_questions.append(f"accuracy loss: {why}")
    return {
        "status": "fail" if reasons else "pass",
        "reasons": reasons,
        "not_run": open_questions,
        "accuracy_loss_points": losses,
        "tolerance_points": tolerance,
        "smallest_tolerance_points": max([0.0, *losses.values()]),
    }
