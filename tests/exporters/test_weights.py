"""Weights in the files that people have, and factories that take arguments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from neurodeploy.errors import DeployError
from neurodeploy.exporters.load_model import load_model

BODY = """
class Net(nn.Module):
    def __init__(self, hidden=5, kind="plain"):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, hidden), nn.Linear(hidden, 2)

    def forward(self, x):
        return self.fc2(self.fc1(x))

build = Net
"""


def trained(hidden: int = 5) -> dict[str, Any]:
    torch.manual_seed(7)
    return {
        f"fc{i}.{key}": value.detach()
        for i, layer in ((1, nn.Linear(6, hidden)), (2, nn.Linear(hidden, 2)))
        for key, value in layer.named_parameters()
    }


@pytest.mark.parametrize(
    ("wrap", "said"),
    [
        (lambda s: s, "weights: w.pt"),
        (lambda s: {"epoch": 3, "state_dict": s}, "'state_dict' of the checkpoint"),
        (
            lambda s: {"model_state_dict": s, "optimizer_state_dict": {"lr": 1e-3}},
            "'model_state_dict' of the checkpoint",
        ),
        (lambda s: {f"module.{k}": v for k, v in s.items()}, "'module.' in front"),
        (lambda s: {f"_orig_mod.{k}": v for k, v in s.items()}, "'_orig_mod.' in front"),
        (
            lambda s: {"pytorch-lightning_version": "2.0", "state_dict": {f"model.{k}": v for k, v in s.items()}},
            "'model.' in front",
        ),
        (lambda s: {f"module._orig_mod.{k}": v for k, v in s.items()}, "'module._orig_mod.' in front"),
    ],
)
def test_weights_are_found_in_checkpoints(
    wrap: Callable[[Any], Any], said: str, make_model: Callable[..., str], tmp_path: Path
) -> None:
    torch.save(wrap(trained()), tmp_path / "w.pt")
    model, findings = load_model(make_model(BODY, imports=""), tmp_path / "w.pt")
    assert torch.equal(model.fc2.weight, trained()["fc2.weight"])
    assert any(said in line for line in findings)


def test_factory_takes_arguments(make_model: Callable[..., str], tmp_path: Path) -> None:
    torch.save(trained(9), tmp_path / "w.pt")
    spec = make_model(BODY, "build(hidden=9, kind='x')", imports="")
    assert load_model(spec, tmp_path / "w.pt")[0].fc1.out_features == 9


@pytest.mark.parametrize("spec", ["build(9)", "build(hidden=open('x'))", "build(hidden=", "build(**{})"])
def test_arguments_that_are_no_literals_are_refused(spec: str, make_model: Callable[..., str]) -> None:
    with pytest.raises(DeployError, match="arguments that cannot be read"):
        load_model(make_model(BODY, spec, imports=""), None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_files_that_hold_code_are_refused(make_model: Callable[..., str], tmp_path: Path) -> None:
    spec = make_model(BODY, imports="")
    model = load_model(spec, None)[0]
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(DeployError, match=r"TorchScript archive(?s:.*)torch.jit.load"):
        load_model(spec, tmp_path / "script.pt")
    with pytest.raises(DeployError, match=r"pickled objects(?s:.*)state_dict"):
        load_model(spec, tmp_path / "whole.pt")
    assert model.fc1.in_features == 6


@pytest.mark.parametrize("body", ["[nn.Linear(6, 4), nn.Linear(4, 2)]", "{'a': nn.Linear(6, 4)}"])
def test_layers_in_python_lists_are_refused(body: str, make_model: Callable[..., str]) -> None:
    text = BODY.replace("        self.fc1, self.fc2", f"        self.layers = {body}\n        self.fc1, self.fc2")
    with pytest.raises(DeployError, match=r"layers is a Python (list|dict) of modules(?s:.*)nn.Module(List|Dict)"):
        load_model(make_model(text, imports=""), None)
