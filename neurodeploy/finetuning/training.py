"""The training loop: batches through the integer forward pass, validation, early stopping and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurodeploy.backends.host import spike_inputs
from neurodeploy.backends.reference.backend import Reference
from neurodeploy.coding.data import Data
from neurodeploy.families import find_family
from neurodeploy.finetuning.options import Draw, Epoch, Score, Training
from neurodeploy.ir.decision import Decision, find_readout
from neurodeploy.ir.run_options import Inputs, RunOptions

GAIN = 16.0
"""Logits of a neuron that fires in every step; the difference between neurons is what counts."""

VALUE_GAIN = 4.0
"""Standard deviation of the float network's logits where neurons do not fire."""

CLIP = 1.0
"""Largest norm of the gradient of all latent tensors, whose values are within -1 to 1."""

EVALUATED_AT_ONCE = 256


NONE_YET = Epoch(0, math.nan, Score(-math.inf, 0.0), 0.0)


@dataclass(slots=True)
class Progress:
    """Where training stands: all that a checkpoint holds besides latents and optimiser."""

    epoch: int = 0
    best: Epoch = NONE_YET
    best_latents: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True, eq=False, slots=True)
class Samples:
    """Input ``[T, B, *shape]`` as a program takes it, labels ``[B]`` and the float network's logits ``[B, n]``."""

    inputs: Inputs
    labels: NDArray[np.int64]
    answers: NDArray[np.float64]

    def chosen(self, which: Any) -> Samples:
        """Return some of the samples."""
        inputs = {name: values[:, which] for name, values in self.inputs.items()}
        return Samples(inputs, self.labels[which], self.answers[which])


class Trainer:
    """A network in training.

    Args:
        start: the codes at the start, and the float network, whose answers are imitated.
        latents: what is trained; changed in place.
        draw: gives the training data of an epoch; epoch 0 gives the held-out samples.
        how: options.
        decision: what decides a sample.
    """

    def __init__(self, start: Any, latents: Any, draw: Draw, how: Training, decision: Decision) -> None:
        self.start, self.program, self.latents, self.draw, self.how = start, start.program, latents, draw, how
        self.family = find_family(start.program.family).trainer()
        self.network = self.family.IntegerNetwork(start.program, device=how.device)
        groups = [{"params": [latent], "scale": scale} for latent, scale in latents.step_scales()]
        self.optimiser = torch.optim.Adam(groups, lr=how.rate)
        assert decision.output is not None
        self.decision, self.read = decision, find_readout(self.program, decision.output)
        self.output = self.program.population(self.read.node)
        self.gain = GAIN
        first = self._samples(draw(0))
        if self.read.observable != "spikes":
            self.gain = VALUE_GAIN * GAIN / (float(first.answers.std()) or 1.0)
            first = replace(first, answers=first.answers * (self.gain / GAIN))
        order = np.random.default_rng(how.seed).permutation(len(first.labels))
        n_held = max(1, round(how.held_out * len(order)))
        self.kept = np.sort(order[n_held:])
        self.validation = first.chosen(np.sort(order[:n_held]))
        self.progress = Progress()

    @property
    def steps_an_epoch(self) -> int:
        """How many batches an epoch has."""
        return math.ceil(len(self.kept) / self.how.batch)

    def train(self, report: Callable[[Epoch], None], save: Callable[[], None]) -> None:
        """Train until epochs are over or patience is, and leave the best latents in place.

        Args:
            report: is called after each epoch.
            save: is called after each epoch, once all that a checkpoint holds is up to date.
        """
        progress = self.progress
        if not progress.best_latents:
            self._judge(0, math.nan, 0.0, report)
            save()
        while progress.epoch < self.how.epochs and progress.epoch - progress.best.number < self.how.patience:
            number = progress.epoch + 1
            started = time.perf_counter()
            loss = self._epoch(number)
            self._judge(number, loss, self.steps_an_epoch / (time.perf_counter() - started), report)
            save()
        with torch.no_grad():
            for latent, best in zip(self.latents.parameters(), progress.best_latents, strict=True):
                latent.copy_(best)

    def logits(self, inputs: Inputs) -> Tensor:
        """Return the output's answer to inputs ``[T, B, *shape]``, ``[B, n]``: spikes counted, or potentials summed."""
        n_steps = len(next(iter(inputs.values())))
        tensors = {name: torch.as_tensor(values.astype(np.float32)) for name, values in inputs.items()}
        traces = self.network.run(tensors, self.latents.codes(), self.latents.registers())
        rows = self.family.model_rows(self.program, traces, n_steps)[self.output.name]
        if self.read.observable == "spikes":
            return reduced(rows.fired.double(), self.decision) * self.gain
        per_volt = torch.as_tensor(self.start.register_units[self.output.name], device=rows.v.device)
        return reduced(rows.v / per_volt, self.decision) * self.gain

    def score(self) -> Score:
        """Return the score on held-out data."""
        right, loss, n = 0, 0.0, len(self.validation.labels)
        with torch.no_grad():
            for start in range(0, n, EVALUATED_AT_ONCE):
                part = self.validation.chosen(slice(start, start + EVALUATED_AT_ONCE))
                logits = self.logits(part.inputs)
                right += int((logits.argmax(1).cpu().numpy() == part.labels).sum())
                loss += float(self._loss(logits, part)) * len(part.labels)
        return Score(-loss / n, right / n)

    def _epoch(self, number: int) -> float:
        """Train on each sample once; return the mean loss."""
        samples = self._samples(self.draw(number))
        order = np.random.default_rng((self.how.seed, number)).permutation(self.kept)
        losses = []
        for index, start in enumerate(range(0, len(order), self.how.batch)):
            done = ((number - 1) * self.steps_an_epoch + index) / (self.how.epochs * self.steps_an_epoch)
            for group in self.optimiser.param_groups:
                group["lr"] = self.how.rate * group["scale"] * 0.5 * (1 + math.cos(math.pi * done))
            losses.append(self._step(samples.chosen(order[start : start + self.how.batch])))
        return float(np.mean(losses))

    def _step(self, batch: Samples) -> float:
        """Train on one batch; return its loss."""
        loss = self._loss(self.logits(batch.inputs), batch)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(self.latents.parameters()), CLIP)
        self.optimiser.step()
        self.latents.clamp_()
        return float(loss.detach())

    def _loss(self, logits: Tensor, samples: Samples) -> Tensor:
        """Return the cross entropies against labels and against the float network's answers, weighted."""
        cross_entropy, share = torch.nn.functional.cross_entropy, self.how.imitation
        of_labels = cross_entropy(logits, torch.as_tensor(samples.labels, device=logits.device))
        of_answers = cross_entropy(logits, torch.as_tensor(samples.answers, device=logits.device).softmax(1))
        return (1 - share) * of_labels + share * of_answers

    def _judge(self, number: int, loss: float, speed: float, report: Callable[[Epoch], None]) -> None:
        """Score the network after an epoch and keep it if it is the best."""
        epoch, progress = Epoch(number, loss, self.score(), speed), self.progress
        progress.epoch = number
        if epoch.score > progress.best.score:
            progress.best = epoch
            progress.best_latents = [latent.detach().clone() for latent in self.latents.parameters()]
        report(epoch)

    def _samples(self, data: Data) -> Samples:
        """Return data with the float network's answers to it."""
        inputs, output = spike_inputs(self.program, data.x), self.output
        floats = {
            name: values.astype(np.float32) / np.float32(self.program.input_scale.get(name, 1.0))
            for name, values in inputs.items()
        }
        read = (output.name,) if self.read.observable == "v" else ()
        options = RunOptions(record=("spikes",), nodes=(output.name,), device=self.how.device, membranes=read)
        rows = Reference().run(self.start.network, floats, options).nodes[output.name][self.read.observable]
        flat = torch.from_numpy(rows.reshape(*rows.shape[:2], -1).astype(np.float64))
        return Samples(inputs, labels_of(data), reduced(flat, self.decision).numpy() * self.gain)


def reduced(rows: Tensor, decision: Decision) -> Tensor:
    """Return what rows ``[T, B, n]`` say of each class, ``[B, classes]``, by the rule; sums as means over time."""
    if decision.groups is not None:
        rows = rows.reshape(*rows.shape[:2], decision.groups, -1).sum(3)
    match decision.rule:
        case "max":
            return rows.amax(0)
        case "last":
            return rows[-1]
    return rows.mean(0)


def labels_of(data: Data) -> NDArray[np.int64]:
    """Return the labels of data that has some; ValueError if it has none."""
    if data.labels is None:
        raise ValueError("data for training has labels")
    return data.labels
