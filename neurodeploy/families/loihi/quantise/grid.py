"""Weights that were trained quantised: whole numbers of a step, which codes can keep exactly.

Binary and ternary weights and those of Brevitas, LSQ and the like lie on such a grid, for a whole layer or for each
output channel (also once normalisation is folded in). The scale is then chosen so that codes are the owner's own whole
numbers times a power of two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.loihi.weights import WeightRange
from neurodeploy.passes.fold import Folded

Floats = NDArray[np.float64]

MOST_LEVELS = 256
"""Largest whole number that a grid may have: none larger has a code."""

SAMPLE = 4096
"""Weights, evenly spaced, that are looked at first; most layers lie on no grid, and are many."""

FEWEST = 3
"""Weights other than 0 that tell a channel's own grid: any one or two numbers lie on one."""

TOLERANCE = 2e-5
"""By how much a weight may miss its whole number, by the largest one: rounding of float32."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Weights are ``step`` times whole numbers from ``low`` to ``high``.

    has_zero: whether 0 is among them. per_code: codes that are one step.
    """

    step: float
    low: int
    high: int
    has_zero: bool
    per_code: int = 1

    @property
    def filling(self) -> float:
        """Codes per unit of weight at which they are kept."""
        return self.per_code / self.step

    @property
    def title(self) -> str:
        """The name in messages."""
        steps = 1.0 / self.step
        step = f"1/{round(steps)}" if steps > 1.5 and abs(steps - round(steps)) < 1e-4 * steps else f"{self.step:.4g}"
        if max(-self.low, self.high) == 1 and self.low < 0:
            return f"{'ternary' if self.has_zero else 'binary'} grid of {step}"
        bits = max(int(self.high).bit_length(), int(max(-self.low - 1, 0)).bit_length()) + (self.low < 0)
        return f"{max(bits, 1)}-bit grid of {step}"

    def fitting(self, codes: WeightRange) -> Grid | None:
        """Return it with the most codes to a step that the range holds, a power of two; None if it holds none."""
        unit = codes.step - codes.offset
        if codes.offset and self.has_zero:
            return None
        fits = [
            unit << shift
            for shift in range(9)
            if (unit << shift) * self.high <= codes.high and (unit << shift) * self.low >= codes.low
        ]
        return replace(self, per_code=max(fits)) if fits else None


def find_grid(weight: Floats) -> Grid | None:
    """Return the grid that all weights of an array lie on, or None; that of a single value is that value."""
    flat = np.asarray(weight, np.float64).ravel()
    for values in (flat[:: max(1, flat.size // SAMPLE)], flat):
        grid = _grid_of(values)
        if grid is None:
            return None
    return grid


def channel_steps(weight: Floats) -> Floats | None:
    """Return the step of each row's own grid, float64 (n_out,), or None; rows of zeros have that of the largest."""
    rows = weight.reshape(len(weight), -1)
    steps = np.zeros(len(rows))
    for index, row in enumerate(rows):
        if row.any():
            grid = find_grid(row)
            if grid is None or np.count_nonzero(row) < FEWEST:
                return None
            steps[index] = grid.step
    steps[steps == 0] = steps.max(initial=0.0)
    return steps if steps.all() and len(rows) > 1 else None


def channel_gains(folded: list[Folded], n_channels: int) -> Floats | None:
    """Return gains after which all weights into a population lie on grids of whole layers, or None.

    Args:
        folded: all that flows into the population.
        n_channels: of the population.
    """
    dense = [f.weight for f in folded if not f.is_sparse and len(f.weight) == n_channels]
    for weight in dense:
        if (steps := channel_steps(weight)) is not None:
            return np.asarray(steps.max() / steps, np.float64)
    return None


def aligned(grids: list[Grid | None], ranges: list[WeightRange]) -> list[Grid | None]:
    """Return grids of projections into one population with codes that share one unit, up to powers of two.

    Where no unit keeps all of them, those that the first allows are kept.
    """
    fitted = [g.fitting(r) if g is not None else None for g, r in zip(grids, ranges, strict=True)]
    known = [(g, r) for g, r in zip(fitted, ranges, strict=True) if g is not None]
    if len(known) < 2:
        return fitted
    first, of_first = known[0]
    unit = of_first.step - of_first.offset
    tried = sorted(range(unit, first.per_code + unit, unit), key=lambda codes: (codes & (codes - 1) != 0, -codes))
    best: list[Grid | None] = [first]
    for per_code in tried:
        base = replace(first, per_code=per_code)
        found = [None if g is None else _matched(g, r, base.filling) for g, r in zip(fitted, ranges, strict=True)]
        if best == [first] or sum(g is not None for g in found) > sum(g is not None for g in best):
            best = found
    return best


def is_kept(weight: Floats, rounded: Floats) -> bool:
    """Tell whether codes stand for the very weights, but for float32's own rounding."""
    largest = float(np.abs(weight).max(initial=0.0))
    return bool(np.abs(weight - rounded).max(initial=0.0) <= TOLERANCE * largest)


def _matched(grid: Grid, codes: WeightRange, filling: float) -> Grid | None:
    """Return a grid with as many codes to a step as a unit gives it, up to powers of two, if they are whole."""
    unit = codes.step - codes.offset
    for shift in range(-7, 8):
        per_code = filling * 2.0**shift * grid.step
        whole = round(per_code)
        fits = whole * grid.high <= codes.high and whole * grid.low >= codes.low
        if whole >= unit and whole % unit == 0 and abs(per_code - whole) < TOLERANCE * per_code and fits:
            return replace(grid, per_code=whole)
    return None


def _grid_of(values: Floats) -> Grid | None:
    """Return the coarsest grid of some weights: their least size, or a whole part of it."""
    sizes = np.unique(np.abs(values))
    largest = float(sizes[-1]) if sizes.size else 0.0
    if largest == 0:
        return None
    sizes = sizes[sizes > TOLERANCE * largest / 2]
    apart = np.concatenate([[True], np.diff(sizes) > TOLERANCE * largest])
    sizes = sizes[apart]
    if sizes.size > MOST_LEVELS:
        return None
    for parts in range(1, MOST_LEVELS + 1):
        step = float(sizes[0]) / parts
        if largest / step > MOST_LEVELS + 0.5:
            return None
        # The largest has the most digits: the step is refined by it.
        step = largest / round(largest / step)
        levels = sizes / step
        if np.abs(levels - np.rint(levels)).max() <= TOLERANCE * MOST_LEVELS * 0.5 + 1e-6:
            whole = np.rint(values / step)
            return Grid(step, int(whole.min()), int(whole.max()), bool((whole == 0).any()))
    return None
