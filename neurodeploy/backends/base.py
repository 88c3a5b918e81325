"""The interface of a backend: it runs a network or a program on input and returns a recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurodeploy.coding.data import check_levels, without_batch
from neurodeploy.errors import DeployError, known
from neurodeploy.ir.host import entering
from neurodeploy.ir.network import Network
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.synapses import Shape

Inputs = dict[str, NDArray[Any]]
"""For each input of the model ``[T, B, *shape]``."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of a run: what to record, and how to run.

    record: which of ``spikes``, ``v``, ``u``.
    nodes: populations to record, or None for all.
    arithmetic: overrides the program's; integer backends only.
    time_limit: seconds after which a run is ended, or None.
    raw_time: keep the hardware's rows instead of cutting each node's latency.
    device: torch device of the reference.
    counters: count events; emulator only.
    progress: called with (steps done, steps in all), or None.
    threads: samples run at the same time at most, or None for one on each core; emulator only.
    membranes: firing populations of which v is recorded, whatever ``record`` says.
    """

    record: tuple[str, ...] = ("spikes",)
    nodes: tuple[str, ...] | None = None
    arithmetic: str | None = None
    time_limit: float | None = None
    raw_time: bool = False
    device: str = "cpu"
    counters: bool = True
    progress: Callable[[int, int], None] | None = None
    threads: int | None = None
    membranes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.time_limit is not None and not 0 < self.time_limit < float("inf"):
            raise DeployError(
                f"--time-limit is {self.time_limit:g}; it must be above 0",
                where="--time-limit",
                fix="Give a number of seconds above 0.",
            )
        if self.threads is not None and (not isinstance(self.threads, int) or self.threads < 1):
            raise DeployError(
                f"threads is {self.threads!r}; it must be at least 1",
                where="threads",
                fix="Give a number of 1 or more, or None for one thread on each core.",
            )

    def observed(self, name: str) -> tuple[str, ...]:
        """Return which observables of a population are recorded."""
        return (*self.record, "v") if name in self.membranes and "v" not in self.record else self.record

    def recorded(self, names: tuple[str, ...], usual: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Return which of ``names`` are recorded, in their order; ``usual`` ones, or all, where none is asked for.

        Raises:
            DeployError: a node is asked for that does not exist.
        """
        if self.nodes is None:
            return names if usual is None else usual
        for node in self.nodes:
            if node not in names:
                raise DeployError(
                    f"there is no node {node!r}", where="--record-nodes", fix=f"Choose from the nodes {known(names)}."
                )
        return tuple(name for name in names if name in self.nodes)


class Backend(Protocol):
    """The base of all backends, which run a network or a program; other packages derive theirs from it.

    name: as ``--backend`` takes it.
    is_reference: it runs the model itself in float, and the others are compared with it; all others run programs.
    is_chip: it stands for the chip, so a verdict judges what it loses.
    is_slow: it is given all samples at once, and by a comparison the first of them only.
    can_be_ended: it takes a time limit.
    counts: its recordings count events, among them what left a register.
    exact_in: of a vendor's simulator the arithmetic in which the emulator must equal it bit for bit; else None.
    note: what is to be said wherever the backend is listed, or nothing.
    """

    name: str = ""
    is_reference: bool = False
    is_chip: bool = True
    is_slow: bool = False
    can_be_ended: bool = False
    counts: bool = False
    exact_in: str | None = None
    note: str = ""

    def missing(self) -> str | None:
        """Return None if it can run here, else one sentence: what is missing and how to get it."""
        return None

    def run(self, subject: Any, inputs: Inputs, options: RunOptions) -> Recording:
        """Run ``subject`` on ``inputs``; the recording has the rows of the model's own time."""
        raise NotImplementedError


def check_inputs(shapes: dict[str, Shape], inputs: Inputs) -> tuple[int, int]:
    """Return (T, B) of inputs that fit a model's input shapes.

    Raises:
        DeployError: an input is missing, unknown, or of the wrong shape.
    """
    if set(inputs) != set(shapes):
        raise DeployError(
            f"the data holds inputs {known(inputs)}, but the model's inputs are {known(shapes)}",
            where="--input",
            fix="Name each array like the model's input that it is for.",
        )
    extents = set()
    for name, shape in shapes.items():
        values = inputs[name]
        if values.ndim != len(shape) + 2 or values.shape[2:] != shape:
            raise DeployError(
                f"input {name!r} has shape {values.shape}, but the model takes [T, B, *{list(shape)}]",
                where="--input",
                fix=without_batch(values.shape[2:], shape, "MODEL.nir")
                or "Reshape the data; use --batch-first for [B, T, ...] and --encode for static [B, ...].",
            )
        check_levels(values, name, "--input")
        extents.add(values.shape[:2])
    if len(extents) > 1:
        raise DeployError(
            f"the inputs differ in their numbers of steps and samples: {sorted(extents)}",
            where="--input",
            fix="Give all inputs the same number of steps T and of samples B.",
        )
    n_steps, n_samples = extents.pop()
    if not n_steps or not n_samples:
        raise DeployError(
            f"the data holds {n_steps} steps and {n_samples} samples, so there is nothing to run",
            where="--input",
            fix="Give data with at least one step and one sample.",
        )
    return int(n_steps), int(n_samples)


def spike_inputs(program: Program, inputs: Inputs) -> Inputs:
    """Return inputs as a program takes them: uint8 spikes, or int32 payloads where an input is graded.

    Where the host runs the first layers, they are run on the model's inputs.

    Raises:
        DeployError: an input does not fit, is not 0 or 1 throughout, or has values that its payload cannot hold.
    """
    if program.host is not None:
        inputs = entering(program.host, program.inputs, inputs)
    check_inputs(program.inputs, inputs)
    return {name: _spikes_or_payloads(program, name, values) for name, values in inputs.items()}


def _spikes_or_payloads(program: Program, name: str, values: NDArray[Any]) -> NDArray[Any]:
    if name in program.message_bits:
        return payloads(values, program.message_bits[name], program.input_scale.get(name, 1.0), name)
    if not is_binary(values):
        raise DeployError(
            f"input {name!r} holds values other than 0 and 1, but the program for {program.target} takes only spikes",
            where="--input",
            fix="Compile with --calibrate DATA for a target that takes graded input, so that --message-bits and"
            " --input-scale are chosen for such values; or encode it as spikes (--encode rate or latency), or use"
            " --backend reference, which takes currents.",
        )
    return np.ascontiguousarray(values, dtype=np.uint8)


def payloads(values: NDArray[Any], message_bits: int, scale: float, name: str) -> NDArray[np.int32]:
    """Return a graded input as whole numbers, ``rint(values * scale)``.

    Args:
        values: any numbers.
        message_bits: width of a payload, with the sign.
        scale: by what values are multiplied.
        name: of the input, for the message.

    Raises:
        DeployError: a value is not finite or beyond the payload, or all that is not 0 rounds to 0.
    """
    scaled = np.rint(np.asarray(values, np.float64) * scale)
    low, high = -(1 << message_bits - 1), (1 << message_bits - 1) - 1
    if not np.isfinite(scaled).all() or scaled.min(initial=0) < low or scaled.max(initial=0) > high:
        raise DeployError(
            f"input {name!r} holds values of {np.min(values):g} to {np.max(values):g}, but {message_bits} message bits"
            f" at an input scale of {scale:g} hold only {low / scale:g} to {high / scale:g}",
            where="--input",
            fix="Compile with --calibrate DATA that holds such values, with more --message-bits or a smaller"
            " --input-scale, or scale the data.",
        )
    if np.any(values) and not scaled.any():
        raise DeployError(
            f"input {name!r} holds values of {np.min(values):g} to {np.max(values):g}, which all round to 0 at an input"
            f" scale of {scale:g}",
            where="--input",
            fix="Compile with a larger --input-scale.",
        )
    whole: NDArray[np.int32] = np.ascontiguousarray(scaled, dtype=np.int32)
    return whole


def is_binary(values: NDArray[Any]) -> bool:
    """Tell whether all values are 0 or 1."""
    if values.dtype.kind == "b":
        return True
    if values.dtype.kind == "u":
        return int(values.max(initial=0)) <= 1
    return bool(((values == 0) | (values == 1)).all())


def model_rows(values: NDArray[Any], latency: int, n_steps: int, raw_time: bool) -> NDArray[Any]:
    """Return the model's rows of an array whose first axis is hardware steps."""
    return values if raw_time else values[latency : latency + n_steps]


def observables(record: tuple[str, ...], fires: bool) -> tuple[str, ...]:
    """Return what is recorded of a node; one that does not fire has, always and first, ``value`` in place of spikes."""
    return record if fires else ("value", *(key for key in record if key not in ("spikes", "value")))


def register_units(program: Program) -> dict[str, dict[str, Any]]:
    """Return what register units stand for, by node, as recordings keep it; nodes with a scale by channel are left out.

    Row ``value / scale`` is in the model's own unit.
    """
    by_channel = program.provenance.get("per_channel", ())
    return {p.name: {"unit": "V", "scale": p.unit} for p in program.populations if p.name not in by_channel}


def refuse_faults(faults: list[str], program: Program, backend: str, fix: str) -> None:
    """Refuse a program with faults.

    Args:
        faults: what is wrong with it, a sentence each, or nothing.
        program: the program.
        backend: what cannot run it, as the message begins.
        fix: what to do about it.

    Raises:
        DeployError: there are faults; it names them all.
    """
    if faults:
        raise DeployError(
            f"{backend} cannot run this program: " + "; ".join(faults),
            where=f"program for target {program.target}",
            fix=fix,
        )


def expect(kind: type, subject: Any, backend: str) -> None:
    """Refuse a network where a program is needed, and the other way round.

    Raises:
        DeployError: with the command to use.
    """
    if isinstance(subject, kind):
        return
    if kind is Program:
        raise DeployError(
            f"backend {backend!r} runs a compiled program, but this is a model",
            where="--backend",
            fix="Compile it first: neurodeploy compile MODEL.nir --target loihi2 -o prog.npz",
        )
    assert kind is Network
    raise DeployError(
        f"backend {backend!r} runs a model in float, but this is a compiled program",
        where="--backend",
        fix="Give the model's .nir file, or choose --backend emulator.",
    )
