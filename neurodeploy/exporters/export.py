"""From a trained PyTorch module to a NIR file that says everything the module does."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.base import RunOptions
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.comparison.equality import reference_equals
from neurodeploy.errors import DeployError, known
from neurodeploy.exporters.load_model import load_model
from neurodeploy.files import to_json, write_bytes
from neurodeploy.importers.lower import read_network
from neurodeploy.importers.nir_graph import METADATA_KEY
from neurodeploy.network import Network
from neurodeploy.recording import Recording, save_recording
from neurodeploy.version import __version__

OBSERVABLES = ("spikes", "v", "u")

PLAIN_DIALECT = "nir"
"""Of a module without neurons, which any dialect reads alike."""

_CHECK_SAMPLES = 16
_CHECK_STEPS = 20
_VALUE_TOLERANCE = 1e-5
"""Of a value that is not a spike, relative to the largest."""


@dataclass(frozen=True, eq=False, slots=True)
class ExportResult:
    """What an export made.

    graph: the ``nir.NIRGraph`` that was written. path: of its file. framework: name and version. convention: how the
    model takes its input, with the evidence. outputs: the nodes that are read. findings: all of it as lines to print.
    """

    graph: Any
    path: Path
    framework: str
    convention: str
    outputs: tuple[str, ...]
    findings: tuple[str, ...]


def export(
    spec: str,
    *,
    weights: Path | None,
    sample_shape: tuple[int, ...],
    output: Path,
    inputs: NDArray[Any] | None = None,
    record_output: Path | None = None,
    dt: float | None = None,
    record: tuple[str, ...] = OBSERVABLES,
    verify: bool = True,
    form: str | None = None,
    decide: str | None = None,
) -> ExportResult:
    """Export a trained network to NIR, and on request record what the framework itself computes.

    The framework is that of the model's neurons: snnTorch, norse, sinabs, SpikingJelly or rockpool. Before it is
    written, the graph is read back and run on some samples of ``inputs`` (or random spikes) and must fire exactly as
    the model does.

    Args:
        spec: ``file.py:factory`` or ``package.module:factory``; the factory takes no argument and returns the module.
        weights: the module's state dict, as ``torch.save`` wrote it; None keeps the factory's.
        sample_shape: of one sample at one step, such as (1, 8, 8).
        output: the NIR file to write.
        inputs: data [T, B, *sample_shape].
        record_output: the recording to write of the framework's own run on ``inputs``.
        dt: seconds per step, written into the file. norse and rockpool neurons have one of their own, which is kept;
            None is 1e-4 for snnTorch and SpikingJelly, and 1 for sinabs, which counts in steps.
        record: what to record of each neuron: ``spikes`` (``value`` of neurons that do not fire), and the states
            carried to the next step, ``v`` and ``u`` (the synaptic current).
        verify: run the check before writing.
        form: how the model wants its input, where several ways work; see
            :class:`neurodeploy.exporters.convention.Convention`.
        decide: how outputs become a decision, as ``--decide`` takes it; None takes it from the model's own return.

    Raises:
        DeployError: the request is wrong, or the model does something that NIR and our metadata cannot say.
    """
    _check_request(sample_shape, inputs, record_output, dt, record)
    model, findings = load_model(spec, weights)
    with _located(spec):
        followed = _follow(model, sample_shape, inputs, dt, form)
        versions = {name: importlib.metadata.version(name) for name in dict.fromkeys((followed.package, "torch"))}
        graph = _graph(followed, versions, decide or followed.built.readout.decision)
        network = read_network(graph)[0]
        checked = _check(network, followed, sample_shape, inputs) if verify else ("check: left out",)
    content = _to_bytes(graph)
    write_bytes(Path(output), content)
    if inputs is not None and record_output is not None:
        meta = _provenance(followed, versions, hashlib.sha256(content).hexdigest())
        save_recording(followed.record(network, inputs, meta, record), Path(record_output))
    framework = f"{followed.package} {versions[followed.package]}"
    said = f"{followed.convention.form}: {followed.convention.evidence}"
    outputs = followed.built.outputs
    lines = (f"framework: {framework}", f"input: {said}", *findings, f"outputs: {', '.join(outputs)}")
    return ExportResult(graph, Path(output), framework, said, outputs, (*lines, *followed.findings, *checked))


@dataclass(frozen=True, eq=False, slots=True)
class _Followed:
    """A model and all that was found out about it: its framework, neurons by path, convention, time step and graph."""

    model: Any
    adapter: Any
    paths: dict[str, Any]
    convention: Any
    dt: float
    built: Any
    findings: tuple[str, ...]

    @property
    def package(self) -> str:
        """Name of the framework's package."""
        return str(self.adapter.package)

    @property
    def dialect(self) -> str:
        """In which dialect the graph is to be read."""
        return PLAIN_DIALECT if self.package == "torch" else self.package

    def record(
        self, network: Network, inputs: NDArray[Any], meta: dict[str, Any], record: tuple[str, ...]
    ) -> Recording:
        """Return what the framework itself computes."""
        from neurodeploy.exporters.record import record_model

        return record_model(
            self.model, self.adapter, self.convention, self.built, self.paths, network, inputs, meta, record
        )


def _follow(
    model: Any, sample_shape: tuple[int, ...], inputs: NDArray[Any] | None, dt: float | None, form: str | None
) -> _Followed:
    """Find out what a model computes."""
    from neurodeploy.exporters.adapters import adapter_of, neurons_of, time_step
    from neurodeploy.exporters.build_graph import build_graph
    from neurodeploy.exporters.convention import detect_convention, probe_input
    from neurodeploy.exporters.trace import trace_model

    adapter = adapter_of(model)
    paths = neurons_of(model, adapter)
    seconds, findings = time_step(adapter, paths, dt)
    convention = detect_convention(model, adapter, paths, sample_shape, None if inputs is None else len(inputs), form)
    trace = trace_model(model, adapter, paths, convention, probe_input(model, convention, sample_shape))
    is_binary = inputs is not None and bool(np.isin(inputs[:, :_CHECK_SAMPLES], (0, 1)).all())
    built = build_graph(trace, adapter, sample_shape, seconds, is_binary)
    unused = [f"{name}: never called, left out" for name in paths if name not in trace.order]
    used = {name: module for name, module in paths.items() if name in trace.order}
    return _Followed(
        model, adapter, used, convention, seconds, built, (*findings, *_plain(adapter), *unused, *built.findings)
    )


def _plain(adapter: Any) -> tuple[str, ...]:
    return ("the module has no neurons: its values are read in each step",) if adapter.package == "torch" else ()


def _provenance(followed: _Followed, versions: dict[str, str], digest: str) -> dict[str, Any]:
    return {
        "backend": "trained",
        "framework": followed.package,
        "dialect": followed.dialect,
        "dt": followed.dt,
        "outputs": list(followed.built.readout.nodes),
        "versions": {"neurodeploy": __version__, **versions},
        "model_sha256": digest,
    }


def _check_request(
    sample_shape: tuple[int, ...],
    inputs: NDArray[Any] | None,
    record_output: Path | None,
    dt: float | None,
    record: tuple[str, ...],
) -> None:
    if not sample_shape or any(extent < 1 for extent in sample_shape):
        raise DeployError(
            f"{list(sample_shape)} is no sample shape",
            where="--sample-shape",
            fix="Give the shape of one sample at one step, such as 1,8,8.",
        )
    if dt is not None and (not np.isfinite(dt) or dt <= 0):
        raise DeployError(f"dt cannot be {dt}", where="dt", fix="It is above 0, in seconds.")
    if unknown := set(record) - set(OBSERVABLES):
        raise DeployError(
            f"{known(unknown)} cannot be recorded", where="record", fix=f"Choose among {known(OBSERVABLES)}."
        )
    if record_output is not None and inputs is None:
        raise DeployError("a recording needs input data", where="--record-output", fix="Give --input.")
    if inputs is not None and (tuple(inputs.shape[2:]) != tuple(sample_shape) or 0 in inputs.shape):
        wanted = ", ".join(map(str, ("steps", "samples", *sample_shape)))
        raise DeployError(
            f"the input has shape {list(inputs.shape)}, and [{wanted}] is needed",
            where="--input",
            fix="Check --sample-shape, and --batch-first if samples come before steps.",
        )


@contextmanager
def _located(spec: str) -> Iterator[None]:
    """Put the model's name before the place of a refusal."""
    try:
        yield
    except DeployError as error:
        raise DeployError(error.what, where=f"{spec}, {error.where}", fix=error.fix) from error


def _check(
    network: Network, followed: _Followed, sample_shape: tuple[int, ...], inputs: NDArray[Any] | None
) -> tuple[str, ...]:
    """Run the graph as it was read back beside the model on a few samples, and compare; returns findings.

    Raises:
        DeployError: the graph does not compute what the model does.
    """
    if inputs is not None:
        x = np.asarray(inputs[:, :_CHECK_SAMPLES])
    else:
        rng = np.random.default_rng(0)
        n_steps = followed.convention.n_steps or _CHECK_STEPS
        x = (rng.random((n_steps, _CHECK_SAMPLES, *sample_shape)) < 0.5).astype(np.float32)
        if followed.convention.form == "static":
            x[1:] = x[0]
    data = {next(iter(network.inputs)): np.ascontiguousarray(x, dtype=np.float32)}
    trained = followed.record(network, x, {}, ("spikes",))
    reference = Reference().run(network, data, RunOptions())
    ties, summary = 0, ""
    if any("spikes" in observed for observed in trained.nodes.values()):
        equality = reference_equals(network, data, reference, trained)
        if equality["status"] == "fail":
            first = equality["first_difference"]
            raise _unfollowed("spikes", first["node"], f"from step {first['t']} on")
        ties, summary = equality["ties"], equality["reason"]
    values = [name for name, observed in trained.nodes.items() if "value" in observed]
    for name in values if not ties else []:  # one rounding tie changes the values behind it
        _check_values(name, reference.nodes[name]["value"], trained.nodes[name]["value"])
    if values:
        summary += f"{', ' if summary else ''}values of {known(values)} agree"
    silent = [name for name, observed in reference.nodes.items() if not observed.get("spikes", np.ones(1)).any()]
    return (f"check: {summary} of {len(x)} steps", *(f"check: {name} never fired in it" for name in silent))


def _check_values(name: str, ours: NDArray[Any], theirs: NDArray[Any]) -> None:
    """Refuse values that differ by more than float32 sums in another order do."""
    wrong = np.abs(ours - theirs) > _VALUE_TOLERANCE * max(float(np.abs(theirs).max()), 1e-30)
    if wrong.any():
        raise _unfollowed("values", name, f"from step {int(np.argwhere(wrong)[0][0])} on")


def _unfollowed(what: str, node: str, when: str) -> DeployError:
    return DeployError(
        f"the graph does not compute what the model does: {what} of {node!r} differ {when}",
        where=node,
        fix="forward does something between its modules that cannot be followed; write it with the supported modules.",
    )


def _graph(followed: _Followed, versions: dict[str, str], decision: str | None) -> Any:
    import nir

    built = followed.built
    metadata = {
        "dialect": followed.dialect,
        "dt": followed.dt,
        "exporter": f"neurodeploy {__version__}",
        "framework": versions,
        "outputs": list(built.outputs),
        **({"decision": decision} if decision else {}),
    }
    # NIR's own type check infers wrong shapes for kernels that are not square and for groups; ours are checked against
    # the model.
    return nir.NIRGraph(built.nodes, list(built.edges), metadata={METADATA_KEY: to_json(metadata)}, type_check=False)


def _to_bytes(graph: Any) -> bytes:
    import nir

    stream = io.BytesIO()
    nir.write(stream, graph)
    return stream.getvalue()
