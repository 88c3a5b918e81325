"""The interface of a backend: it runs a network or a program on input and returns a recording."""

from __future__ import annotations

from typing import Any, Protocol

from neurodeploy.errors import DeployError, known
from neurodeploy.ir.network import Network
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs, RunOptions
from neurodeploy.version import __version__


class Backend(Protocol):
    """The base of all backends, which run a network or a program; other packages derive theirs from it.

    name: as ``--backend`` takes it.
    is_reference: it runs the model itself in float, and the others are compared with it; all others run programs.
    is_chip: it stands for the chip, so a verdict judges what it loses.
    is_slow: it is given all samples at once, and by a comparison the first of them only.
    can_be_ended: it takes a time limit.
    counts: its recordings count events, among them what left a register.
    exact_in: of a vendor's simulator the arithmetic in which the emulator must equal it bit for bit; else None.
    families: whose programs it runs, by name; None for all.
    note: what is to be said wherever the backend is listed, or nothing.
    """

    name: str = ""
    is_reference: bool = False
    is_chip: bool = True
    is_slow: bool = False
    can_be_ended: bool = False
    counts: bool = False
    exact_in: str | None = None
    families: tuple[str, ...] | None = None
    note: str = ""

    def missing(self) -> str | None:
        """Return None if it can run here, else one sentence: what is missing and how to get it."""
        return None

    def run(self, subject: Any, inputs: Inputs, options: RunOptions) -> Recording:
        """Run ``subject`` on ``inputs``; the recording has the rows of the model's own time.

        Args:
            subject: the network where the backend is a reference, else the program.
            inputs: ``[T, B, *shape]`` for each input.
            options: what to record, and how to run.
        """
        raise NotImplementedError


def register_units(program: Program) -> dict[str, dict[str, Any]]:
    """Return what register units stand for, by node, as recordings keep it; nodes with a scale by channel are left out.

    Row ``value / scale`` is in the model's own unit.
    """
    by_channel = program.provenance.get("per_channel", ())
    return {p.name: {"unit": "V", "scale": p.unit} for p in program.populations if p.name not in by_channel}


def meta_of(
    backend: str, program: Program, arithmetic: str, options: RunOptions, versions: dict[str, str]
) -> dict[str, Any]:
    """Return what the recording of a program says of its run.

    Args:
        backend: its name.
        program: what ran.
        arithmetic: in which.
        options: how.
        versions: of what computed it, neurodeploy's own aside.
    """
    return {
        "backend": backend,
        "versions": {**versions, "neurodeploy": __version__},
        "target": program.target,
        "arithmetic": arithmetic,
        "dialect": program.dialect,
        "dt": program.dt,
        "latency": program.latency,
        "raw_time": options.raw_time,
        "outputs": list(program.outputs),
        "units": register_units(program),
        "custom_neurons": [p.name for p in program.populations if p.is_custom],
        "model_sha256": program.provenance.get("model_sha256", ""),
    }


def refuse_unrecorded(record: tuple[str, ...], known_ones: tuple[str, ...], who: str) -> None:
    """Refuse observables that somebody does not record.

    Args:
        record: what is asked for.
        known_ones: what there is.
        who: records it, as the message begins.

    Raises:
        DeployError: there are such.
    """
    if unknown := set(record) - set(known_ones):
        raise DeployError(
            f"{who} cannot record {known(unknown)}", where="--record", fix=f"Choose from {known(known_ones)}."
        )


def refuse_other_families(backend: Backend, program: Program) -> None:
    """Refuse a program for a chip family that a backend does not run.

    Raises:
        DeployError: it does not.
    """
    if backend.families is not None and program.family not in backend.families:
        raise DeployError(
            f"backend {backend.name!r} runs programs for the family {known(backend.families)}, but this one is for"
            f" {program.target}, of the family {program.family!r}",
            where="--backend",
            fix="Run it on --backend emulator, or on the simulator of that chip's maker; see `neurodeploy backends`.",
        )


def expect(kind: type, subject: Any, backend: str) -> None:
    """Refuse a network where a program is needed, and the other way round.

    Args:
        kind: ``Program`` or ``Network``, which the backend takes.
        subject: what it was given.
        backend: its name, for the message.

    Raises:
        DeployError: with the command to use.
    """
    if isinstance(subject, kind):
        return
    if kind is Program:
        raise DeployError(
            f"backend {backend!r} runs a compiled program, but this is a model",
            where="--backend",
            fix="Compile it first: neurodeploy compile MODEL.nir --target CHIP -o prog.npz",
        )
    assert kind is Network
    raise DeployError(
        f"backend {backend!r} runs a model in float, but this is a compiled program",
        where="--backend",
        fix="Give the model's .nir file, or choose --backend emulator.",
    )
