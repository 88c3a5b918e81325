"""The interface of a framework's adapter: how its neurons are called, observed and written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, ClassVar

from neurodeploy.ir.synapses import Shape


@dataclass(frozen=True, eq=False, slots=True)
class Call:
    """One call of a neuron.

    lead: the leading axes of all tensors: ``B`` (one step), ``TB``, ``BT``, or ``t`` and ``b`` for the same two as one
        axis. input_shape: with them. out: its spikes, or v of a neuron that does not fire. v, i: the states that it
        carries on, None if it has none.
    """

    lead: str
    input_shape: Shape
    out: Any
    v: Any = None
    i: Any = None


@dataclass(frozen=True, eq=False, slots=True)
class NeuronNodes:
    """A neuron as NIR nodes.

    node: the neuron. findings: lines to print. entering: synapses of its own before it, one node or several in a row,
    or None. recurrent: synapses from its spikes to itself, a step later, likewise. leaving: what all its spikes pass
    first, or None.
    """

    node: Any
    findings: list[str] = field(default_factory=list)
    entering: Any | None = None
    recurrent: Any | None = None
    leaving: Any | None = None
    currents: tuple[tuple[Any, Any, Any | None], ...] = ()


class Adapter:
    """One framework; a subclass for each says how its neurons are found, called and written.

    package: of the framework, also the name of its dialect. label: as people write it. kinds: names of the neuron
    classes that are exported. states: names of their states in a state dict.
    advice: what to take instead of neurons that are not exported, by the beginning of their names. encoders: what to do
    with modules that make spikes of the data, by name.
    forms: how its models may want their input, see :class:`neurodeploy.exporters.convention.Convention`. dt: seconds
    per step unless the neurons know it themselves.
    """

    package = ""
    label = ""
    kinds: tuple[str, ...] = ()
    advice: ClassVar[Mapping[str, str]] = {}
    encoders: ClassVar[Mapping[str, str]] = {}
    states: tuple[str, ...] = ()
    forms: tuple[str, ...] = ("static", "sequence", "batch-first", "time-last")
    dt = 1e-4

    def is_neuron(self, module: Any) -> bool:
        """Tell whether a module is a neuron of the framework, exported or not."""
        raise NotImplementedError

    def kind_of(self, module: Any) -> str | None:
        """Return the class name of a neuron that is exported, else None; a subclass of it must keep ``forward``."""
        raise NotImplementedError

    def problems(self, module: Any) -> list[str]:
        """Return what a neuron does that neither NIR nor our rules can say."""
        raise NotImplementedError

    def parts(self, module: Any) -> list[Any]:
        """Return the modules inside a neuron that are looked at with it, and not on their own."""
        return []

    def own_dt(self, module: Any) -> float | None:
        """Return the seconds per step that a neuron was built with, or None if it has none."""
        return None

    def passes_state(self, model: Any) -> bool:
        """Tell whether a model that is called step by step takes and returns the state of its neurons."""
        return False

    def lead(self, module: Any) -> str:
        """Return the leading axes that a neuron takes; see :class:`Call`."""
        return "B"

    def prepare(self, model: Any) -> None:
        """Take from a model what only watches it, and could fail on the inputs that it is tried with."""

    def clear(self, module: Any, n_samples: int) -> None:
        """Make a neuron forget its states, and expect a number of samples."""
        raise NotImplementedError

    def start_recording(self, module: Any) -> None:
        """Make a neuron keep its states of every step; one that takes single steps does so anyway."""

    def stop_recording(self, module: Any) -> None:
        """Undo :meth:`start_recording`."""

    def given(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the states with which a call begins, by name.

        Args:
            module: of neurons. args, kwargs: of the call.
        """
        raise NotImplementedError

    def left(self, module: Any, output: Any) -> dict[str, Any]:
        """Return the states that a call left, by name."""
        raise NotImplementedError

    def views(self, module: Any, output: Any) -> dict[str, Any]:
        """Return what a call gave beside its output and :meth:`left`, by the name of the state that it holds."""
        return {}

    def call(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Call:
        """Return what a call took and gave.

        Args:
            module: of neurons. args, kwargs: of the call. output: what it returned.
        """
        raise NotImplementedError

    def nodes(self, name: str, module: Any, shape: Shape, dt: float) -> NeuronNodes:
        """Return a neuron of ``shape`` as NIR nodes.

        Args:
            name: of the node. module: of neurons. shape: of the neurons. dt: seconds per step.

        Raises:
            DeployError: it has parameters that do not fit, or that NIR and our metadata cannot say.
        """
        raise NotImplementedError


def kind_among(module: Any, classes: Iterable[Any]) -> str | None:
    """Return the name of the class that a module is of, or that its class sets up otherwise and leaves as it is."""
    known = set(classes)
    for cls in type(module).__mro__:
        if cls in known:
            return str(cls.__name__)
        own = {key for key, value in vars(cls).items() if isinstance(value, _METHODS)}
        if own - {"__init__", "extra_repr", "__repr__"}:
            return None
    return None


_METHODS = (FunctionType, property, staticmethod, classmethod)


def class_name(module: Any) -> str:
    """Return the name of a module's class as its author wrote it."""
    return str(type(module).__name__)


def first_argument(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return what a module was called with first."""
    return args[0] if args else next(iter(kwargs.values()))
