"""Search the width of each projection's weights at which a stated accuracy or agreement is kept at the least cost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

from neurodeploy.analysis.calibration_data import run_reference
from neurodeploy.coding.given import Given, given_samples
from neurodeploy.coding.inputs import check_inputs
from neurodeploy.compiler import Compiled, compile_with_plan
from neurodeploy.compiler.keywords import Quantising, shows
from neurodeploy.errors import DeployError, known
from neurodeploy.families import find_family
from neurodeploy.families.options import CompileOptions
from neurodeploy.families.target_file import load_target
from neurodeploy.files import check_outputs
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.decision import Decision, check_labels, with_decision
from neurodeploy.ir.network import Network
from neurodeploy.ir.plan import Plan, check_plan, load_plan
from neurodeploy.search.budget import Budget, choose_profile, parse_budget
from neurodeploy.search.measuring import Measurer, Progress, Subject, count_correct, reported
from neurodeploy.search.orders import load_optuna, most_by_sensitivity, search_by_optuna, search_by_sensitivity
from neurodeploy.search.trials import StateFile, Trial, Widths
from neurodeploy.targets.target import EnergyProfile, Target

WIDTHS: Widths = (8, 6, 4, 3, 2, "ternary", "binary")
METHODS = ("sensitivity", "optuna")
DEFAULT_TRIALS = 200


@dataclass(frozen=True, eq=False, slots=True)
class SearchResult:
    """The result of a search.

    subject: what was searched. budget: what had to hold. profile: by which energy is told, or None.
    reference_correct: samples that the float reference decides rightly, or None without labels.
    trials: all that were measured, in order. refusals: widths that cannot be compiled, and why.
    best: the cheapest trial that keeps the budget. compiled: its program and complete plan.
    """

    subject: Subject
    budget: Budget
    profile: EnergyProfile | None
    reference_correct: int | None
    trials: tuple[Trial, ...]
    refusals: dict[Widths, str]
    best: Trial
    compiled: Compiled

    @property
    def front(self) -> tuple[Trial, ...]:
        """The trials that no other beats in both cost and loss, the cheapest first."""
        return find_front(self.trials, self.budget)

    @property
    def plan(self) -> Plan:
        """The complete plan of the best trial."""
        return self.compiled.plan


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Options of a search.

    method: ``sensitivity`` or ``optuna``. trials: proposals that optuna makes. seed: of optuna.
    state: file that keeps the trials, or None. progress: called with (``search``, done, at most), or None.
    """

    method: str = "sensitivity"
    trials: int = DEFAULT_TRIALS
    seed: int = 0
    state: Path | None = None
    progress: Progress | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise DeployError(
                f"--search-method is {self.method!r}, but there is no such method",
                where="--search-method",
                fix=f"Choose from {known(METHODS)}.",
            )
        if self.trials < 1:
            raise DeployError(
                f"--search-trials is {self.trials}; it must be at least 1",
                where="--search-trials",
                fix="Give a number of 1 or more.",
            )


@shows(Quantising)
def run_search(
    model: Path | str | Network | Any,
    target: str | Path | Target,
    data: Given,
    *,
    budget: str,
    dialect: str | None = None,
    decide: Decision | str | None = None,
    plan: Plan | Path | str | None = None,
    search: SearchOptions | None = None,
    **options: Unpack[Quantising],
) -> SearchResult:
    """Search the bits of a model's projections, and compile it with the best.

    :func:`neurodeploy.report.pareto.write_pareto_page` shows the result as a page.

    Args:
        model: path of a ``.nir`` file, an in-memory ``nir.NIRGraph``, or a :class:`Network`.
        target: the chip, by name, as a TOML file, or as :func:`neurodeploy.load_target` gives it.
        data: calibration data, with labels if accuracy is to be kept; never the data that is scored.
        budget: as :func:`parse_budget` reads it.
        dialect: as given to ``--dialect``, or None.
        decide: how a sample is decided, as given to ``--decide``, or None for what the model's file says.
        plan: decisions, or a file of them; projections whose bits it states are left alone.
        search: how.
        **options: how the network is compiled, in all but the bits, which are searched; see below.

    Raises:
        DeployError: something cannot be read, the budget cannot be kept, or the state is that of another search.
        BackendError: optuna or torch is missing.
    """
    parsed, search = parse_budget(budget), search or SearchOptions()
    read = [one if isinstance(one, (str, Path)) else None for one in (model, plan, data)]
    check_outputs((search.state,), [None if one is None else Path(one) for one in read])
    network = with_decision(model if isinstance(model, Network) else read_network(model, dialect)[0], decide)
    if isinstance(plan, (str, Path)):
        plan = load_plan(plan)
    samples = given_samples(data, network.inputs)
    data = samples.part(0, samples.n_samples)
    chip = load_target(target)
    subject = Subject(network, chip, CompileOptions(**options).settled(True), plan or Plan(), data)
    found = search_bits(subject, parsed, search)
    # Once more from the model itself, so that the program says where it comes from.
    compiled = compile_with_plan(
        model, chip, dialect=dialect, decide=decide, plan=found.plan, calibrate=data, **options
    )
    return replace(found, compiled=compiled)


def search_bits(subject: Subject, budget: Budget, search: SearchOptions) -> SearchResult:
    """Search the bits of a network's projections.

    Args:
        subject: network, target, options, the user's plan, and data that is not what is scored.
        budget: what must hold, and what is to be small.
        search: how.

    Raises:
        DeployError: even the widest weights break the budget, the data lacks what it asks for, or the state is that of
            another search.
        BackendError: optuna or torch is missing.
    """
    _check(subject, budget)
    if search.method == "optuna":
        load_optuna()
    profile = choose_profile(budget, subject.target)
    choices = _choices(subject.target)
    n = len(subject.names)
    optuna = search.method == "optuna"
    sampler = {"seed": search.seed} if optuna else {}
    header = {**subject.header(), "budget": str(budget), "method": search.method, **sampler}
    calibration = run_reference(subject.network, subject.data)
    most = search.trials + 1 if optuna else most_by_sensitivity(n, choices)
    measure = Measurer(subject, calibration, profile, StateFile(search.state, header), reported(search.progress, most))
    start = _start(measure, (choices[0],) * n, budget)
    if optuna:
        search_by_optuna(measure, start, choices, budget, seed=search.seed, n_trials=search.trials)
    else:
        search_by_sensitivity(measure, start, choices, budget)
    return _result(measure, budget)


def find_front(trials: tuple[Trial, ...], budget: Budget) -> tuple[Trial, ...]:
    """Return the trials that no other beats in both cost and loss, the cheapest first.

    The loss is in what the budget states first. Of trials that are equal in both, the one with more spikes in common.
    """

    def order(trial: Trial) -> tuple[float, ...]:
        return budget.cost(trial), budget.losses(trial)[0], 1.0 - trial.agreement_all

    front: list[Trial] = []
    for trial in sorted(trials, key=order):
        if not front or budget.losses(trial)[0] < budget.losses(front[-1])[0]:
            front.append(trial)
    return tuple(front)


def _check(subject: Subject, budget: Budget) -> None:
    """Refuse what cannot be searched before anything runs."""
    network, data = subject.network, subject.data
    family = find_family(subject.target.family)
    if not family.has_weight_widths:
        raise DeployError(
            f"there are no bits to search for: all weights of {subject.target.title} are equally wide",
            where="--search bits",
            fix="Leave --search out, or search for another target.",
        )
    family.check_options(subject.options, subject.target, True)
    check_plan(subject.plan, network, subject.target.name, subject.target.formats())
    check_inputs(network.inputs, data.x)
    if not subject.names:
        raise DeployError(
            "the plan gives the bits of every projection, so there is nothing to search",
            where="--plan",
            fix="Remove bits, exponent and learned of its projections and codes_per_volt of its populations, or give"
            " no plan.",
        )
    if budget.accuracy is None:
        return
    if data.labels is None or not data.labels.size:
        raise DeployError(
            "the budget is in accuracy, but the data has no labels y",
            where=data.source,
            fix="Give data with labels, or a budget in agreement, such as --budget agreement=0.98.",
        )
    subject.settled.chosen()
    check_labels(network, subject.settled, data.labels, data.source)


def _result(measure: Measurer, budget: Budget) -> SearchResult:
    """Return what was found, with the best compiled as the user's options have it."""
    subject = measure.subject
    trials = tuple(one for one in measure.trials.values() if isinstance(one, Trial))
    kept = [trial for trial in trials if budget.keeps(trial)]
    best = min(kept, key=lambda trial: (budget.cost(trial), trial.weight_bytes, *budget.losses(trial)))
    return SearchResult(
        subject,
        budget,
        measure.profile,
        count_correct(measure.reference, subject.data.labels, subject.settled.decision),
        trials,
        {widths: one for widths, one in measure.trials.items() if isinstance(one, str)},
        best,
        subject.compile(best.widths, measure.calibration, allow_oversize=False, provenance={}),
    )


def _choices(target: Target) -> Widths:
    most = target.formats()["weight_bits_max"]
    return tuple(width for width in WIDTHS if isinstance(width, str) or width <= most)


def _start(measure: Measurer, widths: Widths, budget: Budget) -> Trial:
    """Return the trial of the widest weights, or say why there is none that keeps the budget."""
    start = measure(widths)
    if start is None:
        raise DeployError(
            str(measure.trials[widths]),
            where="--search bits",
            fix="Mend this first; compile without --search to see it alone.",
        )
    if budget.agreement is not None and start.agreement is None:
        raise DeployError(
            "the budget is in the agreement of the output's spikes, but the output does not fire",
            where="--budget",
            fix="Use agreement_all or accuracy in the budget.",
        )
    if not budget.keeps(start):
        stated = [key for key in ("accuracy", "agreement", "agreement_all") if getattr(budget, key) is not None]
        losses = ", ".join(
            f"{key}: {loss:.4g} {'points' if key == 'accuracy' else 'of the spikes'} lost, {most:.4g} allowed"
            for key, loss, most in zip(stated, budget.losses(start), budget.allowed, strict=True)
        )
        raise DeployError(
            f"even {widths[0]} bits in every projection that is searched exceed the budget ({losses})",
            where="--budget",
            fix="Allow a larger loss, or quantise better with --rounding learned, --correct, --per-channel or"
            " finetune.",
        )
    return start
