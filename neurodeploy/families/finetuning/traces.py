"""Runs of a forward pass in a chip's integers: spikes and registers of each population, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from neurodeploy.ir.program import Program


@dataclass(frozen=True, slots=True)
class Trace:
    """A whole run of one population in hardware rows, ``[rows, B, n]``: what it sent, and its registers after."""

    fired: Tensor
    v: Tensor
    u: Tensor


def model_rows(program: Program[Any], traces: Mapping[str, Trace], n_steps: int) -> dict[str, Trace]:
    """Return the rows that are the model's, latencies cut.

    Args:
        program: what ran.
        traces: its hardware rows, by population.
        n_steps: rows of its input.
    """
    found = {}
    for name, trace in traces.items():
        first = program.latency[name]
        keep = slice(first, first + n_steps)
        found[name] = replace(trace, fired=trace.fired[keep], v=trace.v[keep], u=trace.u[keep])
    return found
