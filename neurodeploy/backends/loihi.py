"""Run a program on a Loihi 2 board through Intel's proprietary ``lava-loihi``; not run on hardware.

Both sides are in this file. The host's is the class ``Loihi``, with the functions up to ``host_kind``. The board's is
started as ``python loihi.py REQUEST.json`` in the Python 3.10 of ``NEURODEPLOY_LAVA_PYTHON``, where neurodeploy is
absent; so only the standard library and numpy are imported at the top.

What is known of lava-loihi is what public code shows that uses it. The order of the calls, from ``RingBuffer`` over the
two adapters to ``time_series``, is that of the NIR paper's ``lif_lava.ipynb``, whose published trace of one neuron our
``loihi`` arithmetic meets row for row (Pedersen et al. 2024, doi:10.1038/s41467-024-52259-9). The host is chosen as
``lava.utils.loihi`` of lava-nc 0.10.0 asks for it, the profiler called as public benchmark scripts call it.

Unverified, and to be settled by a first run on a board: all that the trace does not hold, which is more than one neuron
or projection, delays, biases, initial codes and negative states; and the profiler's units.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from neurodeploy.ir.program import Program
    from neurodeploy.ir.recording import Recording
    from neurodeploy.ir.run_options import Inputs, RunOptions

NOTE = "not run on hardware"
"""Said wherever this backend is mentioned."""

REFRACTORY = 1
"""Steps of the refractory delay of Lava's LIF on the chip. Source: the published trace, v == 128 at spike steps."""

SECONDS_PER_SAMPLE = 3600.0
"""Seconds for each sample, where no time limit is given: boards are shared, and a queue is no fault."""

FIND_SECONDS = 60

MEASURES = {
    "execution_time_probe": ("execution_time", "spiking_time"),
    "energy_probe": ("energy", "power", "static_power", "dynamic_power"),
    "activity_probe": ("activity",),
}
"""What each probe of the profiler measures, as attributes. No public code reads an activity."""

CAN = frozenset({"delay", "host"})
"""What is carried to the chip of all that programs need, see :mod:`neurodeploy.ir.needs`; the host has run before."""

_SHARED = ("du", "dv", "threshold_code")
_CODES = (*_SHARED, "bias_mantissa", "u_init", "v_init")
_FIND = "from importlib.util import find_spec as find; print(find('lava.utils.loihi2_profiler') is not None)"


class Loihi:
    """A Loihi 2 board; not run on hardware, only against a stand-in for Intel's package."""

    # The board's side lacks neurodeploy, so what Backend says by default is written out.
    name: str = "loihi"
    is_reference: bool = False
    is_chip: bool = True
    is_slow: bool = True
    can_be_ended: bool = True
    counts: bool = False
    exact_in: str | None = None
    families: tuple[str, ...] | None = ("loihi",)
    note: str = NOTE

    def missing(self) -> str | None:
        """Return None if a board seems to be within reach, else what is missing and how to get it."""
        from neurodeploy.backends.lava.install import ENV_PYTHON, lava_python
        from neurodeploy.errors import BackendError

        try:
            python = lava_python()
        except BackendError as error:
            return f"{error.what} ({error.where}). {error.fix} (This backend is {NOTE}.)"
        if python is None or not _has_lava_loihi(str(python)):
            where = "is not installed" if python is None else f"is not in {python}"
            return (
                f"Intel's proprietary lava-loihi {where}: members of the Intel Neuromorphic Research Community (INRC) "
                f"get it from Intel; install it beside lava-nc and name its interpreter in {ENV_PYTHON} ({NOTE})."
            )
        if host_kind() is None:
            return (
                "lava-loihi is installed, but no board is within reach: there is no SLURM (`sinfo` is not on PATH) and "
                f"NXSDKHOST names no host; members of INRC get access to either from Intel ({NOTE})."
            )
        return None

    def run(self, subject: Program, inputs: Inputs, options: RunOptions) -> Recording:
        """Run a program on spikes, each sample in a run of its own.

        Args:
            subject: program of plain LIF neurons and dense synapses.
            inputs: for each input 0 or 1, ``[T, B, *shape]``.
            options: what to record. Without a time limit each sample may take an hour.

        Returns:
            Spikes uint8, v and u int32, of the recorded nodes ``[T, B, *shape]``; v with the refractory counter
            removed; what the profiler measured in ``meta["profile"]``, for each sample.

        Raises:
            DeployError: this path cannot carry the program, or an option.
            BackendError: lava-loihi or a board is missing, or the run died.
        """
        from neurodeploy.backends.base import expect
        from neurodeploy.backends.host import spike_inputs
        from neurodeploy.backends.lava.backend import Job, run_worker
        from neurodeploy.backends.lava.install import lava_python
        from neurodeploy.errors import BackendError
        from neurodeploy.families.loihi.program import loihi_program
        from neurodeploy.ir.program import Program
        from neurodeploy.ir.recording import Recording
        from neurodeploy.ir.run_options import model_rows

        expect(Program, subject, self.name)
        subject = loihi_program(subject, "a Loihi board")
        check(subject, options)
        nodes = options.recorded(tuple(subject.latency), subject.nodes)
        spikes = spike_inputs(subject, inputs)
        n_steps, n_samples = next(iter(spikes.values())).shape[:2]
        if (python := lava_python()) is None or self.missing() is not None:
            raise BackendError(f"backend {self.name!r} cannot run here", where="--backend", fix=self.missing() or "")
        waiting = replace(options, time_limit=options.time_limit or SECONDS_PER_SAMPLE * n_samples)
        try:
            arrays, versions = run_worker(python, Job(subject, spikes, nodes, waiting), worker=Path(__file__))
        except BackendError as error:
            where = f"{error.where}; backend {self.name!r}, {NOTE}"
            raise BackendError(error.what, where=where, fix=error.fix) from error
        profile = json.loads(str(arrays.pop("profile")[()]))
        recorded: dict[str, dict[str, NDArray[Any]]] = {node: {} for node in nodes}
        for node, found in recorded.items():
            for key in options.observed(node):
                values = arrays[f"{node}/{key}"].astype(np.uint8 if key == "spikes" else np.int32)
                if key == "v":
                    values = clean_probe(values, arrays[f"{node}/spikes"])
                found[key] = model_rows(values, subject.latency[node], n_steps, options.raw_time)
        return Recording(recorded, _meta(subject, versions, options, profile))


def clean_probe(v: NDArray[Any], spikes: NDArray[Any], refractory: int = REFRACTORY) -> NDArray[Any]:
    """Return a probe's v without the refractory counter that the chip keeps in it.

    At a spike step the register of v holds ``refractory << 7`` in place of 0, and only these values are mapped.

    Args:
        v: what the probe read, in register units, any shape.
        spikes: other than 0 where the neuron fired, of the same shape.
        refractory: steps of the neuron's refractory delay.

    Returns:
        A copy of ``v``.

    Source: nengo-loihi, ``hardware/interface.py``, which finds spikes by this very value; the NIR paper's trace.
    """
    return np.where((spikes != 0) & (v == refractory << 7), 0, v).astype(v.dtype)


def check(program: Program[Any], options: RunOptions) -> None:
    """Refuse what this path does not carry to the chip.

    Raises:
        DeployError: it names all that is wrong with a program, or the option.
    """
    from neurodeploy.backends.lava.process_names import process_of
    from neurodeploy.errors import DeployError
    from neurodeploy.families.loihi.program import program_faults
    from neurodeploy.ir.needs import lacking, refuse_missing

    fix = "Run it on --backend emulator, whose arithmetic 'loihi' is the chip's."
    if options.arithmetic not in (None, "loihi"):
        raise DeployError(
            f"a chip does not compute in arithmetic {options.arithmetic!r}", where="--arithmetic", fix=fix
        )
    plain = {p.name: process_of(p) == "LIF" and p.model.fires and p.size > 0 for p in program.populations}
    kinds = {p.name: ", ".join(lacking([p], CAN).get(p.name, ["none at all"])) for p in program.populations}
    faults = program_faults(program) + [f"input {name} sends graded spikes" for name in program.message_bits]
    faults += [f"{name} has no plain LIF neurons ({kinds[name]})" for name, is_plain in plain.items() if not is_plain]
    faults += [f"{p.name} is a {p.kind} projection" for p in program.projections if p.kind != "dense"]
    faults += [f"no projection connects {name} to the rest" for name in _separate(program)]
    if faults:
        raise DeployError(
            "this backend can run only connected networks of plain LIF neurons and dense synapses on a Loihi 2 board: "
            + "; ".join(faults),
            where=f"program for target {program.target}; backend 'loihi', {NOTE}",
            fix=fix,
        )
    refuse_missing(program.parts, CAN, "a Loihi 2 board", fix)


def _separate(program: Program) -> list[str]:
    """Return the populations that are not joined to the first projection; one run reaches joined processes only."""
    edges = [{projection.source, projection.target} for projection in program.projections]
    joined = set(edges[0]) if edges else set()
    while more := {name for edge in edges if edge & joined for name in edge} - joined:
        joined |= more
    return [population.name for population in program.populations if population.name not in joined]


@functools.cache
def _has_lava_loihi(python: str) -> bool:
    """Tell whether an interpreter can find lava-loihi, which is not imported for it; asked once in a process."""
    try:
        done = subprocess.run([python, "-I", "-c", _FIND], capture_output=True, text=True, timeout=FIND_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0 and done.stdout.strip() == "True"


def _meta(program: Program, versions: dict[str, str], options: RunOptions, profile: list[Any]) -> dict[str, Any]:
    from neurodeploy.backends.base import register_units
    from neurodeploy.version import __version__

    return {
        "backend": Loihi.name,
        "note": f"The path that made this was {NOTE} by its authors.",
        "versions": {**versions, "neurodeploy": __version__},
        "target": program.target,
        "arithmetic": "loihi",
        "latency": program.latency,
        "units": register_units(program),
        "outputs": list(program.outputs),
        "model_sha256": program.provenance.get("model_sha256", ""),
        "dialect": program.dialect,
        "dt": program.dt,
        "raw_time": options.raw_time,
        "profile": profile,
    }


def host_kind() -> str | None:
    """Return how a board can be reached: ``slurm``, ``ethernet``, or None; on either side."""
    if shutil.which("sinfo") and not os.environ.get("NOSLURM"):
        return "slurm"
    return "ethernet" if os.environ.get("NXSDKHOST") else None


def use_host() -> None:
    """Tell Lava where the board is. From here on all runs on the board's side."""
    from lava.utils import loihi

    generation = loihi.ChipGeneration(os.environ.get("LOIHI_GEN", "N3B3"))
    if host_kind() == "slurm":
        board, partition = os.environ.get("BOARD"), os.environ.get("PARTITION")
        loihi.use_slurm_host(partition=None if board else partition, board=board, loihi_gen=generation)
    else:
        binary = {"host_binary_path": os.environ["HOST_BINARY"]} if "HOST_BINARY" in os.environ else {}
        loihi.use_ethernet_host(os.environ["NXSDKHOST"], loihi_gen=generation, **binary)
    if loihi.host not in ("SLURM", "ETHERNET"):
        raise RuntimeError(f"lava.utils.loihi.host is {loihi.host!r} after a host was chosen")


class Net:
    """The processes of a program, for one sample.

    Neurons of a population that differ in du, dv or threshold become LIF processes of their own, because a process on
    the chip has one of each. Each input has a source and an adapter for each projection, as in all public code.
    """

    def __init__(
        self, program: dict[str, Any], inputs: dict[str, NDArray[Any]], recorded: dict[str, list[str]]
    ) -> None:
        """Build all processes; ``inputs`` are ``[rows, n]``, ``recorded`` names the observables of each node."""
        self.inputs, self.rows = inputs, len(next(iter(inputs.values())))
        self.groups: dict[str, list[tuple[NDArray[Any], Any]]] = {}
        self.sinks: list[tuple[str, NDArray[Any], Any]] = []
        self.probes: list[tuple[str, NDArray[Any], Any]] = []
        manifest = json.loads(str(program["manifest"][()]))
        for entry in manifest["populations"]:
            name = entry["name"]
            self._add_population(entry, {key: program[f"population/{name}/{key}"] for key in _CODES})
            if name in recorded:
                self._record(name, recorded[name])
        for index, entry in enumerate(manifest["projections"]):
            self._add_projection(entry, program[f"projection/{index}/weight"].astype(np.int32))

    def _add_population(self, entry: dict[str, Any], codes: dict[str, NDArray[Any]]) -> None:
        from lava.proc.lif.process import LIF

        shared = np.stack([codes[key] for key in _SHARED], axis=1)
        distinct, group = np.unique(shared, axis=0, return_inverse=True)
        self.groups[entry["name"]] = []
        for index, (du, dv, vth) in enumerate(distinct.tolist()):
            ids = np.flatnonzero(group.reshape(-1) == index)
            lif = LIF(
                shape=(len(ids),),
                u=_one_or_all(codes["u_init"][ids]),
                v=_one_or_all(codes["v_init"][ids]),
                du=du,
                dv=dv,
                bias_mant=_one_or_all(codes["bias_mantissa"][ids]),
                bias_exp=entry["bias_exponent"],
                vth=vth,
                name=entry["name"] if len(distinct) == 1 else f"{entry['name']}.{index}",
            )
            self.groups[entry["name"]].append((ids, lif))

    def _record(self, name: str, observables: list[str]) -> None:
        from lava.proc.embedded_io.spike import NxToPyAdapter
        from lava.proc.io.sink import RingBuffer
        from lava.utils.loihi2_state_probes import StateProbe

        for ids, lif in self.groups[name]:
            adapter, sink = NxToPyAdapter(shape=(len(ids),)), RingBuffer(shape=(len(ids),), buffer=self.rows)
            lif.s_out.connect(adapter.inp)
            adapter.out.connect(sink.a_in)
            self.sinks.append((f"{name}/spikes", ids, sink))
            for key in ("v", "u"):
                if key in observables:
                    self.probes.append((f"{name}/{key}", ids, StateProbe(getattr(lif, key))))

    def _add_projection(self, entry: dict[str, Any], weight: NDArray[Any]) -> None:
        from lava.proc.dense.process import DelayDense, Dense
        from lava.utils.weightutils import SignMode

        for targets, lif in self.groups[entry["target"]]:
            for sources, port in self._senders(entry["source"]):
                block = np.ascontiguousarray(weight[np.ix_(targets, sources)])
                options = {
                    "weights": block,
                    "weight_exp": entry["exponent"],
                    "num_weight_bits": entry["weight_bits"],
                    "sign_mode": SignMode[entry["sign_mode"].upper()],
                }
                later = entry["delay"] - 1
                dense = DelayDense(delays=np.full(block.shape, later), **options) if later else Dense(**options)
                port.connect(dense.s_in)
                dense.a_out.connect(lif.a_in)

    def _senders(self, name: str) -> list[tuple[NDArray[Any], Any]]:
        from lava.proc.embedded_io.spike import PyToNxAdapter
        from lava.proc.io.source import RingBuffer

        if name in self.groups:
            return [(ids, lif.s_out) for ids, lif in self.groups[name]]
        data = np.ascontiguousarray(self.inputs[name].T.astype(np.int32))
        source, adapter = RingBuffer(data=data), PyToNxAdapter(shape=(len(data),))
        source.s_out.connect(adapter.inp)
        return [(np.arange(len(data)), adapter.out)]

    def run(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Run all rows once; return ``<node>/<observable>`` ``[rows, n]`` in the node's order, and the profile."""
        from lava.magma.core.run_conditions import RunSteps
        from lava.magma.core.run_configs import Loihi2HwCfg

        config = Loihi2HwCfg(callback_fxs=[probe for _, _, probe in self.probes])
        profiler, absent = start_profiler(config, self.rows)
        lif = next(iter(self.groups.values()))[0][1]
        lif.run(condition=RunSteps(num_steps=self.rows), run_cfg=config)
        found = [(key, ids, np.asarray(sink.data.get())) for key, ids, sink in self.sinks]
        lif.stop()
        found += [(key, ids, np.asarray(probe.time_series)) for key, ids, probe in self.probes]
        values: dict[str, NDArray[Any]] = {}
        for key, ids, series in found:
            size = sum(len(group) for group, _ in self.groups[key.rpartition("/")[0]])
            rows = values.setdefault(key, np.zeros((self.rows, size), np.int32))
            rows[:, ids] = series.reshape(len(ids), self.rows).T
        return values, measured(profiler, absent)


def _one_or_all(codes: NDArray[Any]) -> Any:
    """Return a plain integer where all neurons share it, else the array."""
    return int(codes[0]) if (codes == codes[0]).all() else codes


def start_profiler(config: Any, rows: int) -> tuple[Any, dict[str, str]]:
    """Return the profiler of one run, and why each probe that it does not offer is absent."""
    from lava.utils.loihi2_profiler_api import Loihi2HWProfiler

    profiler, absent = Loihi2HWProfiler(config), {}
    times = {"num_steps": rows, "t_start": 1, "t_end": rows, "dt": 1, "buffer_size": 1024}
    for probe, options in zip(MEASURES, (times, {"num_steps": rows}, {}), strict=True):
        try:
            getattr(profiler, probe)(**options)
        except Exception as error:
            absent[probe] = f"{type(error).__name__}: {error}"
    return profiler, absent


def measured(profiler: Any, absent: dict[str, str]) -> dict[str, Any]:
    """Return what the profiler measured, in its own units, and under ``absent`` why the rest is not there."""
    values: dict[str, Any] = {"absent": absent}
    for name in [name for probe, names in MEASURES.items() if probe not in absent for name in names]:
        try:
            measure = np.asarray(getattr(profiler, name), dtype=float)
            if not np.isfinite(measure).all():
                raise ValueError("not measured")
            values[name] = measure.tolist()
        except Exception as error:
            absent[name] = f"{type(error).__name__}: {error}"
    return values


def run_samples(
    program: dict[str, Any], inputs: dict[str, NDArray[Any]], recorded: dict[str, list[str]], emit: Any
) -> dict[str, NDArray[Any]]:
    """Run every sample in processes and a run of its own, so that no register, and no spike under way, outlives it.

    Blank steps between samples would not do: a bias keeps a potential from decaying to its initial code, and no number
    of steps is enough for every decay. A profiler, too, allows one run only.

    Args:
        program: the arrays of a program file, by name.
        inputs: ``[T, B, *shape]`` for each input, spikes or payloads.
        recorded: the observables to record of each node.
        emit: called with ``progress``, how many samples are done and how many there are, after each of them.
    """
    manifest = json.loads(str(program["manifest"][()]))
    n_steps, n_samples = next(iter(inputs.values())).shape[:2]
    late = max(manifest["latency"].values(), default=0)
    flat = {name: values.reshape(n_steps, n_samples, -1) for name, values in inputs.items()}
    padded = {name: np.pad(values, ((0, late), (0, 0), (0, 0))) for name, values in flat.items()}
    runs = []
    for sample in range(n_samples):
        runs.append(Net(program, {name: values[:, sample] for name, values in padded.items()}, recorded).run())
        emit(progress=[sample + 1, n_samples])
    arrays = {"profile": np.array(json.dumps([profile for _, profile in runs]))}
    shapes = {entry["name"]: entry["shape"] for entry in manifest["populations"]}
    for key in runs[0][0]:
        samples = np.stack([values[key] for values, _ in runs], axis=1)
        arrays[key] = samples.reshape(*samples.shape[:2], *shapes[key.rpartition("/")[0]])
    return arrays


def main(request_path: str) -> None:
    """Serve one request."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def emit(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    with open(request_path) as stream:
        request = json.load(stream)
    use_host()
    with np.load(request["program"]) as program, np.load(request["inputs"]) as inputs:
        asked = {name: node["observables"] for name, node in request["nodes"].items()}
        # Spikes are always read: a probe of v is understood with them only.
        recorded = {name: sorted({"spikes", *keys}) for name, keys in asked.items() if keys}
        arrays = run_samples(dict(program), dict(inputs), recorded, emit)
    versions = {"numpy": np.__version__, "python": platform.python_version()}
    for package in ("lava-nc", "lava-loihi"):
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    part = f"{request['output']}.part.npz"
    arrays["meta"] = np.array(json.dumps({"versions": versions}))
    np.savez(part, **arrays)  # type: ignore[arg-type]
    os.replace(part, request["output"])


if __name__ == "__main__":
    main(sys.argv[1])
