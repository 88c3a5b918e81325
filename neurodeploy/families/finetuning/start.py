"""Where training starts: a network as it was compiled, and how it is compiled again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from neurodeploy.coding.given import Given
from neurodeploy.ir.network import Network
from neurodeploy.ir.plan import Bits, Plan
from neurodeploy.ir.program import Program
from neurodeploy.targets.target import Target


@dataclass(frozen=True, eq=False, slots=True)
class Start:
    """Where training starts; each family derives its own.

    network: the float network. chip: the target. program: the codes. plan: the decisions behind them, complete.
    bits, calibrate, options: what else the network was compiled with. compiler: compiles a network.
    """

    network: Network
    chip: Target
    program: Program[Any]
    plan: Plan
    bits: Bits | None
    calibrate: Given | None
    options: dict[str, Any]
    compiler: Callable[..., Any]

    @classmethod
    def of(
        cls,
        network: Network,
        chip: Any,
        compiler: Callable[..., Any],
        plan: Plan | None = None,
        bits: Bits | None = None,
        *,
        calibrate: Given | None = None,
        **options: Any,
    ) -> Self:
        """Return where training starts.

        Args:
            network: the float network.
            chip: the target.
            compiler: compiles a network, :func:`neurodeploy.compiler.compile_with_plan`.
            plan: decisions to keep, or None.
            bits: of weights, where the plan does not say.
            calibrate, **options: as the compiler takes them.

        Raises:
            DeployError: the chip cannot run the network, or the plan does not fit it.
        """
        found = compiler(network, chip, plan=plan, calibrate=calibrate, weight_bits=bits, **options)
        return cls(network, chip, found.program, found.plan, bits, calibrate, options, compiler)

    def again(self, network: Network, plan: Plan) -> tuple[Any, Plan]:
        """Return the program and the plan of a network that is compiled as this one was, but for the plan."""
        found = self.compiler(
            network, self.chip, plan=plan, calibrate=self.calibrate, weight_bits=self.bits, **self.options
        )
        return found.program, found.plan
