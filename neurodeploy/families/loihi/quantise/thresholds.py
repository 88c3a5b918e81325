"""Thresholds at which a population fires as often as the float model's on calibration data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.quantise.second_moments import IsolatedPopulation
from neurodeploy.ir.codes import CodedProjection

THRESHOLD_FACTORS = (0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2)
"""By what a population's thresholds may be multiplied so that it fires as often as the float model's."""


def fitting_threshold(
    population: LoihiPopulation, projections: tuple[CodedProjection, ...], drive: IsolatedPopulation, top: int
) -> tuple[LoihiPopulation, float]:
    """Return the population with thresholds at which it fires as often as the float model's, and their one factor.

    Args:
        population, projections: the codes, and those of all that flows in.
        drive: what flows in on calibration data, and what the float model sends.
        top: the largest threshold code.
    """
    if not population.model.fires:
        return population, 1.0

    def scaled(factor: float) -> LoihiPopulation:
        codes = np.clip(np.rint(population.threshold_code * factor), 1, top).astype(np.int64)
        return replace(population, threshold_code=codes)

    # Factors nearest to 1 first, so that a tie changes nothing.
    order = sorted(THRESHOLD_FACTORS, key=lambda factor: abs(factor - 1.0))
    best = min(order, key=lambda factor: drive.rate_error(scaled(factor), projections))
    return scaled(best), best
