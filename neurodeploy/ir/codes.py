"""Integer codes of populations and projections: what a chip's registers and synapses hold, whatever the chip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arrays import frozen_array
from neurodeploy.budget import MAX_NEURONS
from neurodeploy.ir.needs import LAYOUT, needs_of
from neurodeploy.ir.synapses import Conv2d, Pair, Shape, as_map

SIGN_MODES = ("mixed", "excitatory", "inhibitory")

MAX_LATENCY = 10_000

GEOMETRY_RANGES = {"stride": (1, 2**31 - 1), "padding": (0, 2**31 - 1), "dilation": (1, 2**31 - 1)}
"""Of a convolution, for rows and for columns."""

MESSAGE_BITS = (0, 24)
"""Of a graded spike's payload, with the sign. Source: lava-nc 0.10.0, ``num_message_bits``."""

MAX_AXES = 32
"""Of a node's shape; NumPy allows some more, and two are for time and samples."""


def outside(values: dict[str, tuple[Any, tuple[int, int]]]) -> list[str]:
    """Return which single values are no whole numbers within their range."""
    return [
        f"{key} is {value!r}, but it must be a whole number from {low} to {high}"
        for key, (value, (low, high)) in values.items()
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not low <= value <= high
    ]


class CodedPopulation(ABC):
    """A population's registers; each chip family has its own, a frozen dataclass of codes, int32 (n,) over ``shape``.

    family: name of the chip family.
    latency: hardware step (from 0) of the model's row 0.
    unit: register units per volt of the float model.
    helps: what a population that the model does not have is there for; empty for the model's own.
    """

    __slots__ = ()

    family: ClassVar[str]
    name: str
    shape: Shape
    latency: int
    unit: float
    helps: str

    @property
    def size(self) -> int:
        """The number of neurons."""
        return prod(self.shape)

    @property
    @abstractmethod
    def fires(self) -> bool:
        """Whether it sends spikes; one that does not is read as a value."""

    @property
    @abstractmethod
    def is_graded(self) -> bool:
        """Whether what it sends can be other than 0 and 1."""

    @property
    def is_custom(self) -> bool:
        """Whether it is no neuron that the chip has, so that it would have to be programmed."""
        return False

    @abstractmethod
    def needs(self) -> frozenset[str]:
        """Return what it needs of whoever computes with it beyond a plain neuron; see :mod:`neurodeploy.ir.needs`."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return its codes by name, as program files have them."""

    @abstractmethod
    def faults(self) -> list[str]:
        """Return which codes no register holds, a sentence each."""

    @abstractmethod
    def entry(self) -> dict[str, Any]:
        """Return what the manifest of a program file has of it, beside its arrays."""

    @classmethod
    @abstractmethod
    def of_file(cls, entry: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the population of a manifest's entry and of the arrays that the file has of it, by name."""


_PLAIN_SYNAPSES = ("source", "target", "weight", "exponent", "weight_bits", "sign_mode", "delay")
"""Of a projection, what everybody reads."""


@dataclass(frozen=True, eq=False, slots=True)
class CodedProjection:
    """Integer synapses from a population or an input to a population.

    weight: int16, dense ``(n_out, n_in)``, convolution ``(c_out, c_in / groups, h, w)`` as torch has it, or sparse
        ``(stored,)``; already clipped and truncated as ``weight_bits`` and the sign mode have it.
    exponent: the weight counts ``weight << exponent``.
    sign_mode: ``mixed``, ``excitatory`` or ``inhibitory``.
    delay: hardware steps from a spike to its arrival; 0 where it acts in its own step.
    stride, padding, dilation, groups: of a convolution, else ``None``.
    n_out, indices, indptr: of sparse synapses, else ``None``; int32 (stored,) and int64 (n_in + 1,), as a
        ``scipy.sparse.csc_array`` of (n_out, n_in) has them: source j's weights are ``weight[indptr[j]:indptr[j + 1]]``
        and reach the neurons ``indices`` of the same places, ascending and without repeats.
    message_bits: of the payload of a graded spike, which multiplies the weight; 0 where a spike just counts 1.
    """

    source: str
    target: str
    weight: NDArray[Any]
    exponent: int
    weight_bits: int
    sign_mode: str
    delay: int
    stride: Pair | None = None
    padding: Pair | None = None
    dilation: Pair | None = None
    groups: int | None = None
    n_out: int | None = None
    indices: NDArray[Any] | None = None
    indptr: NDArray[Any] | None = None
    message_bits: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", frozen_array(fitting(self.weight, np.int16), np.int16))
        if self.sign_mode not in SIGN_MODES:
            raise ValueError(f"{self.name} has sign mode {self.sign_mode!r}, which is not one of {SIGN_MODES}")
        if faults := outside({"delay": (self.delay, (0, 2**31 - 1))}):
            raise ValueError(f"{self.name}: {faults[0]}")
        if self.weight.ndim != (4 if self.is_conv else 1 if self.is_sparse else 2):
            raise ValueError(f"{self.name} has weights of shape {self.weight.shape}")
        if self.is_conv:
            self._check_geometry()
        elif self.is_sparse:
            self._check_sparse()

    @property
    def name(self) -> str:
        """The name in messages."""
        return f"{self.source} -> {self.target}"

    @property
    def is_conv(self) -> bool:
        """Whether the weights are a convolution's."""
        return self.stride is not None

    @property
    def is_sparse(self) -> bool:
        """Whether only some pairs of neurons have a synapse."""
        return self.indptr is not None

    @property
    def kind(self) -> str:
        """``dense``, ``conv`` or ``sparse``."""
        return "conv" if self.is_conv else "sparse" if self.is_sparse else "dense"

    def needs(self) -> frozenset[str]:
        """Return what it needs of whoever computes with it; see :mod:`neurodeploy.ir.needs`."""
        own = {"delay": self.delay > 1, "negative-exponent": self.exponent < 0}
        return needs_of(self, LAYOUT, _PLAIN_SYNAPSES) | {need for need, is_so in own.items() if is_so}

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape that leaves when ``shape`` enters; ValueError if it cannot enter."""
        if self.is_conv:
            return self.conv().output_shape(as_map(shape))
        if self.indptr is not None:
            n_out, n_in = self.n_out or 0, len(self.indptr) - 1
        else:
            n_out, n_in = self.weight.shape
        if prod(shape) != n_in:
            raise ValueError(f"takes {n_in} inputs, got shape {shape}")
        return (n_out,)

    def conv(self) -> Conv2d:
        """Return the same convolution in float, for shapes and reference arithmetic."""
        assert self.stride and self.padding is not None and self.dilation and self.groups
        return Conv2d(self.weight, None, self.stride, self.padding, self.dilation, self.groups)

    def row_sums(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the sums of negative and of positive weights into each neuron, or each channel of a convolution."""
        low, high = (np.minimum(self.weight, 0), np.maximum(self.weight, 0))
        if self.indices is not None:
            sums = (np.bincount(self.indices, side, self.n_out or 0) for side in (low, high))
        else:
            sums = (side.reshape(len(side), -1).sum(axis=1, dtype=np.int64) for side in (low, high))
        first, second = (np.asarray(side).astype(np.int64) for side in sums)
        return first, second

    def _check_geometry(self) -> None:
        single = {"groups": (self.groups, (1, 2**31 - 1))}
        for key, limits in GEOMETRY_RANGES.items():
            pair = getattr(self, key)
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ValueError(f"{self.name} has {key} {pair!r}, but it must be two whole numbers")
            single |= {f"{key} of {axis}": (n, limits) for axis, n in zip(("rows", "columns"), pair, strict=True)}
        if faults := outside(single):
            raise ValueError(f"{self.name}: " + "; ".join(faults))
        for key in GEOMETRY_RANGES:
            object.__setattr__(self, key, tuple(int(n) for n in getattr(self, key)))

    def _check_sparse(self) -> None:
        if self.indices is None or outside({"n_out": (self.n_out, (0, 2**31 - 1))}):
            raise ValueError(f"{self.name} has sparse synapses without indices, or into {self.n_out!r} neurons")
        MAX_NEURONS.check(np.asarray(self.indptr).size - 1, "what sparse synapses start from", self.name)
        for key, dtype in (("indices", np.int32), ("indptr", np.int64)):
            object.__setattr__(self, key, frozen_array(fitting(getattr(self, key), dtype), dtype))
        assert self.indices is not None and self.indptr is not None and self.n_out is not None
        if self.indices.shape != self.weight.shape or self.indptr.ndim != 1 or len(self.indptr) < 1:
            raise ValueError(f"{self.name} has {self.weight.size} sparse weights and {self.indices.size} indices")
        ends = self.indptr[0] == 0 and self.indptr[-1] == self.weight.size and (np.diff(self.indptr) >= 0).all()
        if not ends or self.indices.min(initial=0) < 0 or self.indices.max(initial=-1) >= self.n_out:
            raise ValueError(f"{self.name} has sparse synapses that point outside {self.n_out} neurons")
        falls = np.diff(self.indices) <= 0
        starts = self.indptr[1:-1]
        falls[starts[(starts > 0) & (starts < self.indices.size)] - 1] = False
        if falls.any():
            raise ValueError(f"{self.name} has sparse synapses that are not in order, or twice between two neurons")


def whole_shape(name: str, shape: Any) -> Shape:
    """Return the shape of a node as a tuple of whole numbers.

    Raises:
        ValueError: it is none.
        DeployError: it has more neurons than :data:`neurodeploy.budget.MAX_NEURONS` allows.
    """
    is_list = isinstance(shape, (tuple, list)) and len(shape) <= MAX_AXES
    if not is_list or outside({str(i): (n, (0, 2**31 - 1)) for i, n in enumerate(shape)}):
        raise ValueError(f"{name} has shape {shape!r}, but it must be at most {MAX_AXES} whole numbers of at least 0")
    MAX_NEURONS.check(prod(shape), f"shape {list(shape)}", f"node {name!r}")
    return tuple(int(n) for n in shape)


def fitting(values: Any, dtype: type[np.integer[Any]]) -> Any:
    """Return values if they are integers that the dtype holds, so that none is rounded or wraps in silence."""
    array, info = np.asarray(values), np.iinfo(dtype)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"codes must be integers, got {array.dtype}")
    if array.size and (array.min() < info.min or array.max() > info.max):
        raise ValueError(f"codes of {array.min()} to {array.max()} do not fit {info.dtype}")
    return values
