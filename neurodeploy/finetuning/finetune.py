"""Fine-tune a model for a chip: from NIR to NIR, with the plan that turns the result into the codes it was tuned as."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Unpack

from neurodeploy.coding.data import Data
from neurodeploy.coding.given import Given
from neurodeploy.compiler import compile_with_plan
from neurodeploy.compiler.keywords import Quantising, shows
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.families import find_family
from neurodeploy.families.target_file import load_target
from neurodeploy.finetuning.options import Draw, Epoch, Training
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.decision import Decision, check_labels, class_count, settle_decision, with_decision
from neurodeploy.ir.network import Network
from neurodeploy.ir.plan import Bits, Plan
from neurodeploy.ir.program import Program
from neurodeploy.targets.target import Target

if TYPE_CHECKING:
    from neurodeploy.finetuning.training import Trainer

FEWEST = 10
"""Samples without which there is nothing to train on and hold out."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, slots=True)
class Tuned:
    """The result of fine-tuning.

    network: with the weights that the codes stand for. program: the same, compiled with ``plan``.
    epochs: what each of this run came to; epoch 0 is before training. best: the epoch whose weights these are.
    trained, fixed: names of weighted nodes that were trained, and of those that could not be.
    """

    network: Network
    program: Program
    plan: Plan
    epochs: tuple[Epoch, ...]
    best: Epoch
    trained: tuple[str, ...]
    fixed: tuple[str, ...]

    @property
    def steps_per_second(self) -> float:
        """Batches trained on in a second, the median of this run's epochs; 0 where it had none."""
        speeds = [epoch.steps_per_second for epoch in self.epochs if epoch.number]
        return median(speeds) if speeds else 0.0


@shows(Quantising)
def finetune(
    model: Path | str | Network | Any,
    data: Data | Draw,
    target: str | Path | Target,
    *,
    dialect: str | None = None,
    decide: Decision | str | None = None,
    plan: Plan | None = None,
    calibrate: Given | None = None,
    weight_bits: Bits | None = None,
    training: Training | None = None,
    checkpoint: Path | None = None,
    report: Callable[[Epoch], None] | None = None,
    output: Path | None = None,
    **options: Unpack[Quantising],
) -> Tuned:
    """Train a model further while it computes in the chip's integers; scales, thresholds and leaks stay as planned.

    Args:
        model: path of a ``.nir`` file, an in-memory ``nir.NIRGraph``, or a :class:`Network` whose operations have
            names.
        data: labelled training data, or a function that gives it anew for each epoch (from 1; 0 is for validation),
            the same samples in the same order. Part of the samples is held out, for early stopping.
        target: the chip, by name, as a TOML file, or as :func:`neurodeploy.load_target` gives it.
        dialect: as given to ``--dialect``, or None.
        decide: how a sample is decided, as given to ``--decide``, or None for what the model's file says.
        plan: decisions to keep; what it leaves out is decided from the weights, and ``calibrate`` if given.
        calibrate: as :func:`neurodeploy.compile` takes it.
        weight_bits: of each weight, ``"ternary"`` or ``"binary"``, where the plan does not say.
        training: options.
        checkpoint: a file that is written after each epoch, and from which training goes on if it is there.
        report: is called after each epoch.
        output: the tuned model file to write; ``model`` is a file then.
        **options: how the model is compiled where the plan does not say; see below.

    Returns:
        The network of the best epoch, its program and its plan.

    Raises:
        DeployError: the model cannot be read or compiled, the data has no labels or does not fit, or there is nothing
            to train.
        BackendError: torch is not installed.
    """
    _need_torch()
    from neurodeploy.backends.reference.backend import find_device
    from neurodeploy.finetuning.training import Trainer
    from neurodeploy.finetuning.write import write_tuned

    how = training or Training()
    find_device(how.device)
    if output is not None and not isinstance(model, (str, Path)):
        raise ValueError("only a model that is a file can be written as a tuned file")
    network = with_decision(model if isinstance(model, Network) else read_network(model, dialect)[0], decide)
    draw, settled = _checked(data, network)
    began = begin(network, target, plan, weight_bits, calibrate=calibrate, **options)
    latents = find_family(began.chip.family).trainer().make_latents(began, how.device)
    if not latents.weights:
        raise DeployError(
            "no weights can be trained",
            where="the model",
            fix="Give a model with a weighted node alone between two neurons.",
        )
    trainer = Trainer(began, latents, draw, how, settled)
    epochs = _train(trainer, network, checkpoint, report)
    tuned, trained = latents.tuned(network), tuple(weight.node for weight in latents.weights)
    program, tuned_plan = began.compiled(tuned, latents.program(began.program), trained)
    if output is not None and isinstance(model, (str, Path)):
        write_tuned(Path(model), tuned, frozenset(trained), output)
    return Tuned(tuned, program, tuned_plan, epochs, trainer.progress.best, trained, latents.fixed)


def begin(
    network: Network,
    target: str | Path | Target,
    plan: Plan | None = None,
    bits: Bits | None = None,
    **options: Any,
) -> Any:
    """Return where training starts: the network compiled, and what its chip's family knows of it.

    Args:
        network: whose operations have names.
        target: the chip.
        plan: decisions to keep, or None.
        bits: of weights, where the plan does not say.
        **options: as :func:`neurodeploy.compiler.compile_with_plan` takes them.

    Raises:
        DeployError: the chip cannot run the network, or its family has no training yet.
    """
    chip = load_target(target)
    return find_family(chip.family).trainer().start(network, chip, compile_with_plan, plan, bits, **options)


def _need_torch() -> None:
    if find_spec("torch") is None:
        raise BackendError("fine-tuning needs torch", where="finetune", fix="pip install 'neurodeploy[torch]'")


def _train(
    trainer: Trainer, network: Network, checkpoint: Path | None, report: Callable[[Epoch], None] | None
) -> tuple[Epoch, ...]:
    """Train, from a checkpoint if there is one; return the epochs of this run."""
    from neurodeploy.finetuning.checkpoint import fingerprint, load_checkpoint, save_checkpoint

    epochs: list[Epoch] = []

    def reported(epoch: Epoch) -> None:
        epochs.append(epoch)
        _log.info("epoch %d: loss %.4f, held-out accuracy %.4f", epoch.number, epoch.loss, epoch.score.accuracy)
        if report is not None:
            report(epoch)

    if checkpoint is None:
        trainer.train(reported, lambda: None)
        return tuple(epochs)
    of_what = fingerprint(network, trainer)
    if checkpoint.exists():
        load_checkpoint(checkpoint, of_what, trainer)
    trainer.train(reported, lambda: save_checkpoint(checkpoint, of_what, trainer))
    return tuple(epochs)


def _checked(data: Data | Draw, network: Network) -> tuple[Draw, Decision]:
    """Return a function that gives each epoch's data, the first of which was looked at, and what decides."""
    draw: Draw = (lambda _: data) if isinstance(data, Data) else data
    first = draw(0)
    if first.labels is None:
        raise DeployError("the data has no labels", where="--data", fix="Store the class of each sample as y.")
    if len(first.labels) < FEWEST:
        raise DeployError(
            f"the data holds {len(first.labels)} samples, which are too few to train on",
            where="--data",
            fix=f"Give {FEWEST} samples or more.",
        )
    settled = settle_decision(network, None, class_count(first.labels))
    decision = settled.chosen()
    check_labels(network, settled, first.labels, "--data")
    if decision.rule == "first":
        raise DeployError(
            "training cannot use the earliest spike to decide, because it has no gradient",
            where="--decide first",
            fix="Train with --decide count, and score with first.",
        )
    return draw, decision
