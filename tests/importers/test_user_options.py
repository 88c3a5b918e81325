"""Keys of the option, and files of answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.importers.settle import resolve_dialect
from tests.importers.exported import graph_of, neuron, said_by


def test_an_answer_may_differ_between_neurons(tmp_path: Path) -> None:
    np.save(tmp_path / "bias.npy", np.array([0.0, 0.1, 0.2]))
    option = f"rockpool,bias=@{tmp_path / 'bias.npy'},rest=default"
    assert resolve_dialect(graph_of(neuron("rockpool")), option).settings["lif"].bias == (0.0, 0.1, 0.2)


@pytest.mark.parametrize(
    ("key", "message"), [("bias", "not a .npy file of numbers"), ("dt", "dt has one value for all neurons of a node")]
)
def test_a_file_that_is_no_answer_is_refused(tmp_path: Path, key: str, message: str) -> None:
    (tmp_path / "text.npy").write_text("0.1")
    with pytest.raises(DeployError, match=message):
        resolve_dialect(graph_of(neuron("rockpool")), f"rockpool,{key}=@{tmp_path / 'text.npy'}")


@pytest.mark.parametrize("option", ["size=3", "lif1:size=3"])
def test_a_key_that_no_dialect_has_is_refused_at_the_option(tmp_path: Path, option: str) -> None:
    with pytest.raises(DeployError, match="no dialect has a key 'size'") as caught:
        resolve_dialect(said_by(tmp_path, {}), option)
    assert caught.value.where == "--dialect"
