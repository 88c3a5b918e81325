"""Export a trained PyTorch module to a NIR file that says everything the module does."""

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

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.backends.run import recorded_bytes
from neurodeploy.coding.data import Data, Samples, blocks
from neurodeploy.coding.data_hash import data_sha256
from neurodeploy.comparison.equality import reference_equals
from neurodeploy.errors import DeployError, known
from neurodeploy.exporters.load_model import load_model
from neurodeploy.files import to_json, write_bytes
from neurodeploy.importers.lower import read_network
from neurodeploy.importers.metadata import METADATA_KEY
from neurodeploy.ir.decision import parse_decision
from neurodeploy.ir.network import Network
from neurodeploy.ir.recording import Recording, Writer
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.version import __version__

OBSERVABLES = ("spikes", "v", "u")

PLAIN_DIALECT = "nir"
"""Of a module without neurons, which any dialect reads alike."""

_CHECK_SAMPLES = 16
_CHECK_STEPS = 20
_MOST_STEPS = 200
"""Numbers above it in a model's code are taken for something else than a number of steps."""

_FOREIGN = ("torch", "snntorch", "norse", "sinabs", "spikingjelly", "rockpool")


@dataclass(frozen=True, eq=False, slots=True)
class ExportResult:
    """The result of an export.

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
    inputs: NDArray[Any] | Samples | None = None,
    record_output: Path | None = None,
    dt: float | None = None,
    record: tuple[str, ...] = OBSERVABLES,
    record_nodes: tuple[str, ...] | None = None,
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
        inputs: data [T, B, *sample_shape] of any dtype, or a file of it that is read in parts.
        record_output: the recording to write of the framework's own run on ``inputs``, a block of samples at a time.
        dt: seconds per step, written into the file. norse and rockpool neurons have one of their own, which is kept;
            None is 1e-4 for snnTorch and SpikingJelly, and 1 for sinabs, which counts in steps.
        record: what to record of each neuron: ``spikes`` (``value`` of neurons that do not fire), and the states
            carried to the next step, ``v`` and ``u`` (the synaptic current).
        record_nodes: the nodes to record, or None for all.
        verify: run the check before writing.
        form: how the model wants its input, where several ways work; see
            :class:`neurodeploy.exporters.convention.Convention`.
        decide: how outputs become a decision, as ``--decide`` takes it; None takes it from the model's own return.

    Raises:
        DeployError: the request is wrong, or the model does something that NIR and our metadata cannot say.
    """
    data = Data({"input": inputs}, None, "in memory") if isinstance(inputs, np.ndarray) else inputs
    head = None if data is None else data.part(0, min(_CHECK_SAMPLES, data.n_samples)).x["input"]
    _check_request(sample_shape, head, record_output, dt, record)
    if decide is not None:
        parse_decision(decide)
    model, findings = load_model(spec, weights)
    with _located(spec):
        followed = _follow(model, sample_shape, head, dt, form)
        versions = {name: importlib.metadata.version(name) for name in dict.fromkeys((followed.package, "torch"))}
        graph = _graph(followed, versions, decide or followed.built.readout.decision)
        network = read_network(graph)[0]
        checked = _check(network, followed, sample_shape, head) if verify else ("check: left out",)
    content = _to_bytes(graph)
    write_bytes(Path(output), content)
    if data is not None and record_output is not None:
        meta = _provenance(followed, versions, hashlib.sha256(content).hexdigest())
        _write_recording(
            Path(record_output), followed, network, data, RunOptions(record=record, nodes=record_nodes), meta
        )
    framework = f"{followed.package} {versions[followed.package]}"
    said = f"{followed.convention.form}: {followed.convention.evidence}"
    outputs = followed.built.outputs
    lines = (f"framework: {framework}", f"input: {said}", *findings, f"outputs: {', '.join(outputs)}")
    return ExportResult(graph, Path(output), framework, said, outputs, (*lines, *followed.findings, *checked))


def _write_recording(
    path: Path, followed: _Followed, network: Network, data: Samples, options: RunOptions, meta: dict[str, Any]
) -> None:
    """Write what the framework itself computes, a block of samples at a time."""
    meta = {**meta, "data_sha256": data_sha256(data)}
    with Writer(path) as writer:
        for _, part in blocks(data, recorded_bytes(network, data.n_steps, options)):
            found = followed.record(network, part.x["input"], meta, options.record)
            writer.add(found.of_nodes(options.nodes))


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
        from neurodeploy.exporters.record import Trained

        trained = Trained(self.model, self.adapter, self.convention, self.built, self.paths)
        return trained.recording(network, inputs, meta, record)


def _follow(
    model: Any, sample_shape: tuple[int, ...], inputs: NDArray[Any] | None, dt: float | None, form: str | None
) -> _Followed:
    """Find out what a model computes."""
    from neurodeploy.exporters.adapters import adapter_of, neurons_of, time_step
    from neurodeploy.exporters.build_graph import build_graph
    from neurodeploy.exporters.convention import detect_convention, probe_input
    from neurodeploy.exporters.trace import trace_model

    _check_axes(model, sample_shape)
    adapter = adapter_of(model)
    adapter.prepare(model)
    paths = neurons_of(model, adapter)
    seconds, findings = time_step(adapter, paths, dt)
    convention = detect_convention(model, adapter, paths, sample_shape, None if inputs is None else len(inputs), form)
    trace = trace_model(model, adapter, paths, convention, probe_input(model, convention, sample_shape))
    is_binary = inputs is not None and bool(np.isin(inputs[:, :_CHECK_SAMPLES], (0, 1)).all())
    built = build_graph(trace, adapter, sample_shape, seconds, is_binary)
    unused = [f"{name}: never called, left out" for name in paths if name not in trace.order]
    used = {name: module for name, module in paths.items() if name in trace.order}
    said = (*findings, *_plain(adapter), *unused, *_surplus_axes(built, sample_shape), *built.findings)
    return _Followed(model, adapter, used, convention, seconds, built, said)


def _check_axes(model: Any, sample_shape: tuple[int, ...]) -> None:
    """Refuse a sample shape with more axes than the first convolution takes: they are those of time or batch."""
    from torch import nn

    axes = {nn.Conv1d: 2, nn.Conv2d: 3}
    layers = ((name, module) for name, module in nn.Module.named_modules(model) if type(module) in axes)
    name, first = next(layers, ("", None))
    if first is not None and len(sample_shape) > axes[type(first)]:
        raise DeployError(
            f"the sample shape {list(sample_shape)} has {len(sample_shape)} axes, but {name or 'the first layer'}"
            f" ({type(first).__name__}) takes {axes[type(first)]}, so the shape seems to include time or batch",
            where="--sample-shape",
            fix=f"Give the shape of one sample at one step: {','.join(map(str, sample_shape[-axes[type(first)] :]))}.",
        )


def _surplus_axes(built: Any, sample_shape: tuple[int, ...]) -> tuple[str, ...]:
    """Return a warning where a dense layer right behind the input takes the last of several axes alone."""
    behind = {target for source, target in built.edges if type(built.nodes[source]).__name__ == "Input"}
    dense = sorted(name for name in behind if type(built.nodes[name]).__name__ in ("Affine", "Linear"))
    if len(sample_shape) < 2 or not dense:
        return ()
    return (
        f"warning: {dense[0]} takes the last axis of --sample-shape {','.join(map(str, sample_shape))} alone; if the"
        f" others are time or batch, give --sample-shape {sample_shape[-1]}",
    )


def _plain(adapter: Any) -> tuple[str, ...]:
    return ("the module has no neurons, so its values are read in each step",) if adapter.package == "torch" else ()


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
            f"{list(sample_shape)} is not a sample shape",
            where="--sample-shape",
            fix="Give the shape of one sample at one step, such as 1,8,8.",
        )
    if dt is not None and (not np.isfinite(dt) or dt <= 0):
        raise DeployError(f"dt cannot be {dt}", where="dt", fix="Give a number of seconds above 0.")
    if unknown := set(record) - set(OBSERVABLES):
        raise DeployError(
            f"{known(unknown)} cannot be recorded", where="record", fix=f"Choose from {known(OBSERVABLES)}."
        )
    if record_output is not None and inputs is None:
        raise DeployError("a recording needs input data", where="--record-output", fix="Give data with --input.")
    if inputs is not None and (tuple(inputs.shape[2:]) != tuple(sample_shape) or 0 in inputs.shape):
        wanted = ", ".join(map(str, ("steps", "samples", *sample_shape)))
        raise DeployError(
            f"the input has shape {list(inputs.shape)}, but [{wanted}] is needed",
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
    """Run the graph as it was read back beside the model, and compare; returns findings.

    With data, on that; without, on random spikes and, where the model takes them alike, on random values.

    Raises:
        DeployError: the graph does not compute what the model does.
    """
    fired: set[str] = set()
    lines: list[str] = []
    for what, x in _check_inputs(followed, sample_shape, inputs):
        reference, summary = _compare(network, followed, x)
        lines.append(f"check: {summary} of {len(x)} steps, on {what}")
        fired |= {name for name, o in reference.nodes.items() if o.get("spikes", np.ones(1)).any()}
    silent = [p.name for p in network.populations if p.name not in fired]
    if silent:
        lines.append(
            f"check: {known(silent)} never fired in this check, so it says nothing about them; give --input with data"
            " on which they fire"
        )
    return tuple(lines)


def _check_inputs(
    followed: _Followed, sample_shape: tuple[int, ...], inputs: NDArray[Any] | None
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Give what the check runs on, with its name."""
    if inputs is not None:
        n = min(_CHECK_SAMPLES, inputs.shape[1])
        yield f"the first {n} samples of the data", np.asarray(inputs[:, :n])
        return
    rng = np.random.default_rng(0)
    n_steps = followed.convention.n_steps or _check_steps(followed.model)
    shape = (n_steps, _CHECK_SAMPLES, *sample_shape)
    for what, values in (("random spikes", rng.random(shape) < 0.5), ("random values", rng.normal(0.3, 0.7, shape))):
        x = values.astype(np.float32)
        if followed.convention.form == "static":
            x[1:] = x[0]
        yield what, x


def _check_steps(model: Any) -> int:
    """Return more steps than any constant in a model's own code and attributes suggests, within reason."""
    from torch import nn

    found = {_CHECK_STEPS}
    for module in nn.Module.modules(model):  # rockpool's own give names
        if type(module).__module__.partition(".")[0] in _FOREIGN:
            continue
        code = getattr(type(module).forward, "__code__", None)
        constants = [*vars(module).values(), *(code.co_consts if code else ())]
        found |= {n + 3 for n in constants if isinstance(n, int) and not isinstance(n, bool) and 0 < n <= _MOST_STEPS}
    return max(found)


def _compare(network: Network, followed: _Followed, x: NDArray[Any]) -> tuple[Recording, str]:
    """Run the graph and the model on x [T, B, *shape]; returns the graph's recording, and what is the same."""
    read = tuple(reading.node for reading in followed.built.readout.readings if reading.port)
    data = {next(iter(network.inputs)): np.ascontiguousarray(x, dtype=np.float32)}
    trained = followed.record(network, x, {}, ("spikes",))
    reference = Reference().run(network, data, RunOptions(record=("spikes", "v") if read else ("spikes",)))
    equality = reference_equals(network, data, reference, trained, read)
    if equality["status"] == "fail":
        first = equality["first_difference"]
        raise _unfollowed(first["what"], first["node"], f"from step {first['t']} on")
    return reference, str(equality["reason"])


def _unfollowed(what: str, node: str, when: str) -> DeployError:
    return DeployError(
        f"the graph does not compute what the model does: {what} of {node!r} differ {when}",
        where=node,
        fix="The model's forward does something between its modules that cannot be followed; write it with the"
        " supported modules.",
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
        **({"undecided": built.readout.undecided} if built.readout.undecided and not decision else {}),
    }
    # NIR's own type check infers wrong shapes for kernels that are not square and for groups; ours are checked against
    # the model.
    return nir.NIRGraph(built.nodes, list(built.edges), metadata={METADATA_KEY: to_json(metadata)}, type_check=False)


def _to_bytes(graph: Any) -> bytes:
    import nir

    stream = io.BytesIO()
    nir.write(stream, graph)
    return stream.getvalue()
