"""Loihi as a chip family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from neurodeploy.coding.calibration import Calibration
from neurodeploy.families.base import Draft, Emulated, Family, Use
from neurodeploy.families.loihi.arithmetic import ARITHMETICS
from neurodeploy.families.loihi.codes import LoihiPopulation
from neurodeploy.families.loihi.compile import stages
from neurodeploy.families.loihi.compile.cautions import refuse_too_many_neurons
from neurodeploy.families.loihi.compile.nearest import nearest_form
from neurodeploy.families.loihi.fit import use_of
from neurodeploy.families.loihi.program import LoihiProgram, program_faults
from neurodeploy.families.loihi.target import LoihiTarget
from neurodeploy.families.options import CompileOptions, check_options
from neurodeploy.ir.network import Network
from neurodeploy.ir.run_options import Inputs, RunOptions


class Loihi(Family):
    """Loihi 1 and 2."""

    name = "loihi"
    title = "Loihi"
    population = LoihiPopulation
    target = LoihiTarget
    draft = stages.LoihiDraft
    arithmetics = tuple(ARITHMETICS)

    def program_faults(self, program: LoihiProgram) -> list[str]:
        """Return which codes no register, or no number format of the program's target, holds."""
        return program_faults(program)

    def stages(self) -> Mapping[str, Callable[[Any], Draft]]:
        """Return the family's own stages of compiling by name."""
        return stages.STAGES

    def check_options(self, options: CompileOptions, target: LoihiTarget, has_data: bool) -> None:
        """Refuse widths, methods and scales that there are not, or that the target's numbers do not have."""
        check_options(options, target, has_data)

    def refuse_size(self, network: Network, target: LoihiTarget, options: CompileOptions) -> None:
        """Refuse a network of more neurons than the chip has."""
        refuse_too_many_neurons(network, target, options)

    def uses(self, program: LoihiProgram, target: LoihiTarget) -> tuple[Use, ...]:
        """Return neurons, bytes of synapses, and the cores that these take at least."""
        return use_of(program, target)

    def nearest_form(self, network: Network, target: LoihiTarget, calibration: Calibration) -> str:
        """Return what real-valued input on the host, means for maxima, and the nearest neurons cost."""
        return nearest_form(network, target, calibration)

    def emulate(self, program: LoihiProgram, inputs: Inputs, options: RunOptions) -> Emulated:
        """Run a program on the compiled kernels."""
        from neurodeploy.families.loihi.emulator.run import emulate

        return emulate(program, inputs, options)

    def trainer(self) -> Any:
        """Return the module that trains in the chip's integers."""
        from neurodeploy.families.loihi.finetuning import trainer

        return trainer


FAMILY = Loihi()
