"""Which dialect a graph is read in: the option, then the file; what nobody says is asked for."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.importers.settle import settle_dialect
from neurodeploy.importers.nir_graph import read_graph
from tests.conftest import chain_edges, cuba, lif, save_nir


@pytest.fixture
def silent_model(tmp_path: Path) -> Path:
    """A file without metadata, as snnTorch's own exporter writes it."""
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "lif1": lif((3,)),
        "lif2": cuba((3,)),
        "output": nir.Output({"output": np.array([3])}),
    }
    return save_nir(tmp_path / "silent.nir", nodes, chain_edges("input", "lif1", "lif2", "output"), None)


def test_a_file_that_says_nothing_is_asked_about_with_both_readings(silent_model: Path) -> None:
    with pytest.raises(DeployError, match=r"as snnTorch's exporter writes it, or SpikingJelly's") as caught:
        settle_dialect(read_graph(silent_model))
    assert "--dialect snntorch,reset=zero" in caught.value.fix


def test_a_reset_that_nobody_says_is_asked_for(silent_model: Path) -> None:
    with pytest.raises(DeployError, match="node 'lif1' is read as snntorch, and the file does not say its reset"):
        settle_dialect(read_graph(silent_model), "snntorch")


def test_a_time_step_that_nobody_says_is_asked_for(silent_model: Path) -> None:
    with pytest.raises(DeployError, match="the file does not say its dt"):
        settle_dialect(read_graph(silent_model), "nir")


def test_the_option_wins_over_the_file(fc_model: Path) -> None:
    graph = read_graph(fc_model)
    assert settle_dialect(graph).settings["lif1"].reset == "value"
    assert settle_dialect(graph, "reset=subtract").settings["lif1"].reset == "subtract"


def test_a_node_can_differ_from_the_graph(fc_model: Path) -> None:
    settings = settle_dialect(read_graph(fc_model), "snntorch,reset=zero,lif2:reset_delay=false").settings
    assert settings["lif1"].reset_delay
    assert not settings["lif2"].reset_delay


def test_snntorchs_late_reset_drops_the_input_of_nodes_with_a_current(silent_model: Path) -> None:
    settings = settle_dialect(read_graph(silent_model), "snntorch,reset=zero").settings
    assert not settings["lif1"].reset_drops_input
    assert settings["lif2"].reset_drops_input


def test_what_was_chosen_is_said(fc_model: Path) -> None:
    evidence = settle_dialect(read_graph(fc_model), "reset=subtract").evidence
    assert "dialect snntorch: written in the file" in evidence[0]
    assert "reset: subtract (--dialect)" in evidence


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("brian", "no dialect is called 'brian'"),
        ("norse", "dialect norse is not supported yet"),
        ("snntorch,reset=soft", "reset cannot be 'soft'"),
        ("snntorch,colour=red", "no dialect has a key 'colour'"),
        ("snntorch,max_spikes=3", "key 'max_spikes' is not supported yet"),
        ("snntorch,reset", "'reset' is no key=value"),
        ("snntorch,lif9:reset=zero", "there is no neuron 'lif9'"),
        ("nir,dt=0", "dt cannot be '0'"),
        ("snntorch,reset_delay=maybe", "reset_delay cannot be 'maybe'"),
    ],
)
def test_an_option_that_means_nothing_is_refused(fc_model: Path, option: str, message: str) -> None:
    with pytest.raises(DeployError, match=message):
        settle_dialect(read_graph(fc_model), option)
