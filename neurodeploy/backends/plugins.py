"""Backends of other packages, found by entry points of the group ``neurodeploy.backends``.

Each names a class (or a function without arguments) that gives a :class:`~neurodeploy.backends.base.Backend`. What it
does not say of itself is as the base class says: it stands for the chip, so a verdict judges what it loses.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.base import Backend
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.ir.network import Network
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs, RunOptions
from neurodeploy.ir.synapses import Shape

GROUP = "neurodeploy.backends"

_SAID = ("is_reference", "is_chip", "is_slow", "can_be_ended", "counts", "exact_in", "families", "note")


def names() -> tuple[str, ...]:
    """Return the names that other packages give their backends."""
    return tuple(sorted({entry.name for entry in entry_points(group=GROUP)}))


class PlugIn(Backend):
    """A backend of another package; whatever is wrong with it stays its own."""

    def __init__(self, name: str) -> None:
        self.name, self._made, self._fault = name, None, ""
        (entry, *_) = entry_points(group=GROUP, name=name)
        try:
            self._made = _made(entry)
            for key in _SAID:
                setattr(self, key, getattr(self._made, key, getattr(Backend, key)))
        except (Exception, SystemExit) as error:  # whatever another package does as it is imported
            self._fault = f"its package {_package(entry)} cannot be imported: {_told(error)}"

    def missing(self) -> str | None:
        """Return None if it can run here, else its own reason, or the error that it raised."""
        if self._made is None:
            return self._fault
        try:
            reason = self._made.missing()
        except (Exception, SystemExit) as error:  # whatever another package raises
            return f"it could not say whether it can run: {_told(error)}"
        return None if reason is None else str(reason)

    def run(self, subject: Any, inputs: Inputs, options: RunOptions) -> Recording:
        """Run it.

        Raises:
            DeployError: it refuses.
            BackendError: it died, or gave no recording.
        """
        where, fix = f"backend {self.name!r}", "Ask the authors of the package that it comes from."
        try:
            found = None if self._made is None else self._made.run(subject, _read_only(inputs), options)
        except DeployError:
            raise
        except (Exception, SystemExit) as error:  # whatever another package raises
            raise BackendError(f"the backend died: {_told(error)}", where=where, fix=fix) from error
        if (fault := _fault(found, subject, inputs, options)) is not None:
            raise BackendError(
                f"what the backend returned is not a recording of this input: {fault}", where=where, fix=fix
            )
        return found  # type: ignore[return-value]


def _read_only(inputs: Inputs) -> Inputs:
    """Return views that a backend cannot write to, so that the next one is given the same input."""
    views = {name: values.view() for name, values in inputs.items()}
    for values in views.values():
        values.flags.writeable = False
    return views


def _fault(found: Any, subject: Program | Network, inputs: Inputs, options: RunOptions) -> str | None:
    """Return why what a backend returned is not a recording of the subject on the input, or None."""
    if not isinstance(found, Recording):
        return f"it is a {type(found).__name__}, not a Recording"
    extent, given = next(iter(inputs.values())).shape[:2], (found.n_steps, found.n_samples)
    if given != extent and not (options.raw_time and given[1] == extent[1]):
        return f"it has {given[0]} steps of {given[1]} samples, but the input has {extent[0]} of {extent[1]}"
    n_nodes = len(found.meta.get("counter_nodes", ()))
    if any(values.shape[2:] != (n_nodes,) for values in found.counters.values()):
        return f"its counters are not of the {n_nodes} nodes in meta['counter_nodes']"
    shapes = {population.name: population.shape for population in subject.populations}
    recorded = (
        (node, key, values)
        for node, observed in found.nodes.items()
        if node in shapes
        for key, values in observed.items()
    )
    faults = (_array_fault(f"{key!r} of {node}", values, shapes[node], key) for node, key, values in recorded)
    return next((fault for fault in faults if fault is not None), None)


def _array_fault(what: str, values: NDArray[Any], shape: Shape, key: str) -> str | None:
    """Return why an array cannot be what was recorded of a population of this shape, or None."""
    if values.shape[2:] != shape:
        return f"{what} has shape {list(values.shape[2:])} in each step, but the population has {list(shape)}"
    if values.dtype.kind not in ("iu" if key == "spikes" else "iuf"):
        return f"{what} is of type {values.dtype}, but {'whole ' * (key == 'spikes')}numbers are needed"
    if not np.isfinite(values).all():
        return f"{what} holds NaN or infinite values"
    return None


def _made(entry: EntryPoint) -> Any:
    """Return what an entry point names, made; TypeError if it is no backend."""
    made = entry.load()()
    if lacking := [method for method in ("missing", "run") if not callable(getattr(made, method, None))]:
        raise TypeError(f"{entry.value} has no method {' or '.join(lacking)}")
    return made


def _package(entry: EntryPoint) -> str:
    return entry.value if entry.dist is None else f"{entry.dist.name} ({entry.value})"


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
