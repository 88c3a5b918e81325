"""Run a model or a program on a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from neurodeploy import backends
from neurodeploy.backends.base import Backend
from neurodeploy.budget import MAX_RUN_BYTES
from neurodeploy.coding.data import Data, Samples, blocks
from neurodeploy.coding.data_hash import DataHash
from neurodeploy.coding.given import Given, given_samples
from neurodeploy.errors import BackendError, DeployError, counted
from neurodeploy.families.program_file import is_program, load_program, program_sha256
from neurodeploy.files import existing_file
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.decision import Decision, membranes, settle_decision
from neurodeploy.ir.host import data_inputs
from neurodeploy.ir.network import Network
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import OBSERVABLES, Recording
from neurodeploy.ir.run_options import Inputs, RunOptions

COUNTER_BYTES = 128
"""What the emulator's counters of one population in one step take, while they are cut to its rows."""


def run(
    model: Path | str | Network | Program | Any,
    data: Given,
    *,
    backend: str = "reference",
    dialect: str | None = None,
    options: RunOptions | None = None,
    decide: Decision | str | None = None,
) -> Recording:
    """Run a model or a program on a backend.

    Args:
        model: path of a ``.nir`` or program file, an in-memory ``nir.NIRGraph``, a :class:`Network` or a
            :class:`Program`.
        data: ``[T, B, *shape]`` for each input of the model, or for its only one; or samples, or a file of them.
        backend: name of the backend; ``reference`` runs models, the others run programs.
        dialect: as given to ``--dialect``, for models.
        options: what to record and how to run.
        decide: how a sample is decided, as given to ``--decide``; the recording keeps it, with what it reads.

    Returns:
        The recording, with a row for each row of the input.

    Raises:
        DeployError: the model, the input or an option is refused.
        BackendError: the backend is missing or died.
    """
    subject, options = open_subject(model, dialect), options or RunOptions()
    samples = given_samples(data, data_inputs(subject))
    _check_memory(subject, samples, samples.n_samples, options)
    inputs = samples.part(0, samples.n_samples).x
    return _run_block(subject, inputs, backend, options, decide, Origin(subject))


def _run_block(
    subject: Network | Program,
    inputs: Inputs,
    backend: str,
    options: RunOptions,
    decide: Decision | str | None,
    origin: Origin,
) -> Recording:
    """Run samples that follow on those of which ``origin`` knows."""
    for key in options.record:
        if key not in OBSERVABLES or key == "value":
            raise DeployError(f"{key!r} cannot be recorded", where="--record", fix="Choose from spikes, v, u.")
    chosen = backends.load(backend)
    _check_heeded(backend, chosen, options)
    if (reason := chosen.missing()) is not None:
        raise BackendError(f"backend {backend!r} cannot run here", where="--backend", fix=reason)
    settled = settle_decision(subject, decide)
    options.recorded(tuple(population.name for population in subject.populations))
    options = replace(options, membranes=(*options.membranes, *membranes(subject, settled.decision)))
    recording = chosen.run(subject, inputs, options)
    decision = {} if settled.decision is None else {"decision": str(settled.decision)}
    return replace(recording, meta={**recording.meta, **origin.after(inputs), **decision})


def _check_heeded(name: str, chosen: Backend, options: RunOptions) -> None:
    """Refuse options that a backend would pass over.

    Raises:
        DeployError: it takes no time limit, no arithmetic or no device.
    """
    if options.time_limit is not None and not chosen.can_be_ended:
        endable = [name for name in backends.names() if backends.load(name).can_be_ended]
        raise DeployError(
            f"backend {name!r} takes no time limit",
            where="--time-limit",
            fix=f"Leave --time-limit out; only {' and '.join(endable)} run in a process of their own, which can be"
            " ended.",
        )
    if options.arithmetic is not None and chosen.is_reference:
        raise DeployError(
            f"backend {name!r} computes in float, so there is no integer arithmetic to choose",
            where="--arithmetic",
            fix="Leave --arithmetic out, or run a program on the emulator.",
        )
    if options.device != "cpu" and not chosen.is_reference:
        raise DeployError(
            f"backend {name!r} cannot be sent to the device {options.device!r}",
            where="--device",
            fix="Leave --device out; only the reference, which runs the model in float, takes a device.",
        )


class Origin:
    """The hashes of what recordings are made from: model, program, plan, and the input so far."""

    def __init__(self, subject: Network | Program) -> None:
        self._data = DataHash()
        if isinstance(subject, Network):
            self._of_subject = {"model_sha256": subject.sha256}
            return
        found = {key: subject.provenance.get(key, "") for key in ("model_sha256", "plan_sha256")}
        self._of_subject = {**found, "program_sha256": program_sha256(subject)}

    def after(self, inputs: Inputs) -> dict[str, str]:
        """Return the hashes once the next samples are added, ``[T, B, *shape]`` for each input."""
        self._data.add(inputs)
        return {**self._of_subject, "data_sha256": self._data.hexdigest()}


def run_blocks(
    subject: Network | Program,
    data: Samples,
    *,
    backend: str = "reference",
    options: RunOptions | None = None,
    decide: Decision | str | None = None,
) -> Iterator[tuple[Data, Recording]]:
    """Run data of any size on a backend, a block of samples at a time.

    Args:
        subject: what is run. data: in memory, or a :class:`neurodeploy.coding.data_file.DataFile`.
        backend, options, decide: as for :func:`run`.

    Yields:
        The block's data and its recording.

    Raises:
        DeployError, BackendError: as :func:`run`.
    """
    options = options or RunOptions()
    # Another process takes seconds to start, and is given all at once.
    origin, at_once = Origin(subject), backends.load(backend).is_slow
    _check_memory(subject, data, data.n_samples if at_once else 1, options)
    each = 0 if at_once else recorded_bytes(subject, data.n_steps, options)
    for first, part in blocks(data, each):
        told = replace(options, progress=_of_all(options.progress, first, part.n_samples, data.n_samples))
        yield part, _run_block(subject, part.x, backend, told, decide, origin)


def _check_memory(subject: Network | Program, data: Samples, n_samples: int, options: RunOptions) -> None:
    """Refuse to record more samples at once than the limit allows, before there is anything of them in memory."""
    samples, steps = counted(n_samples, "sample"), counted(data.n_steps, "step")
    MAX_RUN_BYTES.check(
        n_samples * recorded_bytes(subject, data.n_steps, options),
        f"a recording of {samples} of {steps} at once",
        data.source,
        "Give fewer samples or steps, or record less: fewer of --record, or --record-nodes.",
    )


def recorded_bytes(subject: Network | Program, n_steps: int, options: RunOptions) -> int:
    """Return what a sample takes while it runs: its input, what is recorded of it, and the emulator's counters.

    Args:
        subject: what runs.
        n_steps: steps of the data.
        options: what is recorded.
    """
    names = options.recorded(tuple(population.name for population in subject.populations))
    sizes = {population.name: prod(population.shape) for population in subject.populations}
    n_units = sum(sizes[name] for name in names)
    # The emulator keeps columns of the same width for all that is recorded of any node.
    states = {key for name in names for key in options.observed(name) if key != "spikes"}
    states |= {"v" for name in names if not subject.fires(name)}
    is_graded = any(subject.is_graded(name) for name in names)
    n_inputs = sum(prod(shape) for shape in {**subject.inputs, **data_inputs(subject)}.values())
    each = n_units * (1 + 4 * is_graded + 4 * len(states))
    return n_steps * (each + 4 * n_inputs + COUNTER_BYTES * len(sizes))


def _of_all(
    progress: Callable[[int, int], None] | None, first: int, n: int, n_all: int
) -> Callable[[int, int], None] | None:
    """Return a function that reports a block's progress as that of all samples."""
    if progress is None or n == n_all:
        return progress
    return lambda done, total: progress(first + done * n // max(total, 1), n_all)


def open_subject(model: Path | str | Network | Program | Any, dialect: str | None = None) -> Network | Program:
    """Return what a backend runs: a program file as a program, anything else as a network.

    Raises:
        DeployError: it is neither, or a dialect is said for what is no file of a model.
    """
    is_file = isinstance(model, (str, Path)) and is_program(existing_file(model, "a model or a program"))
    if dialect is not None and (is_file or isinstance(model, (Network, Program))):
        raise DeployError(
            "a dialect says how a NIR file is read, and this is a program or a network, which has been read already",
            where="--dialect",
            fix="Leave --dialect out here, and give it where the NIR file is read, for instance to `neurodeploy"
            " compile`.",
        )
    if isinstance(model, (Network, Program)):
        return model
    return load_program(Path(model)) if is_file else read_network(model, dialect)[0]
