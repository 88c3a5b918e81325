"""``neurodeploy finetune``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neurodeploy.cli.common import (
    INPUT,
    OUTPUT,
    PATH,
    data_options,
    decide_option,
    dialect_option,
    json_option,
    print_json,
    read_data,
    say,
    target_option,
)

if TYPE_CHECKING:
    from neurodeploy.coding.data import Data
    from neurodeploy.finetuning.finetune import Tuned
    from neurodeploy.finetuning.options import Epoch

BITS = ("1", "2", "3", "4", "5", "6", "7", "8", "ternary", "binary")


@click.command()
@click.argument("model", type=INPUT)
@click.option("--data", type=INPUT, required=True, metavar="TRAIN.npz", help="Training data, x with labels y.")
@target_option()
@click.option("--plan", type=INPUT, metavar="P.yaml", help="Plan whose decisions are kept.")
@click.option("--weight-bits", type=click.Choice(BITS), help="Bits of each weight, where the plan does not say.")
@click.option("--message-bits", type=int, default=0, metavar="N", help="Take graded input of N bits, with the sign.")
@click.option(
    "--input-scale", type=float, default=None, help="Factor of graded input before it is rounded to whole numbers."
)
@click.option("--epochs", type=click.IntRange(min=0), default=40, show_default=True, help="Largest number of epochs.")
@click.option("--patience", type=click.IntRange(min=1), default=20, show_default=True,
              help="Epochs without a better score on held-out data after which training ends.")  # fmt: skip
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), default=0.01, show_default=True,
              help="Learning rate at the start for ternary weights; finer codes get less.")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Samples per training step.")
@click.option("--imitation", type=click.FloatRange(0, 1), default=0.9, show_default=True,
              help="Weight of the float network's answers in the loss; the labels have the rest.")  # fmt: skip
@click.option("--held-out", type=click.FloatRange(0, 0.9, min_open=True), default=0.15, show_default=True,
              help="Share of the data that is kept for validation.")  # fmt: skip
@click.option(
    "--checkpoint",
    type=PATH,
    metavar="FILE",
    help="File that is written after each epoch, and from which a later run goes on.",
)
@click.option("--device", default="cpu", show_default=True, help="Torch device.")
@data_options
@decide_option
@dialect_option
@json_option
@click.option("-o", "--output", type=OUTPUT, required=True, metavar="TUNED.nir", help="The tuned model to write.")
@click.option("--plan-output", type=OUTPUT, metavar="TUNED.yaml", help="The plan that compiles it to the tuned codes.")
def finetune(
    model: Path, data: Path, target: str, plan: Path | None, weight_bits: str | None, message_bits: int,
    input_scale: float | None, epochs: int, patience: int,
    rate: float, batch: int, imitation: float, held_out: float, checkpoint: Path | None, device: str,
    encode: str | None, batch_first: bool, seed: int, dialect: str | None, decide: str | None, as_json: bool,
    output: Path, plan_output: Path | None,
) -> None:  # fmt: skip
    """Train a NIR model further while it computes in the chip's own integers, and write it back as NIR.

    Scales, thresholds and leaks stay, on Xylo biases, too; weights and other biases move, so that the tuned file,
    compiled with the tuned plan, is the network that was trained. With --encode rate, each epoch draws new spikes. The
    float network's own answers guide the training; part of --data is held out to tell when to stop. Use other data
    than what accuracy is measured on.
    """
    from neurodeploy.files import check_outputs
    from neurodeploy.finetuning.finetune import finetune as finetune_model
    from neurodeploy.finetuning.options import Training
    from neurodeploy.importers.lower import read_network
    from neurodeploy.ir.plan import load_plan, save_plan

    check_outputs((output, plan_output, checkpoint), (model, data, plan))
    network, _, _ = read_network(model, dialect)
    for line in network.evidence:
        say(line)
    inputs = network.inputs

    def draw(epoch: int) -> Data:
        found: Data = read_data(data, inputs, encode, batch_first, seed + epoch)
        return found

    tuned = finetune_model(
        model,
        draw if encode and encode.startswith("rate") else draw(0),
        target,
        dialect=dialect,
        decide=decide,
        plan=load_plan(plan) if plan else None,
        weight_bits=_bits(weight_bits),
        training=Training(epochs, patience, rate, batch, imitation, held_out, seed, device),
        checkpoint=checkpoint,
        report=lambda epoch: _say_epoch(epoch, epochs),
        output=output,
        message_bits=message_bits,
        input_scale=input_scale,
    )
    if plan_output is not None:
        save_plan(tuned.plan, plan_output)
    if as_json:
        print_json(_summary(tuned, output, plan_output))
        return
    _print(tuned, output, plan_output)


def _bits(text: str | None) -> Any:
    """Return bits as a whole number, or the word that they are."""
    return int(text) if text is not None and text.isdigit() else text


def _say_epoch(epoch: Epoch, n_epochs: int) -> None:
    speed = f", {epoch.steps_per_second:.1f} steps/s" if epoch.number else " before training"
    loss = f"loss {epoch.loss:.4f}, " if epoch.number else ""
    say(
        f"epoch {epoch.number}/{n_epochs}: {loss}held out {-epoch.score.less_loss:.4f}, accuracy"
        f" {epoch.score.accuracy:.4f}{speed}"
    )


def _summary(tuned: Tuned, output: Path, plan_output: Path | None) -> dict[str, object]:
    return {
        "model": str(output),
        "plan": None if plan_output is None else str(plan_output),
        "best_epoch": tuned.best.number,
        "held_out_accuracy": tuned.best.score.accuracy,
        "held_out_loss": -tuned.best.score.less_loss,
        "steps_per_second": tuned.steps_per_second,
        "trained": list(tuned.trained),
        "fixed": list(tuned.fixed),
    }


def _print(tuned: Tuned, output: Path, plan_output: Path | None) -> None:
    click.echo(f"trained: {', '.join(tuned.trained)}")
    if tuned.fixed:
        click.echo(f"not trained, because the chip stores sums of their weights: {', '.join(tuned.fixed)}")
    click.echo(
        f"epoch {tuned.best.number} is the best: held-out accuracy {tuned.best.score.accuracy:.4f}; judge the model"
        " by its accuracy on data that it was never trained on"
    )
    if tuned.steps_per_second:
        click.echo(f"{tuned.steps_per_second:.1f} steps per second")
    for path in (output, plan_output):
        if path is not None:
            click.echo(str(path))
