"""Train digits-rows, a recurrent net that sees a digit row by row: ``python models/digits-rows/train.py``.

Its neurons are written here in plain torch, and its NIR file with the nir package alone: no training framework has
them, so the file says itself how they are to be read.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.coding.data import Data
from neurodeploy.coding.data_hash import data_sha256
from neurodeploy.comparison.equality import reference_equals
from neurodeploy.files import to_json, write_bytes
from neurodeploy.importers.lower import read_network
from neurodeploy.importers.metadata import METADATA_KEY
from neurodeploy.ir.recording import Recording, save_recording
from neurodeploy.ir.run_options import RunOptions
from neurodeploy.version import __version__

N_ROWS = 8
N_COLUMNS = 8
STEPS_PER_ROW = 4
BLANK_STEPS = 6
N_HIDDEN = 96
DT = 1e-3
DECAY_SYN, DECAY_MEM, DECAY_OUT = 0.75, 0.875, 0.9375
"""What synaptic current and potential keep in a step: 3072, 3584 and 3840 of 4096, which chips have exactly."""

RULES = {
    "decay": "euler", "gain": "euler", "gain_syn": "euler", "order": "decay-add", "spike": ">", "reset": "zero",
    "reset_delay": False, "reset_drops_input": False, "max_spikes": 1,
}  # fmt: skip
"""How the neurons are to be read, beyond what NIR says."""

SHARE_SHIFTED = 0.3


class Spike(torch.autograd.Function):
    """1 where ``v - threshold > 0``, with the slope of an arctangent for the gradient."""

    @staticmethod
    def forward(ctx: Any, above: torch.Tensor) -> torch.Tensor:  # noqa: D102
        ctx.save_for_backward(above)
        return (above > 0).to(above.dtype)

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> torch.Tensor:  # noqa: D102
        (above,) = ctx.saved_tensors
        return slope / (1 + (torch.pi * above).square())


class DigitsRows(nn.Module):
    """8 inputs, 96 recurrent CubaLIF and 10 LIF neurons; takes and returns whole sequences, [T, B, n].

    One step of the hidden neurons, with s the spikes of the step before, and of the output::

        i = 0.75 * i + fc1 x + bias + rec1 s      v = 0.875 * v + i        fires at v > 1, then v = 0 in this step
                                                  v = 0.9375 * v + fc2 s   fires at v > 1, then v = 0 in this step
    """

    def __init__(self) -> None:
        """Make the layers, with torch's random weights, those of the recurrence halved."""
        super().__init__()
        self.fc1 = nn.Linear(N_COLUMNS, N_HIDDEN)
        self.rec1 = nn.Linear(N_HIDDEN, N_HIDDEN, bias=False)
        self.fc2 = nn.Linear(N_HIDDEN, 10, bias=False)
        with torch.no_grad():
            self.rec1.weight.mul_(0.5)

    def spikes(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the spikes of both layers, [T, B, n], for input spikes [T, B, 8]."""
        drive = self.fc1(x)
        i = v = fired = drive.new_zeros(drive.shape[1:])
        v_out = drive.new_zeros(drive.shape[1], 10)
        hidden, out = [], []
        for current in drive:
            i = DECAY_SYN * i + current + self.rec1(fired)
            v, fired = _fire(DECAY_MEM * v + i)
            v_out, answer = _fire(DECAY_OUT * v_out + self.fc2(fired))
            hidden.append(fired)
            out.append(answer)
        return {"cuba1": torch.stack(hidden), "lif2": torch.stack(out)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output layer's spikes, [T, B, 10], for input spikes [T, B, 8]."""
        return self.spikes(x)["lif2"]


def _fire(v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return v after the reset of this step, and the spikes."""
    fired: torch.Tensor = Spike.apply(v - 1.0)
    return v * (1.0 - fired.detach()), fired


def build() -> nn.Module:
    """Return the untrained model."""
    return DigitsRows()


def encode(images: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return spikes [T, B, 8]: each row for four steps, in which its greys meet falling thresholds; then blank steps.

    A pixel above 7/8 fires in all four steps of its row, one above 1/8 in the last. Nothing is random.
    """
    levels = (np.arange(STEPS_PER_ROW)[::-1] + 0.5) / STEPS_PER_ROW
    steps = [images[:, row] > level for row in range(N_ROWS) for level in levels]
    blank = [np.zeros_like(steps[0])] * BLANK_STEPS
    return np.stack(steps + blank).astype(np.uint8)


def shift(images: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return images of which some are moved by one pixel to one of the four sides; what leaves the frame is lost."""
    chosen = rng.random(len(images)) < SHARE_SHIFTED
    side = rng.integers(0, 4, len(images))
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    moved = images.copy()
    for index, (down, right) in enumerate(((1, 0), (-1, 0), (0, 1), (0, -1))):
        window = padded[:, 1 - down : 1 - down + N_ROWS, 1 - right : 1 - right + N_COLUMNS]
        which = chosen & (side == index)
        moved[which] = window[which]
    return moved


def to_nir(model: Any) -> nir.NIRGraph:
    """Return the NIR graph, with time constants of which forward Euler with ``DT`` makes the decays, and gains of 1."""
    ones, ten = np.ones(N_HIDDEN), np.ones(10)

    def array(parameter: torch.Tensor) -> NDArray[np.float32]:
        return parameter.detach().numpy().copy()

    nodes = {
        "input": nir.Input({"input": np.array([N_COLUMNS])}),
        "fc1": nir.Affine(array(model.fc1.weight), array(model.fc1.bias)),
        "cuba1": nir.CubaLIF(
            tau_syn=ones * DT / (1 - DECAY_SYN),
            tau_mem=ones * DT / (1 - DECAY_MEM),
            r=ones / (1 - DECAY_MEM),
            v_leak=0 * ones,
            v_threshold=ones,
            v_reset=0 * ones,
            w_in=ones / (1 - DECAY_SYN),
        ),
        "rec1": nir.Linear(array(model.rec1.weight)),
        "fc2": nir.Linear(array(model.fc2.weight)),
        "lif2": nir.LIF(
            tau=ten * DT / (1 - DECAY_OUT), r=ten / (1 - DECAY_OUT), v_leak=0 * ten, v_threshold=ten, v_reset=0 * ten
        ),
        "output": nir.Output({"output": np.array([10])}),
    }
    chain = ("input", "fc1", "cuba1", "fc2", "lif2", "output")
    edges = [*pairwise(chain), ("cuba1", "rec1"), ("rec1", "cuba1")]
    metadata = {"dialect": "nir", "dt": DT, "exporter": "digits-rows/train.py", "outputs": ["lif2"], "rules": RULES}
    metadata["framework"] = {"torch": importlib.metadata.version("torch")}
    return nir.NIRGraph(dict(sorted(nodes.items())), sorted(edges), metadata={METADATA_KEY: to_json(metadata)})


def write_model(folder: Path, model: Any, test_x: NDArray[np.uint8]) -> tuple[str, ...]:
    """Write ``model.nir``, and as ``trained.npz`` what the module fires; return how the reference compares with it."""
    stream = io.BytesIO()
    nir.write(stream, to_nir(model))
    write_bytes(folder / "model.nir", stream.getvalue())
    with torch.no_grad():
        fired = model.spikes(torch.from_numpy(test_x).float())
    versions = {name: importlib.metadata.version(name) for name in ("nir", "torch")}
    meta = {
        "backend": "trained",
        "framework": "torch",
        "dialect": "nir",
        "dt": DT,
        "outputs": ["lif2"],
        "versions": {"neurodeploy": __version__, **versions},
        "model_sha256": hashlib.sha256(stream.getvalue()).hexdigest(),
        "data_sha256": data_sha256(Data({"input": test_x}, None, "test.npz")),
    }
    trained = Recording({name: {"spikes": rows.numpy().astype(np.uint8)} for name, rows in fired.items()}, meta)
    save_recording(trained, folder / "trained.npz")
    network = read_network(folder / "model.nir")[0]
    data = {"input": test_x.astype(np.float32)}
    equality = reference_equals(network, data, Reference().run(network, data, RunOptions()), trained)
    rates = ", ".join(f"{name} {100 * float(rows.mean()):.1f} %" for name, rows in fired.items())
    return (f"check: {equality['status']}, {equality['reason']}", f"fire per step: {rates}")


def main() -> None:
    """Train, write and record."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from digits import Recipe, make_folder

    recipe = Recipe(
        encode,
        (N_COLUMNS,),
        epochs=160,
        rate=2e-3,
        max_weight=0.5,
        max_bias=0.05,
        correct_rate=0.25,
        incorrect_rate=0.03,
        augment=shift,
    )
    make_folder(Path(__file__).resolve().parent, build, recipe, write_model)


if __name__ == "__main__":
    main()
