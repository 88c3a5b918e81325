"""Where training for Xylo starts: the network in codes, and how a tuned one becomes codes again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.coding.given import Given
from neurodeploy.errors import DeployError
from neurodeploy.families.xylo.approximate import approximate
from neurodeploy.families.xylo.population import XyloProgram
from neurodeploy.families.xylo.target import XyloTarget
from neurodeploy.ir.network import Network
from neurodeploy.ir.plan import Bits, Plan


@dataclass(frozen=True, eq=False, slots=True)
class Start:
    """Where training starts.

    network: the float network. chip: the target. program: the codes. plan: the decisions behind them, complete.
    bits, calibrate, options: what else the network was compiled with. compiler: compiles a network.
    """

    network: Network
    chip: XyloTarget
    program: XyloProgram
    plan: Plan
    bits: Bits | None
    calibrate: Given | None
    options: dict[str, Any]
    compiler: Callable[..., Any]

    @property
    def nearest(self) -> Network:
        """The network as it was coded: with the nearest neurons that Xylo has, where that was asked for."""
        return approximate(self.network)[0] if self.options.get("approximate") else self.network

    @property
    def register_units(self) -> dict[str, NDArray[np.float64]]:
        """Register units of v that stand for 1 V, float64 (n,), by population."""
        return {p.name: p.units.copy() for p in self.program.populations}

    def compiled(self, tuned: Network, codes: XyloProgram, trained: tuple[str, ...]) -> tuple[XyloProgram, Plan]:
        """Return a tuned network's program and its plan, which is the one that training started with.

        Args:
            tuned: the network.
            codes: this program with the codes that were trained.
            trained: names of the nodes that were.
        """
        found = self.compiler(
            tuned, self.chip, plan=self.plan, calibrate=self.calibrate, weight_bits=self.bits, **self.options
        )
        return found.program, found.plan


def start(
    network: Network,
    chip: XyloTarget,
    compiler: Callable[..., Any],
    plan: Plan | None = None,
    bits: Bits | None = None,
    *,
    calibrate: Given | None = None,
    **options: Any,
) -> Start:
    """Return where training starts.

    Args:
        network: the float network.
        chip: the target.
        compiler: compiles a network, :func:`neurodeploy.compiler.compile_with_plan`.
        plan: decisions to keep, or None.
        bits: of weights, which are 8 on Xylo, or None.
        calibrate, **options: as the compiler takes them.

    Raises:
        DeployError: the chip cannot run the network, the plan does not fit it, or the host runs a part of it.
    """
    found = compiler(network, chip, plan=plan, calibrate=calibrate, weight_bits=bits, **options)
    if found.program.host is not None:
        raise DeployError(
            f"fine-tuning for {chip.title} cannot train a network of which the host runs a part",
            where="--host",
            fix="Encode the data as spikes, and leave --host out.",
        )
    return Start(network, chip, found.program, found.plan, bits, calibrate, options, compiler)
