"""Options and results of fine-tuning; without torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neurodeploy.coding.data import Data
from neurodeploy.errors import DeployError

Draw = Callable[[int], Data]
"""Gives the training data of an epoch, from 1; that of epoch 0 is for validation."""


@dataclass(frozen=True, slots=True)
class Training:
    """Options of training a network.

    epochs: at most. patience: epochs without a better score on held-out data before training ends.
    rate: of Adam at the start, for ternary weights in units of their largest code, less for finer codes (by the
        square root of their distance); it falls to 0 along a cosine. batch: samples of a step.
    imitation: weight, in the loss, of the answers that the float network gives, against that of the labels. These are
        what still tells networks apart on samples that the float network was trained on, all of which it gets right.
    held_out: share of the samples that is kept for validation. seed: of split, batches and encodings.
    device: of torch.
    """

    epochs: int = 40
    patience: int = 20
    rate: float = 0.01
    batch: int = 64
    imitation: float = 0.9
    held_out: float = 0.15
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 0 < self.rate < float("inf"):
            raise DeployError(
                f"--rate is {self.rate}; it must be above 0", where="--rate", fix="Give a number above 0."
            )
        if self.seed < 0:
            raise DeployError(
                f"--seed is {self.seed}; it must be at least 0",
                where="--seed",
                fix="Give a whole number of at least 0.",
            )


@dataclass(frozen=True, order=True, slots=True)
class Score:
    """The score of a network on held-out data: its loss, with the sign turned, then its share of right answers.

    The loss comes first because it tells networks apart when all answers are right.
    """

    less_loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """The result of one epoch; epoch 0 is before training."""

    number: int
    loss: float
    score: Score
    steps_per_second: float
