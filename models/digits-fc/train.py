"""Train digits-fc, two dense layers: ``python models/digits-fc/train.py`` writes this folder."""

from __future__ import annotations

import sys
from pathlib import Path

import snntorch as snn
import torch
from torch import nn

N_STEPS = 32
N_HIDDEN = 128


class DigitsFc(nn.Module):
    """64 inputs, 128 hidden and 10 output neurons; takes and returns whole sequences, [T, B, n]."""

    def __init__(self) -> None:
        """Make the layers, with torch's random weights."""
        super().__init__()
        self.fc1 = nn.Linear(64, N_HIDDEN)
        self.lif1 = snn.Leaky(beta=0.9, reset_mechanism="zero")
        self.fc2 = nn.Linear(N_HIDDEN, 10)
        self.lif2 = snn.Leaky(beta=0.9, reset_mechanism="zero")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output layer's spikes, [T, B, 10], for input spikes [T, B, 64]."""
        v1, v2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        out = []
        for step in range(x.shape[0]):
            spikes, v1 = self.lif1(self.fc1(x[step]), v1)
            spikes, v2 = self.lif2(self.fc2(spikes), v2)
            out.append(spikes)
        return torch.stack(out)


def build() -> nn.Module:
    """Return the untrained model."""
    return DigitsFc()


def main() -> None:
    """Train, export and record."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from digits import Recipe, make_folder, rate_code

    recipe = Recipe(lambda images, rng: rate_code(images, N_STEPS, rng), (64,), epochs=60, max_weight=0.6)
    make_folder(Path(__file__).resolve().parent, build, recipe)


if __name__ == "__main__":
    main()
