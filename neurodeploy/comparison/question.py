"""Read what a comparison is asked about: the model, the data and the demands, whatever the chip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurodeploy import backends
from neurodeploy.backends.base import Backend
from neurodeploy.coding.data import Samples, blocks
from neurodeploy.coding.data_hash import data_sha256
from neurodeploy.coding.given import Given, given_samples
from neurodeploy.coding.inputs import check_inputs, is_binary
from neurodeploy.comparison.answers import make_answers
from neurodeploy.comparison.equality import check_trained
from neurodeploy.comparison.runner import Pace, choose_backends
from neurodeploy.comparison.verdict import Demands
from neurodeploy.errors import DeployError, known
from neurodeploy.importers.lower import read_network
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.settle import Dialect
from neurodeploy.ir.decision import Decision
from neurodeploy.ir.network import Network
from neurodeploy.ir.plan import load_plan
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recorded, RecordingFile, recorded_on
from neurodeploy.targets.target import Target
from neurodeploy.version import __version__


@dataclass(frozen=True, eq=False, slots=True)
class Question:
    """What is asked of a chip, or of several: a model and data as they were read, and what is demanded.

    model, decide: as :func:`compare` takes them. network, settled, graph: the model as it was read.
    program: the compiled model, or None where it is compiled for each chip, as ``compiling`` says.
    trained: the framework's own recording, or None. remarks: what is to be said of it.
    backends: those that run, by name. not_run: why each of the others does not. named: those that were asked for.
    """

    model: Path | str | Any
    network: Network
    settled: Dialect
    graph: NirGraph
    data: Samples
    data_sha256: str
    program: Program | None
    backends: dict[str, Backend]
    not_run: dict[str, str]
    named: tuple[str, ...]
    trained: Recorded | None
    remarks: list[str]
    demands: Demands
    pace: Pace
    decide: Decision | str | None
    compiling: dict[str, Any]

    def on(self, chip: Target) -> tuple[dict[str, Backend], dict[str, str]]:
        """Return the backends that run a chip's programs, by name, and why each of the others does not.

        Of those for other chip families nothing is said, unless they were asked for.
        """
        own = {name: one for name, one in self.backends.items() if backends.runs(one, chip.family)}
        others = {
            name: f"it runs no programs for the family {chip.family!r}"
            for name in self.backends
            if name not in own and name in self.named
        }
        not_run = {
            name: reason
            for name, reason in self.not_run.items()
            if name in self.named or backends.runs(backends.load(name), chip.family)
        }
        return own, not_run | others

    def refuse_unsuited(self, chips: Sequence[Target]) -> None:
        """Refuse backends and gates that were asked for and have to do with none of some chips.

        Raises:
            DeployError: at the first of them.
        """
        families = {chip.family for chip in chips}
        asked = {"--backend": self.named, "--require": tuple(set(self.demands.require) & set(backends.simulators()))}
        for flag, names in asked.items():
            for name in names:
                if not any(backends.runs(backends.load(name), family) for family in families):
                    raise DeployError(
                        f"{flag} names {name}, which runs no programs for {known(chip.name for chip in chips)}",
                        where=flag,
                        fix="Leave it out, or name a chip of the family whose programs it runs.",
                    )

    def provenance(self) -> dict[str, Any]:
        """Return what was asked, of which versions, and how the model was read."""
        return {
            "neurodeploy": __version__,
            "model": model_name(self.model),
            "model_sha256": self.graph.sha256,
            "data": self.data.source,
            "data_sha256": self.data_sha256,
            "dialect": self.settled.name,
            "dialect_evidence": list(self.settled.evidence),
            "dt_s": self.network.dt,
        }


def ask(
    model: Path | str | Any,
    data: Given,
    *,
    dialect: str | None,
    program: Program | None,
    only: tuple[str, ...] | str,
    trained: Recorded | str | Path | None,
    demands: Demands,
    pace: Pace,
    decide: Decision | str | None,
    compiling: dict[str, Any],
) -> Question:
    """Read a model and data, and refuse what no chip could answer; arguments as :func:`compare` takes them.

    Args:
        model, data, dialect, program, only, trained, decide: as :func:`compare` takes them.
        demands: what the comparison has to meet.
        pace: how long backends may take.
        compiling: keywords for compiling the model where ``program`` is None; ``plan`` and ``calibrate`` among them.

    Raises:
        DeployError: the model, the data, the trained recording, the decision or an option is refused.
        BackendError: a backend that was named is missing.
    """
    named = (only,) if isinstance(only, str) and only else tuple(only)
    chosen, not_run = choose_backends(named)
    if isinstance(trained, (str, Path)):
        trained = RecordingFile(Path(trained))
    if program is not None:
        _refuse_options(compiling)
    network, settled, graph = read_network(model, dialect)
    data = given_samples(data, network.inputs)
    check_inputs(network.inputs, data.part(0, 1).x)
    sha256 = data_sha256(data)
    remarks = [] if trained is None else _check_trained(trained, data, network, sha256, graph.sha256)
    make_answers(network, data, decide)
    compiling = {**compiling, **_read_files(compiling, network), "dialect": dialect, "decide": decide}
    if program is None and compiling["calibrate"] is None and compiling.get("input_range") is None:
        compiling["input_range"] = _graded_ranges(data)
    return Question(
        model,
        network,
        settled,
        graph,
        data,
        sha256,
        program,
        chosen,
        not_run,
        named,
        trained,
        remarks,
        demands,
        pace,
        decide,
        compiling,
    )


def _read_files(compiling: Mapping[str, Any], network: Network) -> dict[str, Any]:
    """Return plan and calibration data that were given as files, so that what is wrong with them is no chip's fault."""
    plan, calibrate = compiling.get("plan"), compiling.get("calibrate")
    return {
        "plan": load_plan(plan) if isinstance(plan, (str, Path)) else plan,
        "calibrate": None if calibrate is None else given_samples(calibrate, network.inputs),
    }


def _graded_ranges(data: Samples) -> dict[str, tuple[float, float]]:
    """Return the least and the most of each input that holds other values than 0 and 1; nothing else is calibrated."""
    found: dict[str, tuple[float, float]] = {}
    graded: set[str] = set()
    for _, part in blocks(data, 4 * sum(values.nbytes for values in data.part(0, 1).x.values())):
        for name, values in part.x.items():
            low, high = found.get(name, (0.0, 0.0))
            found[name] = min(low, float(values.min())), max(high, float(values.max()))
            graded |= set() if is_binary(values) else {name}
    return {name: found[name] for name in graded}


def _check_trained(trained: Recorded, data: Samples, network: Network, sha256: str, of_model: str) -> list[str]:
    """Refuse a recording that is not the framework's, or of other data; return what is to be said of it."""
    if trained.meta.get("backend") in backends.names():
        raise DeployError(
            f"this is a recording of neurodeploy's backend {trained.meta['backend']!r}, not of the training framework",
            where="--trained",
            fix="Record the framework itself: neurodeploy export ... --input DATA --record-output TRAINED.npz",
        )
    if trained.n_samples != data.n_samples:
        raise DeployError(
            f"the trained recording has {trained.n_samples} samples, but the data has {data.n_samples}",
            where="--trained",
            fix="Record the framework on the same data.",
        )
    check_trained(network, trained.part(0, 1), data.n_steps, 1)
    remarks = [recorded_on(trained, sha256, "the trained recording", "--trained")]
    if of_model and trained.meta.get("model_sha256", of_model) not in ("", of_model):
        remarks.append("the trained recording was made with another model file, which may be why it differs")
    return [remark for remark in remarks if remark is not None]


def _refuse_options(given: Mapping[str, object]) -> None:
    """Refuse what says how a model is compiled, beside a program."""
    for name, value in given.items():
        if value is not None and name != "allow_silent":
            raise DeployError(
                "a program is compiled already",
                where=f"--{name.replace('_', '-')}",
                fix="Leave it out, or leave out --program.",
            )


def model_name(model: Path | str | Any) -> str | None:
    """Return what to call a model: its file, with its folder where the file's own name says nothing."""
    if not isinstance(model, (str, Path)):
        return None
    path = Path(model).resolve()
    return f"{path.parent.name}/{path.name}" if path.stem == "model" else path.name
