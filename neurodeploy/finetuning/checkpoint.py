"""Checkpoints: all that training needs to go on after a kill and come to the same result."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from neurodeploy.errors import DeployError, first_line
from neurodeploy.files import existing_file, read_tensors, write_bytes
from neurodeploy.finetuning.options import Epoch, Score
from neurodeploy.finetuning.training import Progress, Trainer, labels_of
from neurodeploy.ir.network import Network

FORMAT = "neurodeploy-finetuning"


def fingerprint(network: Network, trainer: Trainer) -> str:
    """Return a hash of all that the result of training depends on: model, start, options and data."""
    how = {key: value for key, value in asdict(trainer.how).items() if key != "device"}
    decides, formats = str(trainer.decision), sorted(trainer.program.number_formats.items())
    found = hashlib.sha256(repr((network.digest(), how, trainer.program.target, formats, decides)).encode())
    for projection in trainer.program.projections:
        found.update(projection.weight.tobytes())
    for population in trainer.program.populations:
        for values in population.arrays().values():
            found.update(values.tobytes())
    data = trainer.draw(0)
    for name in sorted(data.x):
        found.update(data.x[name].tobytes())
    found.update(labels_of(data).tobytes())
    return found.hexdigest()


def save_checkpoint(path: Path, of_what: str, trainer: Trainer) -> None:
    """Write where training stands.

    Args:
        path: the file, which is replaced.
        of_what: of :func:`fingerprint`.
        trainer: the training.

    Raises:
        DeployError: the file cannot be written.
    """
    stream, progress, best = io.BytesIO(), trainer.progress, trainer.progress.best
    content = {
        "format": FORMAT,
        "fingerprint": of_what,
        "latents": [latent.detach() for latent in trainer.latents.parameters()],
        "optimiser": trainer.optimiser.state_dict(),
        "epoch": progress.epoch,
        "best": [best.number, best.loss, best.score.less_loss, best.score.accuracy, best.steps_per_second],
        "best_latents": progress.best_latents,
    }
    torch.save(content, stream)
    write_bytes(path, stream.getvalue())


def load_checkpoint(path: Path, of_what: str, trainer: Trainer) -> None:
    """Set training to where a checkpoint stands.

    Args:
        path: the file.
        of_what: of :func:`fingerprint`, which the checkpoint's has to equal.
        trainer: the training, which is changed.

    Raises:
        DeployError: it is no whole checkpoint, or one of another model, other data or other options.
    """
    content = _read(path, trainer.network.device)
    if content.get("fingerprint") != of_what:
        raise DeployError(
            "the checkpoint is of another model, other data or other options",
            where=str(path),
            fix="Give the same model, data and options as before, or name another file to start anew.",
        )
    with _whole(path):
        _restore(content, trainer)


def _restore(content: dict[str, Any], trainer: Trainer) -> None:
    latents = list(trainer.latents.parameters())
    for key in ("latents", "best_latents"):
        if [saved.shape for saved in content[key]] != [latent.shape for latent in latents]:
            raise ValueError(f"its {key} have other shapes")
    with torch.no_grad():
        for latent, saved in zip(latents, content["latents"], strict=True):
            latent.copy_(saved)
    trainer.optimiser.load_state_dict(content["optimiser"])
    number, loss, less_loss, accuracy, speed = content["best"]
    best = Epoch(int(number), float(loss), Score(float(less_loss), float(accuracy)), float(speed))
    trainer.progress = Progress(int(content["epoch"]), best, content["best_latents"])


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    with _whole(path):
        content = read_tensors(existing_file(path, "a checkpoint"), device)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError("it holds other things than a checkpoint")
        return content


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Refuse, as no checkpoint, a file that raises anything."""
    try:
        yield
    except DeployError:
        raise
    except Exception as error:  # whatever a broken file raises, it is no checkpoint
        raise DeployError(
            f"this is not a checkpoint of finetune ({first_line(error)})",
            where=str(path),
            fix="Name another file; if it does not exist, it is made.",
        ) from error
