"""The interface of a chip family: its registers, its stages of compiling, its emulation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from neurodeploy.coding.calibration import Calibration
from neurodeploy.errors import DeployError, known
from neurodeploy.families.options import CompileOptions
from neurodeploy.ir.codes import CodedPopulation, CodedProjection
from neurodeploy.ir.host import sentence as host_sentence
from neurodeploy.ir.network import Network, Projection
from neurodeploy.ir.plan import Plan
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs, RunOptions, model_rows
from neurodeploy.targets.target import Target

P = TypeVar("P", bound=CodedPopulation)


@dataclass(frozen=True, eq=False, slots=True)
class Contract:
    """What is known of a program before it runs.

    warnings: a sentence each. content: the numbers behind them, JSON-ready.
    """

    warnings: tuple[str, ...] = ()
    content: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the numbers, and the names of what is silent."""
        return self.content


@dataclass(frozen=True, slots=True)
class Use:
    """One limit of a chip: how much a program takes of it, and how much there is.

    limit: what is limited, as a phrase. is_least: at least so much is taken; how much is known once it is placed.
    """

    limit: str
    used: int
    available: int
    is_least: bool = False

    @property
    def fits(self) -> bool:
        """Whether there is as much as is taken."""
        return self.used <= self.available

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {**asdict(self), "fits": self.fits}


@dataclass(frozen=True, eq=False, slots=True)
class Draft:
    """A program in the making: what each stage of compiling is given, and returns with more in it.

    Each family derives its own, with what its stages hand on to each other.

    target, options, plan: as they were given; the plan may be empty.
    network: the float network, as far as stages have changed it. digest: of the network as it was read.
    calibration: what the network does on calibration data, or None. trained: the same of the network as it was read.
    provenance: what is known of the model's file, JSON-ready.
    names_losses: whether losses, and what mends them, are looked for; it quantises populations anew.
    latency: hardware step of each population's row 0. delays: hardware steps of each projection.
    program, complete: the program, and the plan that gives it again. said: what was lost, changed or given up.
    contract: what is known of the program before it runs.
    host: layers that the host runs before the chip, or None.
    """

    target: Target
    options: CompileOptions
    plan: Plan
    network: Network
    digest: str
    calibration: Calibration | None = None
    trained: Calibration | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    names_losses: bool = False
    latency: dict[str, int] = field(default_factory=dict)
    delays: dict[Projection, int] = field(default_factory=dict)
    program: Program | None = None
    complete: Plan | None = None
    said: tuple[str, ...] = ()
    contract: Contract | None = None
    host: Network | None = None

    def program_of(
        self,
        populations: tuple[P, ...],
        projections: tuple[CodedProjection, ...],
        provenance: dict[str, Any],
        **own: Any,
    ) -> Program[P]:
        """Return the program of coded populations, with all that network and target say of it.

        Args:
            populations, projections: the codes.
            provenance: what is known of the program's making, JSON-ready.
            **own: further fields of the program, such as its warnings.
        """
        network, target = self.network, self.target
        return Program(
            target=target.name,
            arithmetic=target.arithmetic,
            inputs=network.inputs,
            populations=populations,
            projections=projections,
            outputs=network.outputs,
            dt=network.dt,
            dialect=network.dialect,
            number_formats=target.formats(),
            provenance=provenance,
            decision=network.decision,
            readouts=network.readouts,
            undecided=network.undecided,
            **own,
        )

    def with_host(self, program: Program) -> Program:
        """Return a program of the whole network: that of the chip, and what the host runs before it."""
        if self.host is None:
            return program
        provenance = {**program.provenance, "host": [population.name for population in self.host.populations]}
        warnings = (host_sentence(self.host), *program.warnings)
        return replace(program, host=self.host, provenance=provenance, warnings=warnings)

    def left(self, stage: str) -> dict[str, Any]:
        """Return what a stage left beyond network, latencies, program and contract, JSON-ready."""
        return {}


@dataclass(frozen=True, eq=False, slots=True)
class Emulated:
    """A program's run in hardware rows.

    nodes: spikes, u, v or value of each recorded population, ``[rows, B, *shape]``.
    counters: int64 ``[rows, B, populations]`` by name, or none where nothing was counted. Energy and reports need
        ``spikes``, ``synops`` (weights delivered) and ``active`` (neurons with anything to work on).
    """

    nodes: dict[str, dict[str, NDArray[Any]]]
    counters: dict[str, NDArray[np.int64]]

    def recording(
        self, program: Program[Any], n_steps: int, meta: dict[str, Any] | None = None, raw_time: bool = False
    ) -> Recording:
        """Return the rows of the model's own time, each population's its own; all rows with ``raw_time``.

        Args:
            program: what ran.
            n_steps: rows of its input.
            meta: what the recording says of its run.
            raw_time: keep the hardware's rows.
        """

        def cut(values: NDArray[Any], latency: int) -> NDArray[Any]:
            return model_rows(values, latency, n_steps, raw_time)

        nodes = {
            name: {key: cut(values, program.latency[name]) for key, values in observed.items()}
            for name, observed in self.nodes.items()
        }
        counters = {}
        for key, counted in self.counters.items():
            rows = [cut(counted[:, :, i], p.latency) for i, p in enumerate(program.populations)]
            counters[key] = np.stack(rows, axis=2) if rows else counted
            counters[key].flags.writeable = False
        return Recording(nodes, {} if meta is None else meta, counters)


class Family(ABC):
    """A chip family.

    name: as target files call it. title: as people do.
    population: its registers. target: the schema of its target files. draft: what its stages hand on.
    arithmetics: by which names programs say how they are computed.
    has_weight_widths: whether there are bits of weights to choose from.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    population: ClassVar[type[CodedPopulation]]
    target: ClassVar[type[Target]]
    draft: ClassVar[type[Draft]]
    arithmetics: ClassVar[tuple[str, ...]]
    has_weight_widths: ClassVar[bool] = True

    def check_arithmetic(self, name: str, where: str = "--arithmetic") -> None:
        """Refuse an arithmetic that the family does not have.

        Raises:
            DeployError: it does not.
        """
        if name not in self.arithmetics:
            raise DeployError(
                f"no arithmetic is called {name!r}", where=where, fix=f"Choose one of {known(self.arithmetics)}."
            )

    @abstractmethod
    def program_faults(self, program: Program[Any]) -> list[str]:
        """Return what of a program no chip of the family holds, a sentence each."""

    @abstractmethod
    def stages(self) -> Mapping[str, Callable[[Any], Draft]]:
        """Return the family's own stages of compiling by name; see :mod:`neurodeploy.compiler.stages`."""

    @abstractmethod
    def check_options(self, options: CompileOptions, target: Any, has_data: bool) -> None:
        """Refuse options of compiling that the target does not have; DeployError at the first of them."""

    @abstractmethod
    def refuse_size(self, network: Network, target: Any, options: CompileOptions) -> None:
        """Refuse a network that is larger than the chip before any work is done on it; DeployError if it is."""

    @abstractmethod
    def uses(self, program: Program[Any], target: Any) -> tuple[Use, ...]:
        """Return how much of each limit of a chip a program takes."""

    @abstractmethod
    def nearest_form(self, network: Network, target: Any, calibration: Calibration) -> str:
        """Return in sentences what the nearest network that a target takes costs, or nothing where there is none."""

    @abstractmethod
    def emulate(self, program: Program[Any], inputs: Inputs, options: RunOptions) -> Emulated:
        """Run a program to the bit.

        Args:
            program: of the family.
            inputs: what enters the chip, ``[T, B, *shape]`` for each input.
            options: what to record.

        Raises:
            DeployError: a name is unknown, or the program has numbers that the emulator cannot hold.
        """

    def check_inputs(self, inputs: Inputs) -> None:  # noqa: B027  most families take what a program says
        """Refuse what no input of a chip of the family takes, before it is rounded; by default nothing.

        Raises:
            DeployError: there is any.
        """

    def trainer(self) -> Any:
        """Return the module that trains in the chip's integers.

        Raises:
            DeployError: there is none yet.
        """
        raise DeployError(
            f"fine-tuning in the integers of {self.title} is not built yet",
            where="--target",
            fix="Fine-tune for another target, or compile with --calibrate DATA, which fits thresholds to the model.",
        )
