"""Compile a model for a chip: quantised, scheduled, checked against what the chip holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from neurodeploy.analysis.calibration_data import run_reference
from neurodeploy.backends.host import run_float
from neurodeploy.coding.calibration import Calibration
from neurodeploy.coding.data import Data
from neurodeploy.coding.given import Given, given_samples
from neurodeploy.coding.inputs import is_binary
from neurodeploy.compiler.keywords import Compiling, shows
from neurodeploy.compiler.stages import STAGES, run_stage, run_stages
from neurodeploy.errors import LackingError
from neurodeploy.families import find_family
from neurodeploy.families.base import Contract, Draft
from neurodeploy.families.options import CompileOptions
from neurodeploy.families.target_file import load_target
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.decision import Decision, with_decision
from neurodeploy.ir.host import entering, split
from neurodeploy.ir.network import Network
from neurodeploy.ir.plan import Plan, load_plan
from neurodeploy.ir.program import Program
from neurodeploy.targets.target import Target
from neurodeploy.version import __version__


@dataclass(frozen=True, eq=False, slots=True)
class Compiled:
    """A program, the plan that gives the same program again, and what is known of its registers before it runs.

    said: what is known to be lost, and what mends it; what was given up or refitted. It depends on the options, too.
    """

    program: Program
    plan: Plan
    contract: Contract | None = None
    said: tuple[str, ...] = ()

    @classmethod
    def of(cls, draft: Draft) -> Compiled:
        """Return what all stages left."""
        assert draft.program is not None and draft.complete is not None
        contract = draft.contract
        if contract is not None:
            contract = replace(contract, warnings=(*draft.said, *contract.warnings))
        return cls(draft.program, draft.complete, contract, draft.said)


@shows(Compiling)
def compile(
    model: Path | str | Any,
    target: str | Path | Target,
    *,
    dialect: str | None = None,
    plan: Plan | Path | str | None = None,
    calibrate: Given | None = None,
    decide: Decision | str | None = None,
    weight_bits: int | str | None = None,
    scale: str | None = None,
    rounding: str | None = None,
    correct: tuple[str, ...] | None = None,
    per_channel: bool | None = None,
    message_bits: int = 0,
    input_scale: float | None = None,
    input_range: dict[str, tuple[float, float]] | None = None,
    allow_oversize: bool = False,
    allow_silent: bool = False,
    approximate: bool = False,
    host: int | str | None = None,
) -> Program:
    """Quantise and schedule a model for a target.

    Args:
        model: path of a ``.nir`` file, an in-memory ``nir.NIRGraph``, or a :class:`Network`.
        target: the chip, by name, as a TOML file, or as :func:`neurodeploy.load_target` gives it.
        dialect: as given to ``--dialect``, or None.
        plan: decisions, or a file of them; what it leaves out is decided by the options.
        calibrate: data that the methods that need some are given, a file, samples or arrays; never the data that is
            scored.
        decide: how a sample is decided, as given to ``--decide``, or None for what the model's file says.

    Returns:
        The program; its ``warnings`` say what can go wrong or could not be matched.

    Raises:
        DeployError: the model, the plan or the data cannot be read, or the chip cannot run the network.
    """
    return compile_with_plan(
        model,
        target,
        dialect=dialect,
        plan=plan,
        calibrate=calibrate,
        decide=decide,
        weight_bits=weight_bits,
        scale=scale,
        rounding=rounding,
        correct=correct,
        per_channel=per_channel,
        message_bits=message_bits,
        input_scale=input_scale,
        input_range=input_range,
        allow_oversize=allow_oversize,
        allow_silent=allow_silent,
        approximate=approximate,
        host=host,
    ).program


@shows(Compiling)
def compile_with_plan(
    model: Path | str | Any,
    target: str | Path | Target,
    *,
    dialect: str | None = None,
    plan: Plan | Path | str | None = None,
    calibrate: Given | None = None,
    decide: Decision | str | None = None,
    dump: Path | None = None,
    **options: Unpack[Compiling],
) -> Compiled:
    """Quantise and schedule a model for a target; return the decisions, too.

    Args:
        model: path of a ``.nir`` file, an in-memory ``nir.NIRGraph``, or a :class:`Network`.
        target: the chip, by name, as a TOML file, or as :func:`neurodeploy.load_target` gives it.
        dialect: as given to ``--dialect``, or None.
        plan: decisions, or a file of them; what it leaves out is decided by the options.
        calibrate: data that the methods that need some are given; never the data that is scored.
        decide: how a sample is decided, as given to ``--decide``, or None for what the model's file says.
        dump: folder in which what each stage of compiling leaves is written, or None.
        **options: how it is compiled; see below.

    Raises:
        DeployError: the model, the plan or the data cannot be read, or the chip cannot run the network.
    """
    request = Request(model, load_target(target), dialect, plan, calibrate, decide, CompileOptions(**options))
    draft = run_stage(STAGES[0], partial(read, request))
    try:
        return Compiled.of(run_stages(draft, dump=dump))
    except LackingError as error:
        raise _with_nearest(error, draft) from error


def compile_network(
    network: Network,
    target: Target,
    options: CompileOptions,
    provenance: dict[str, Any],
    plan: Plan,
    calibration: Calibration | None,
) -> Compiled:
    """Quantise and schedule a network without asking whether it falls silent; see :func:`compile_with_plan`.

    Losses, and what mends them, are not looked for.

    Args:
        network: as it is trained.
        target: the chip.
        options: how it is compiled.
        provenance: what is known of the model, JSON-ready.
        plan: decisions; what it leaves out is decided by the options.
        calibration: what the network does on calibration data, or None.

    Raises:
        DeployError: an option or the plan does not fit, or the chip cannot run the network.
    """
    family = find_family(target.family)
    family.check_options(options, target, calibration is not None)
    draft = family.draft(
        target, options, plan, network, network.digest(), calibration, trained=calibration, provenance=provenance
    )
    return Compiled.of(run_stages(draft, until="map"))


@dataclass(frozen=True, eq=False, slots=True)
class Request:
    """What is to be compiled, as :func:`compile_with_plan` is given it."""

    model: Path | str | Any
    target: Target
    dialect: str | None
    plan: Plan | Path | str | None
    calibrate: Given | None
    decide: Decision | str | None
    options: CompileOptions


def read(request: Request) -> Draft:
    """Read model, plan and calibration data, split off what the host runs, and run the float model on the data.

    Raises:
        DeployError: one of them cannot be read or does not fit, or an option is not the target's.
    """
    chip, family = request.target, find_family(request.target.family)
    provenance: dict[str, Any] = {"neurodeploy": __version__}
    if isinstance(request.model, Network):
        network = request.model
    else:
        network, settled, graph = read_network(request.model, request.dialect)
        provenance.update(model_sha256=graph.sha256, nir=graph.version, dialect_evidence=list(settled.evidence))
    network = with_decision(network, request.decide)
    plan = load_plan(request.plan) if isinstance(request.plan, (str, Path)) else request.plan
    samples = None if request.calibrate is None else given_samples(request.calibrate, network.inputs)
    data = None if samples is None else samples.part(0, samples.n_samples)
    options = request.options.settled(data is not None)
    family.check_options(options, chip, data is not None)
    host, on_chip, data = _split(network, options, data)
    family.refuse_size(on_chip, chip, options)
    calibration = None if data is None else run_reference(on_chip, data)
    return family.draft(
        chip,
        options,
        plan or Plan(),
        on_chip,
        network.digest(),
        calibration,
        trained=calibration,
        provenance=provenance,
        names_losses=True,
        host=host,
    )


def _split(
    network: Network, options: CompileOptions, calibrate: Data | None
) -> tuple[Network | None, Network, Data | None]:
    """Return what the host runs, or None, what the chip does, and the calibration data as it enters the chip."""
    if options.host is None:
        return None, network, calibrate
    if options.host == "auto" and calibrate is not None and all(map(is_binary, calibrate.x.values())):
        return None, network, calibrate
    host, on_chip = split(network, options.host)
    if calibrate is not None:
        calibrate = replace(calibrate, x=entering(host, on_chip.inputs, calibrate.x, run_float))
    return host, on_chip, calibrate


def _with_nearest(error: LackingError, draft: Draft) -> LackingError:
    """Return a refusal with what the nearest form of the network costs, where calibration data can tell."""
    cost = ""
    if draft.calibration is not None and not draft.options.approximate:
        cost = find_family(draft.target.family).nearest_form(draft.network, draft.target, draft.calibration)
    found = LackingError(error.what, where=error.where, fix=f"{error.fix} {cost}".strip())
    found.stage = error.stage
    return found
