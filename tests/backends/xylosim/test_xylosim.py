"""Definition and kernel are the real XyloSim."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.backends.xylosim import simulate
from neurodeploy.families.xylo import definition, kernel
from tests.families.xylo.configurations import draw
from tests.families.xylo.test_xylo_definition import SEEDS

pytestmark = [pytest.mark.usefixtures("xylosim"), pytest.mark.timeout(900)]


@pytest.mark.parametrize("seed", SEEDS)
def test_random_configuration_is_met_in_all_registers(seed: int) -> None:
    case = draw(seed)
    recorded = simulate.run(case.codes, case.inputs)
    assert definition.run(case.codes, case.inputs).differences(recorded) == {}
    assert kernel.run(case.codes, case.inputs).differences(recorded) == {}


def test_a_fault_in_the_definition_would_be_seen() -> None:
    case = draw(0)
    hidden = replace(case.codes.hidden, threshold_code=case.codes.hidden.threshold_code + 1)
    recorded = simulate.run(replace(case.codes, hidden=hidden), case.inputs)
    assert "v" in definition.run(case.codes, case.inputs).differences(recorded)


def test_chunks_of_a_long_run_join(monkeypatch: pytest.MonkeyPatch) -> None:
    case = draw(2)
    monkeypatch.setattr(simulate, "CHUNK", 7)
    seen: list[tuple[int, int]] = []
    recorded = simulate.run(case.codes, case.inputs, progress=lambda done, total: seen.append((done, total)))
    assert definition.run(case.codes, case.inputs).differences(recorded) == {}
    n_steps, n_samples = case.inputs.shape[:2]
    assert seen[-1] == (n_steps * n_samples, n_steps * n_samples)
    assert len(seen) == n_samples * -(-n_steps // 7)


def test_configuration_without_outputs_runs() -> None:
    codes = draw(1).codes
    outputs = replace(
        codes.outputs, dash_syn=np.zeros((1, 0), int), dash_mem=[], threshold_code=[], bias_code=[]
    )  # fmt: skip
    codes = replace(codes, outputs=outputs, weight_out=np.zeros((codes.hidden.size, 1, 0), int))
    inputs = np.ones((20, 3, codes.n_in), np.uint8)
    assert definition.run(codes, inputs).differences(simulate.run(codes, inputs)) == {}


def test_configuration_without_inputs_is_refused() -> None:
    codes = draw(1).codes
    with pytest.raises(ValueError, match="at least one input channel"):
        simulate.run(replace(codes, weight_in=codes.weight_in[:0]), np.ones((20, 3, 0), np.uint8))
