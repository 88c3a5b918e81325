"""Notes on what contradicts the file or its parameters."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest

from neurodeploy.errors import DeployError
from neurodeploy.importers.nir_graph import read_graph
from neurodeploy.importers.settle import resolve_dialect
from tests.conftest import chain_edges, cuba, save_nir
from tests.importers.exported import graph_of, neuron, said_by


def test_a_name_that_contradicts_the_parameters_is_said() -> None:
    evidence = resolve_dialect(graph_of(neuron("rockpool")), "snntorch,dt=1e-3,rest=default").evidence
    assert any("the file is read as snntorch, but looks like rockpool" in line for line in evidence)


def test_a_key_that_contradicts_the_file_is_said(fc_model: Path) -> None:
    evidence = resolve_dialect(read_graph(fc_model), "reset=subtract").evidence
    assert "warning: lif1 is read with reset = subtract (--dialect), but the file says zero" in evidence


def test_a_reset_that_rsynaptic_ignores_is_said(tmp_path: Path) -> None:
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "rec": cuba((3,)),
        "w_rec": nir.Linear(np.eye(3)),
        "output": nir.Output({"output": np.array([3])}),
    }
    edges = [*chain_edges("input", "rec", "output"), ("rec", "w_rec"), ("w_rec", "rec")]
    model = save_nir(tmp_path / "rec.nir", nodes, edges, None)
    evidence = resolve_dialect(read_graph(model), "snntorch,reset_delay=false,rest=default").evidence
    assert any("which snnTorch 1.0.0 ignores in RSynaptic" in line for line in evidence)


@pytest.mark.parametrize("dialect", ["snntorch", "rockpool"])
def test_a_time_step_against_that_of_the_parameters_is_refused(dialect: str) -> None:
    with pytest.raises(DeployError, match=r"dt of 'lif' cannot be 0\.005: .* those of a step of"):
        resolve_dialect(graph_of(neuron(dialect)), f"{dialect},dt=0.005,rest=default")


def test_a_time_step_against_that_of_one_time_constant_is_said() -> None:
    evidence = resolve_dialect(graph_of(neuron("spikingjelly")), "spikingjelly,dt=0.005").evidence
    assert "warning: lif is read with dt = 0.005 s (--dialect), but its parameters say 0.0001 s" in evidence


@pytest.mark.parametrize(
    ("option", "is_said"),
    [
        ("dt=1e-4", False),
        ("dt=0.0001", False),
        ("reset_delay=False", False),
        ("reset_delay=true", True),
        ("dt=2e-4", True),
    ],
)
def test_an_option_that_contradicts_the_file_is_said(tmp_path: Path, option: str, is_said: bool) -> None:
    evidence = resolve_dialect(said_by(tmp_path, {}), option).evidence
    key = option.partition("=")[0]
    warnings = [line for line in evidence if line.startswith("warning: lif1 is read with ")]
    assert bool(warnings) is is_said
    assert all(f"lif1 is read with {key} = " in line and "but the file says " in line for line in warnings)
