"""What the digit models share: the data, their spike codes, the training loop and the files of a model's folder.

Data: scikit-learn's 8 x 8 digits, which are the test set of the UCI "Optical Recognition of Handwritten Digits"
(E. Alpaydin and C. Kaynak, 1998, doi:10.24432/C50P49), 1797 images with 17 grey levels. 30 % of them, drawn evenly
from all classes, are held out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.exporters.export import export
from neurodeploy.files import write_npz

SPLIT_SEED = 2024
TEST_SHARE = 0.3
N_CALIBRATE = 128
GREY_LEVELS = 16

Encode = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.uint8]]
Augment = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]
WriteModel = Callable[[Path, Any, NDArray[np.uint8]], tuple[str, ...]]
"""Writes ``model.nir`` and ``trained.npz`` of a folder, from the module and the test spikes; returns lines to print."""


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """Images, float32 [N, 8, 8] in 0 to 1, and labels, int64 [N]."""

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.float32]
    test_labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one model is trained.

    encode: from images and a generator to spikes, uint8 [T, B, *shape].
    sample_shape: shape of one sample at one step.
    epochs, batch, rate: of Adam with a cosine schedule. seed: of weights, batches and spike codes.
    max_weight, max_bias: weights and biases are clipped to these after each step, in units of the threshold, so that
        eight-bit codes stay fine and no bias is beyond what a chip's warm-up steps can absorb.
    correct_rate, incorrect_rate: in how many steps the label's output neuron, and each other one, is trained to fire.
    augment: changes the images of each batch before they are encoded, or None.
    """

    encode: Encode
    sample_shape: tuple[int, ...]
    epochs: int
    batch: int = 64
    rate: float = 5e-3
    seed: int = 7
    max_weight: float = 1.0
    max_bias: float = 0.1
    correct_rate: float = 0.8
    incorrect_rate: float = 0.05
    augment: Augment | None = None


def load_split() -> Split:
    """Return the digits, split by a fixed seed."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = (digits.images / GREY_LEVELS).astype(np.float32)
    labels = digits.target.astype(np.int64)
    train_x, test_x, train_y, test_y = train_test_split(
        images, labels, test_size=TEST_SHARE, stratify=labels, random_state=SPLIT_SEED
    )
    return Split(train_x, train_y, test_x, test_y)


def rate_code(images: NDArray[np.float32], n_steps: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return spikes [T, B, 8, 8] that fire at each step with a probability equal to the pixel's grey."""
    return (rng.random((n_steps, *images.shape), dtype=np.float32) < images).astype(np.uint8)


def fit(model: Any, recipe: Recipe, split: Split) -> None:
    """Train a module in place: surrogate gradients through time, squared error of the output's spike counts."""
    import snntorch.functional as snn_functional
    import torch

    rng = np.random.default_rng(recipe.seed)
    loss_of = snn_functional.mse_count_loss(recipe.correct_rate, recipe.incorrect_rate)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.epochs)
    model.train()
    for epoch in range(recipe.epochs):
        order = rng.permutation(len(split.train_labels))
        losses = []
        for start in range(0, len(order), recipe.batch):
            chosen = order[start : start + recipe.batch]
            images = split.train_images[chosen]
            if recipe.augment is not None:
                images = recipe.augment(images, rng)
            spikes = recipe.encode(images, rng).reshape(-1, len(chosen), *recipe.sample_shape)
            loss = loss_of(model(torch.from_numpy(spikes).float()), torch.from_numpy(split.train_labels[chosen]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            clip(model, recipe)
            losses.append(loss.item())
        schedule.step()
        print(f"epoch {epoch + 1}/{recipe.epochs}  loss {np.mean(losses):.4f}", flush=True)
    model.eval()


def clip(model: Any, recipe: Recipe) -> None:
    """Clip weights and biases in place to the recipe's bounds."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            bound = recipe.max_bias if name.endswith("bias") else recipe.max_weight
            parameter.clamp_(-bound, bound)


def accuracy(model: Any, x: NDArray[np.uint8], y: NDArray[np.int64]) -> float:
    """Return the share of samples whose label fires most; the lowest class wins a tie."""
    import torch

    with torch.no_grad():
        counts = model(torch.from_numpy(x).float()).sum(0).numpy()
    return float((counts.argmax(1) == y).mean())


def rounded(build: Callable[[], Any], model: Any, bits: int) -> Any:
    """Return a copy whose weights are codes of ``bits`` bits, scaled to each layer's largest weight; biases stay."""
    import torch

    other = build()
    other.load_state_dict(model.state_dict())
    step = 2 ** (9 - bits)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            if name.endswith("weight"):
                scale = parameter.abs().max() / (256 - step)
                parameter.copy_((parameter / scale / step).round() * step * scale)
    return other


def export_model(folder: Path, model: Any, test_x: NDArray[np.uint8]) -> tuple[str, ...]:
    """Export the factory ``build`` of a folder's script with its weights, and record what its framework fires.

    Args:
        folder: with ``train.py`` and ``weights.pt``.
        model: the trained module; it is built again from the weights.
        test_x: spikes, uint8 [T, B, *shape].

    Returns:
        The export's findings.
    """
    return export(
        f"{folder / 'train.py'}:build",
        weights=folder / "weights.pt",
        sample_shape=test_x.shape[2:],
        output=folder / "model.nir",
        inputs=test_x,
        record_output=folder / "trained.npz",
        record=("spikes",),
    ).findings


def make_folder(folder: Path, build: Callable[[], Any], recipe: Recipe, write_model: WriteModel = export_model) -> None:
    """Train a model and write all files of its folder but the card.

    Writes ``weights.pt``, ``model.nir``, ``test.npz``, ``calibrate.npz`` and ``trained.npz``; prints what the card
    quotes.
    """
    import torch

    torch.manual_seed(recipe.seed)
    torch.set_num_threads(1)
    split = load_split()
    model = build()
    fit(model, recipe, split)
    torch.save(model.state_dict(), folder / "weights.pt")
    rng = np.random.default_rng(SPLIT_SEED)
    shape = recipe.sample_shape
    test_x = recipe.encode(split.test_images, rng).reshape(-1, len(split.test_labels), *shape)
    calibrate_x = recipe.encode(split.train_images[:N_CALIBRATE], rng).reshape(-1, N_CALIBRATE, *shape)
    write_npz(folder / "test.npz", {"x": test_x, "y": split.test_labels})
    write_npz(folder / "calibrate.npz", {"x": calibrate_x, "y": split.train_labels[:N_CALIBRATE]})
    print("\n".join(write_model(folder, model, test_x)))
    for bits in (8, 6):
        print(
            f"accuracy with {bits}-bit weights {accuracy(rounded(build, model, bits), test_x, split.test_labels):.4f}"
        )
    print(f"accuracy {accuracy(model, test_x, split.test_labels):.4f} on {len(split.test_labels)} held-out samples")
