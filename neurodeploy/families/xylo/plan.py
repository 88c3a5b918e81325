"""Decisions of quantisation for Xylo: registers and units of each population, and the shift of each matrix."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class XyloPopulationPlan:
    """Decisions for a population, a number for each neuron; None is decided anew.

    dash_syn, dash_mem, threshold, bias: codes. units: register units per volt that a weight brings.
    """

    dash_syn: list[int] | None = None
    dash_mem: list[int] | None = None
    threshold: list[int] | None = None
    bias: list[int] | None = None
    units: list[float] | None = None


@dataclass(frozen=True, slots=True)
class XyloPlan:
    """Decisions by name of population, and the shifts of the matrices ``in``, ``rec`` and ``out``."""

    shifts: dict[str, int] = field(default_factory=dict)
    populations: dict[str, XyloPopulationPlan] = field(default_factory=dict)
