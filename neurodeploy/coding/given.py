"""Data as it is given in Python: samples, arrays or the path of a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from neurodeploy.coding.data import Data, Samples
from neurodeploy.coding.data_file import DataFile
from neurodeploy.errors import DeployError, known
from neurodeploy.ir.synapses import Shape

Given = Samples | Mapping[str, Any] | NDArray[Any] | Path | str
"""How data may be given in Python: samples, an array ``[T, B, *shape]`` for each input or the only one, or a file."""


def given_samples(data: Given, inputs: dict[str, Shape]) -> Samples:
    """Return data for a model as samples, however it was given.

    Args:
        data: samples, arrays ``[T, B, *shape]`` by input, the array of the only input, or the path of a file.
        inputs: shape of each input of the model, by name.

    Raises:
        DeployError: the file is no such data, names or arrays are not those of the inputs, or one array is given for
            several inputs.
    """
    if isinstance(data, (str, Path)):
        return DataFile(Path(data), inputs)
    if isinstance(data, Mapping):
        if set(data) != set(inputs):
            raise DeployError(
                f"the data holds inputs {known(data)}, but the model's inputs are {known(inputs)}",
                where="--input",
                fix="Name each array like the model's input that it is for; give labels with neurodeploy.Data(x,"
                " labels) or in a file.",
            )
        return Data({name: _numbers(values, name) for name, values in data.items()}, None, "arrays")
    if hasattr(data, "part"):
        return cast("Samples", data)
    if len(inputs) != 1:
        raise DeployError(
            f"the data is one array, and the model has several inputs: {known(inputs)}",
            where="--input",
            fix="Give a dictionary with an array for each input.",
        )
    (name,) = inputs
    return Data({name: _numbers(data, name)}, None, "an array")


def _numbers(values: Any, name: str) -> NDArray[Any]:
    """Return what is given for an input as an array ``[T, B, *shape]`` of real numbers."""
    try:
        found = np.asarray(values)
    except ValueError:  # lists of unequal lengths
        found = np.empty(0, object)
    if found.dtype.kind not in "biuf" or found.ndim < 2:
        raise DeployError(
            f"the data for input {name!r} is a {type(values).__name__}, not an array [T, B, ...] of real numbers",
            where="--input",
            fix="Give an array, samples as neurodeploy.load_data returns them, or the path of a data file.",
        )
    return found
