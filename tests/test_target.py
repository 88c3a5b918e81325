"""Target files: every fact has value, unit, kind and source."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurodeploy.codes import MESSAGE_BITS, RESETS
from neurodeploy.errors import DeployError
from neurodeploy.shipped import shipped_folder
from neurodeploy.target import load_target, read_target, target_names


@pytest.mark.parametrize("name", target_names())
def test_every_fact_says_where_it_comes_from(name: str) -> None:
    chip = load_target(name)
    for facts in (chip.neuron, chip.number_formats, chip.limits):
        for key, fact in facts:
            assert fact.source, key
            assert fact.kind in ("tested", "published", "secondary", "inferred"), key


@pytest.mark.parametrize("name", target_names())
def test_neurons_and_messages_are_those_that_programs_know(name: str) -> None:
    chip = load_target(name)
    assert set(chip.neuron.resets.value) <= set(RESETS)
    assert 0 <= chip.number_formats.message_bits_max.value <= MESSAGE_BITS[1]
    assert chip.neuron.spikes_per_step_max.value < 2 ** max(chip.number_formats.message_bits_max.value - 1, 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("adaptive_threshold = { value = true", "adaptive_threshold = { value = 3", "neuron.adaptive_threshold.value"),
        ("[neuron]", "[neuron]\nwings = 2", "neuron.wings"),
        ("refractory_max", "refractory", "neuron.refractory_max"),
    ],
)
def test_a_file_that_breaks_the_schema_is_refused_with_the_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (shipped_folder("targets") / "loihi2.toml").read_text()
    assert old in text
    (tmp_path / "t.toml").write_text(text.replace(old, new))
    with pytest.raises(DeployError, match=message):
        read_target(tmp_path / "t.toml")
