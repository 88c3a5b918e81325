"""Where training for Xylo starts: the network in codes, and how a tuned one becomes codes again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.families.finetuning.start import Start
from neurodeploy.families.xylo.approximate import approximate
from neurodeploy.families.xylo.population import XyloProgram
from neurodeploy.families.xylo.target import XyloTarget
from neurodeploy.ir.network import Network
from neurodeploy.ir.plan import Plan


@dataclass(frozen=True, eq=False, slots=True)
class XyloStart(Start):
    """Where training for a Xylo starts."""

    chip: XyloTarget
    program: XyloProgram

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
        return self.again(tuned, self.plan)


def start(network: Network, chip: XyloTarget, *how: Any, **options: Any) -> XyloStart:
    """Return where training starts; see :meth:`neurodeploy.families.finetuning.start.Start.of`.

    Args:
        network: the float network.
        chip: the target.
        *how, **options: the compiler, and as it takes them.

    Raises:
        DeployError: the chip cannot run the network, the plan does not fit it, or the host runs a part of it.
    """
    began = XyloStart.of(network, chip, *how, **options)
    if began.program.host is not None:
        raise DeployError(
            f"fine-tuning for {chip.title} cannot train a network of which the host runs a part",
            where="--host",
            fix="Encode the data as spikes, and leave --host out.",
        )
    return began
