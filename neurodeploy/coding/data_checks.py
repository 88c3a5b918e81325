"""Checks of input data: its shape against the model's inputs, and bytes that are no spikes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import DeployError
from neurodeploy.ir.synapses import Shape


def check_levels(values: NDArray[Any], name: str, where: str) -> None:
    """Refuse bytes that are 0 and 255: black and white of an image, which would be spikes worth 255.

    Args:
        values: of any dtype and shape. name: of the input. where: the data, for messages.

    Raises:
        DeployError: an input holds them.
    """
    if values.dtype == np.uint8 and values.max(initial=0) == 255 and not ((values != 0) & (values != 255)).any():
        raise DeployError(
            f"input {name!r} holds only 0 and 255, like the black and white of an image, but spikes are 0 and 1",
            where=where,
            fix="Store x // 255 for spikes, or x / 255 for values; or turn static images into spikes with --encode.",
        )


def check_static(found: Shape, name: str, shape: Shape, path: Path, model: Path | str) -> None:
    """Refuse data that is to be encoded and is not static, ``[B, *shape]``.

    Args:
        found: the shape of the data. name: of the input. shape: of the input. path: of the data. model: its file.

    Raises:
        DeployError: the shapes differ, or there is nothing to run.
    """
    if found[:1] == (0,) and found[1:] == shape:
        raise DeployError(
            f"input {name!r} holds 0 samples, so there is nothing to run",
            where=str(path),
            fix="Give data with at least one sample.",
        )
    if found[1:] != shape:
        raise DeployError(
            f"input {name!r} has shape {found}, but --encode takes static data of shape [B, *{list(shape)}]",
            where=str(path),
            fix=without_batch(found[1:], shape, model)
            or "Leave out --encode if the data has a time axis already, or reshape the data.",
        )


def check_fits(found: Shape, name: str, shape: Shape, path: Path, model: Path | str) -> None:
    """Refuse data that is not ``[T, B, *shape]``, or of no step or sample.

    Args:
        found: the shape of the data. name: of the input. shape: of the input. path: of the data. model: its file.

    Raises:
        DeployError: the shapes differ, or there is nothing to run.
    """
    if 0 in found[:2] and found[2:] == shape:
        raise DeployError(
            f"input {name!r} holds {found[0]} steps and {found[1]} samples, so there is nothing to run",
            where=str(path),
            fix="Give data with at least one step and one sample.",
        )
    if len(found) < 2 or found[2:] != shape or 0 in found:
        raise DeployError(
            f"input {name!r} has shape {found}, but the model takes [T, B, *{list(shape)}]",
            where=str(path),
            fix=without_batch(found[2:], shape, model)
            or "Reshape the data, or use --batch-first for [B, T, ...] or --encode for static [B, ...].",
        )


def without_batch(of_data: Shape, of_model: Shape, model: Path | str) -> str:
    """Return what mends a model's file whose Input has the batch's axis, or nothing if that is not what is wrong.

    Args:
        of_data: shape of a sample of the data. of_model: shape of the model's input. model: its file.
    """
    extra = len(of_model) - len(of_data)
    if of_data and extra in (1, 2) and of_model[extra:] == of_data:
        return (
            "The Input of the model's file has an axis for the batch, which no step's input has; take it out:"
            f" neurodeploy inspect {model} --fix -o FIXED.nir makes it {list(of_data)}."
        )
    return ""
