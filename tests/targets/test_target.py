"""Target files: every fact has value, unit, kind and source."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurodeploy.errors import DeployError
from neurodeploy.families.target_file import load_target, read_target, target_names
from neurodeploy.shipped import shipped_folder


@pytest.mark.parametrize("name", target_names())
def test_every_fact_says_where_it_comes_from(name: str) -> None:
    chip = load_target(name)
    for facts in (chip.neuron, chip.number_formats, chip.limits):
        for key, fact in facts:
            assert fact.source, key
            assert fact.kind in ("tested", "published", "secondary", "inferred"), key


@pytest.mark.parametrize("name", target_names())
def test_the_schema_says_of_every_fact_what_it_may_be(name: str) -> None:
    target = load_target(name)
    assert [key for key, _ in target.facts()] == list(target.ALLOWED)


NO_FACT = "is not a key that neurodeploy reads"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "adaptive_threshold = { value = true",
            "adaptive_threshold = { value = 3",
            "adaptive_threshold.value is 3, .*true",
        ),
        ("[neuron]", "[neuron]\nwings = 2", f"neuron.wings {NO_FACT}; there are adaptive_threshold, .*line 10"),
        ("refractory_max", "refractory", "neuron.refractory_max is missing.*neuron.refractory is not a key"),
        ('name = "loihi2"', 'name = "x"\nwings = 2', f"wings {NO_FACT}"),
        (
            "state_bits = { value = 24",
            "state_bits = { value = 12",
            "state_bits is 12, but it has to be 24 bit.*line 21",
        ),
        (
            "decay_bits = { value = 12",
            "decay_bits = { value = 10",
            "decay_bits is 10, but it has to be 12 bit.*line 22",
        ),
        ("decay_bits = { value = 12", "decay_bits = { value = -3", "decay_bits is -3, but it has to be 12 bit"),
        ("decay_bits = { value = 12", 'decay_bits = { value = "12"', "decay_bits.value is '12', .*a whole number"),
        ("bias_exponent_max = { value = 7", "bias_exponent_max = { value = 8", "is 8, but it has to be 0 to 7"),
        ("weight_bits_max = { value = 8", "weight_bits_max = { value = 0", "is 0, but it has to be 1 to 8 bit"),
        ("cores = { value = 128", "cores = { value = 0", "limits.cores is 0, but it has to be 1 to"),
        ('delay_max = { value = 62, unit = "step"', 'delay_max = { value = 62, unit = "ms"', "the unit 'ms'.*'step'"),
        (
            'arithmetic = "loihi"',
            'arithmetic = "xylo"',
            "arithmetic is 'xylo', but it has to be one of lava, loihi.*line 7",
        ),
        ('value = [">", ">="]', 'value = [">", "=>"]', "neuron.spike names =>; there are >, >="),
        ('value = [">", ">="]', 'value = [">="]', "it has to name '>'"),
        ('value = [">", ">="]', 'value = ">"', "neuron.spike.value is '>', but it has to be a list"),
        ('value = ["zero", ', "value = [", "neuron.resets .* has to name 'zero'"),
        ("message_bits_max = { value = 24", "message_bits_max = { value = 8", "spikes_per_step_max is .* at most 127"),
        ("cores = { value = 128", f"cores = {{ value = -1{'0' * 400}", r"limits.cores is -10+\.\.\.0+, but it has"),
        ("value = true", "value = 1", "value is 1, but it has to be true or false"),
        (
            "decay_bits = { value = 12",
            "decay_bits = { value = 12.0",
            "decay_bits.value is 12.0, but it has to be a whole",
        ),
        ('kind = "tested", source', 'kind = "guessed", source', "kind is 'guessed', but it has to be 'tested'"),
        ('source = "brian2_loihi and lava-dl: 6 bit, usable 0 to 62"', 'source = ""', "delay_max.source is ''"),
        ("profiles_of", "profile_of", f"energy.profile_of {NO_FACT}"),
        ('profiles_of = "loihi1"', 'profiles_of = "loihi3"', "profiles_of is 'loihi3'; there are loihi1"),
        ("[limits]", "[limits", "not valid TOML"),
    ],
)
def test_a_file_that_breaks_the_schema_is_refused_with_the_key(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (shipped_folder("targets") / "loihi2.toml").read_text()
    assert old in text
    (tmp_path / "t.toml").write_text(text.replace(old, new))
    with pytest.raises(DeployError, match=f"(?s){message}"):
        read_target(tmp_path / "t.toml")


PICOJOULES = """
extends = "loihi1"
[[energy.profiles]]
name = "mine"
title = "Mine"
source = "a table in pJ"
kind = "published"
basis = "measured"
synop = 23.6
neuron_active = 1e-12
neuron_inactive = -1e-12
"""


def written(tmp_path: Path, text: str, name: str = "mychip.toml") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_energies_that_cannot_be_are_refused_with_their_lines(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"synop is 23.6, .* at most 1e-06(?s:.*)neuron_inactive(?s:.*)lines 9, 11"):
        load_target(written(tmp_path, PICOJOULES))


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = 'extends = "loihi1"\n[limits]\ncores = 0\n[number_formats]\ndelay_max = -1\n'
    with pytest.raises(DeployError, match=r"delay_max is -1(?s:.*)cores is 0(?s:.*)lines 3, 5"):
        load_target(written(tmp_path, text))


def test_a_target_that_extends_another_states_only_what_differs(tmp_path: Path) -> None:
    own = 'threshold_bits = { value = 12, kind = "tested", source = "us" }'
    text = f'extends = "loihi2"\n[number_formats]\ndelay_max = 5\n{own}\n'
    chip, base = load_target(str(written(tmp_path, text))), load_target("loihi2")
    assert chip.name == "mychip"
    assert chip.number_formats.values() == base.number_formats.values() | {"delay_max": 5, "threshold_bits": 12}
    assert chip.number_formats.threshold_bits.source == "us"
    assert chip.number_formats.delay_max.kind == "inferred"
    assert chip.number_formats.delay_max.source == "mychip.toml, which names no source"
    assert chip.neuron == base.neuron


def test_a_file_may_extend_a_file_beside_it(tmp_path: Path) -> None:
    written(tmp_path, 'extends = "loihi1"\n[limits]\ncores = 3\n', "base.toml")
    chip = load_target(written(tmp_path, 'extends = "base.toml"\nname = "own"\ntitle = "Own"\n'))
    assert (chip.name, chip.title, chip.limits.cores.value) == ("own", "Own", 3)


def test_energies_of_the_extended_chip_stay_its_own(tmp_path: Path) -> None:
    energy = load_target(written(tmp_path, 'extends = "loihi1"\n')).energy
    assert energy.profiles == []
    assert energy.profiles_of == "loihi1"


@pytest.mark.parametrize(
    ("extended", "message"),
    [("mychip.toml", "extends itself"), ("loihi9", "neither a target nor"), ("", "neither a target")],
)
def test_what_cannot_be_extended_is_refused(tmp_path: Path, extended: str, message: str) -> None:
    with pytest.raises(DeployError, match=rf"{message}(?s:.*)line 1"):
        load_target(written(tmp_path, f'extends = "{extended}"\n'))


def test_a_target_that_was_changed_in_python_is_checked_as_a_file_is() -> None:
    chip = load_target("loihi2")
    formats = chip.number_formats
    narrow = formats.model_copy(update={"state_bits": formats.state_bits.model_copy(update={"value": 12})})
    with pytest.raises(DeployError, match="state_bits is 12, but it has to be 24 bit"):
        load_target(chip.model_copy(update={"number_formats": narrow}))


def test_an_object_where_a_list_has_texts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match=r"neuron\.spike\.value\[0\] is .*a text(?s:.*)line 3"):
        load_target(written(tmp_path, 'extends = "loihi2"\n[neuron]\nspike = [{ a = 1 }]\n'))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"name = " + b"1" * 5000, b"a = " + b"[" * 9000])
def test_bytes_that_are_no_toml_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.toml").write_bytes(content)
    with pytest.raises(DeployError, match=r"this is not a target file: .* not (valid TOML|UTF-8)"):
        load_target(tmp_path / "t.toml")


def test_a_target_file_of_many_megabytes_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text("a = [" + "1, " * 500_000 + "]")
    with pytest.raises(DeployError, match="a target file needs 1,500,006 bytes, but the limit is 1,048,576"):
        load_target(tmp_path / "t.toml")


def test_a_target_is_a_name_a_file_or_itself(tmp_path: Path) -> None:
    chip = load_target("loihi1")
    assert load_target(chip) is chip
    with pytest.raises(
        DeployError, match=r"no target is called 'loihi9'(?s:.*)loihi1, loihi2, xylo-.*, or name a TOML file"
    ):
        load_target("loihi9")
    with pytest.raises(DeployError, match=r"target is \{\}"):
        load_target({})  # type: ignore[arg-type]
    with pytest.raises(DeployError, match="a target file is needed, but this path does not exist"):
        load_target(str(tmp_path / "none.toml"))
