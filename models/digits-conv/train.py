"""Train digits-conv, a small convolutional net: ``python models/digits-conv/train.py`` writes this folder."""

from __future__ import annotations

import sys
from pathlib import Path

import snntorch as snn
import torch
from torch import nn

N_STEPS = 20


class DigitsConv(nn.Module):
    """Two convolutions and a dense layer; takes [T, B, 1, 8, 8] and returns [T, B, 10]."""

    def __init__(self) -> None:
        """Make the layers, with torch's random weights."""
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.lif1 = snn.Leaky(beta=0.9, reset_mechanism="zero")
        self.conv2 = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.lif2 = snn.Leaky(beta=0.9, reset_mechanism="zero")
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(16 * 4 * 4, 10, bias=False)
        self.lif3 = snn.Leaky(beta=0.95, reset_mechanism="zero")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output layer's spikes, [T, B, 10], for input spikes [T, B, 1, 8, 8]."""
        v1, v2, v3 = self.lif1.reset_mem(), self.lif2.reset_mem(), self.lif3.reset_mem()
        out = []
        for step in range(x.shape[0]):
            spikes, v1 = self.lif1(self.conv1(x[step]), v1)
            spikes, v2 = self.lif2(self.conv2(spikes), v2)
            spikes, v3 = self.lif3(self.fc(self.flatten(spikes)), v3)
            out.append(spikes)
        return torch.stack(out)


def build() -> nn.Module:
    """Return the untrained model."""
    return DigitsConv()


def main() -> None:
    """Train, export and record."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from digits import Recipe, make_folder, rate_code

    recipe = Recipe(lambda images, rng: rate_code(images, N_STEPS, rng), (1, 8, 8), epochs=50, max_weight=0.7)
    make_folder(Path(__file__).resolve().parent, build, recipe)


if __name__ == "__main__":
    main()
