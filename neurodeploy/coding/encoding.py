"""Encodings of static values as spikes over time: rate, latency, repeat."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError, known

DEFAULT_STEPS = 32


@dataclass(frozen=True, slots=True)
class Encoding:
    """An encoding of static values as spikes over time.

    kind: ``rate`` (a spike in each step with the value as probability), ``latency`` (one spike, the earlier the
        larger the value, none for 0) or ``repeat`` (the value itself in every step: a current, which only the
        reference takes).
    steps: time steps T.
    scale: the value that stands for 1, or None for the largest in the data.
    """

    kind: str
    steps: int = DEFAULT_STEPS
    scale: float | None = None

    def __call__(self, values: NDArray[Any], rng: np.random.Generator | Draws) -> NDArray[Any]:
        """Return ``[T, B, *shape]`` for static values ``[B, *shape]`` of 0 and above."""
        if (values < 0).any():
            raise DeployError(
                f"the data holds values down to {values.min()}, and values below 0 cannot be encoded",
                where="--encode",
                fix="Scale or shift the data so that no value is below 0.",
            )
        share = np.clip(values / (self.scale or max(float(values.max()), 1e-30)), 0.0, 1.0)
        if self.kind == "rate":
            return np.asarray(rng.random((self.steps, *values.shape)) < share, np.uint8)
        if self.kind == "latency":
            when = np.rint((1.0 - share) * (self.steps - 1)).astype(np.int64)
            steps = np.arange(self.steps).reshape(-1, *(1,) * values.ndim)
            return np.asarray((steps == when) & (share > 0), np.uint8)
        return np.repeat(values[np.newaxis].astype(np.float32), self.steps, axis=0)


def parse_encoding(text: str) -> Encoding:
    """Return the encoding that ``KIND[,steps=N][,scale=X]`` describes.

    Raises:
        DeployError: the kind or a key is unknown, or a value is no number above 0.
    """
    kind, *items = [part.strip() for part in text.split(",")]
    kinds = ("rate", "latency", "repeat")
    if kind not in kinds:
        raise DeployError(f"no encoding is called {kind!r}", where="--encode", fix=f"Choose one of {known(kinds)}.")
    said: dict[str, Any] = {}
    for item in items:
        key, _, value = item.partition("=")
        if key not in ("steps", "scale"):
            raise DeployError(f"an encoding has no option {key!r}", where="--encode", fix="Write KIND,steps=N,scale=X.")
        try:
            said[key] = int(value) if key == "steps" else float(value)
        except ValueError:
            said[key] = 0
        if not said[key] > 0:
            raise DeployError(f"{key} cannot be {value!r}", where="--encode", fix=f"Give a number above 0 for {key}.")
    return Encoding(kind, **said)


class Draws:
    """Random numbers of part of the samples: those that one draw for all of them would give.

    Args:
        seed: of the draw. before: numbers drawn before, for other inputs. first: sample. n_samples: in all.
    """

    def __init__(self, seed: int, before: int, first: int, n_samples: int) -> None:
        self.seed, self.before, self.first, self.n_samples = seed, before, first, n_samples

    def random(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Return numbers from 0 to 1, float64 ``[T, B, ...]``; each takes one state of the generator."""
        found, each = np.empty(size), prod(size[2:])
        for t in range(size[0]):
            generator = np.random.PCG64(self.seed)
            generator.advance(self.before + (t * self.n_samples + self.first) * each)
            np.random.Generator(generator).random(out=found[t])
        return found
