"""Integer codes of a population that lies on a Xylo chip: in its hidden layer, or among its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from neurodeploy.arrays import finite, frozen_array
from neurodeploy.families.xylo.codes import RANGES, STATE_MAX
from neurodeploy.ir.codes import MAX_LATENCY, CodedPopulation, outside, whole_shape
from neurodeploy.ir.program import Program
from neurodeploy.ir.synapses import Shape

ROLES = ("hidden", "output")
REGISTERS = ("dash_syn", "dash_mem", "threshold_code", "bias_code")

NEVER_FIRES = STATE_MAX
"""Threshold code of an integrator, whose v is read: what it holds at most."""


@dataclass(frozen=True, eq=False, slots=True)
class XyloPopulation(CodedPopulation):
    """Registers of a population; every array of codes is int32 (n,) in C order over ``shape``.

    name, shape: as the float population has them.
    latency: hardware step (from 0) of the model's row 0.
    unit: register units of v per volt, the median of ``units``.
    role: ``hidden``, which sends up to 31 spikes in a step, or ``output``, which sends one.
    dash_syn, dash_mem: the current, and v, lose ``x >> dash`` in a step.
    threshold_code: the neuron fires when ``v >= threshold_code``, and v loses it for each spike.
    bias_code: added to v in each step.
    units: float64 (n,), register units of v per volt of the float model, of each neuron.
    fires: False for an integrator, whose v is read.
    helps: the purpose of a population that the model does not have; empty for the model's own.
    """

    family: ClassVar[str] = "xylo"

    name: str
    shape: Shape
    latency: int
    unit: float
    role: str
    dash_syn: NDArray[Any]
    dash_mem: NDArray[Any]
    threshold_code: NDArray[Any]
    bias_code: NDArray[Any]
    units: NDArray[Any]
    fires: bool = True
    helps: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", whole_shape(self.name, self.shape))
        if self.role not in ROLES:
            raise ValueError(f"XyloPopulation {self.name!r} has role {self.role!r}, which is not one of {ROLES}")
        if not finite(self.unit):
            raise ValueError(f"XyloPopulation {self.name!r} has a unit of {self.unit!r}, but it must be finite")
        if not isinstance(self.fires, bool) or not isinstance(self.helps, str):
            raise ValueError(f"XyloPopulation {self.name!r} has fires {self.fires!r} and helps {self.helps!r}")
        for key in REGISTERS:
            object.__setattr__(self, key, frozen_array(self._whole(key), np.int32, (self.size,)))
        object.__setattr__(self, "units", frozen_array(self.units, np.float64, (self.size,)))

    @property
    def is_graded(self) -> bool:
        """Whether what it sends in a step can be other than 0 and 1."""
        return self.role == "hidden" or not self.fires

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return its registers, by name."""
        return {key: getattr(self, key) for key in REGISTERS}

    def entry(self) -> dict[str, Any]:
        """Return what the manifest of a program file has of it, beside its arrays."""
        plain = ("name", "shape", "latency", "unit", "role", "fires", "helps")
        return {**{key: getattr(self, key) for key in plain}, "units": self.units.tolist()}

    @classmethod
    def of_file(cls, entry: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> XyloPopulation:
        """Return the population of a manifest's entry and of the arrays that the file has of it, by name."""
        registers: dict[str, Any] = {key: arrays[key] for key in REGISTERS}
        return cls(**entry, **registers)

    def needs(self) -> frozenset[str]:
        """Return what it needs of whoever computes with it beyond Xylo's neuron: nothing."""
        return frozenset()

    def faults(self) -> list[str]:
        """Return which codes no register holds, or have no meaning, a sentence each."""
        found = [f"{self.name}: {fault}" for fault in outside({"latency": (self.latency, (0, MAX_LATENCY))})]
        for key, codes in self.arrays().items():
            low, high = (1, STATE_MAX) if key == "threshold_code" else RANGES[key]
            if codes.size and (codes.min() < low or codes.max() > high):
                found.append(
                    f"{self.name}: {key} is {codes.min()} to {codes.max()}, but registers hold {low} to {high}"
                )
        if self.size and not (self.unit > 0 and np.isfinite(self.units).all() and (self.units > 0).all()):
            found.append(f"{self.name}: its register units per volt have to be finite and above 0")
        return found

    def _whole(self, key: str) -> NDArray[Any]:
        """Return codes that are whole numbers of 32 bits, so that none is rounded or wraps in silence."""
        codes, info = np.asarray(getattr(self, key)), np.iinfo(np.int32)
        if codes.size and (codes.dtype.kind not in "iu" or codes.min() < info.min or codes.max() > info.max):
            raise ValueError(f"XyloPopulation {self.name!r} has {key} that is not whole numbers of 32 bits")
        return codes


XyloProgram = Program[XyloPopulation]
