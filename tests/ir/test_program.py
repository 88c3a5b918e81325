"""Codes and programs that exist are whole: what no kernel, file or chip could mean is refused when it is made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from neurodeploy.families.loihi.codes import LoihiPopulation, NeuronModel
from neurodeploy.ir.codes import CodedProjection
from neurodeploy.ir.program import Program

CONV: dict[str, Any] = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


def population(name: str = "a", n: int = 2, **codes: Any) -> LoihiPopulation:
    plain = {"du": 4095, "dv": 0, "threshold_code": 10, "bias_mantissa": 0, "u_init": 0, "v_init": 0}
    return LoihiPopulation(name, (n,), bias_exponent=0, latency=0, **{"unit": 1.0, **plain, **codes})


def dense(source: str, target: str, weight: Any, **other: Any) -> CodedProjection:
    rest = {"exponent": 0, "weight_bits": 8, "sign_mode": "mixed", "delay": 1, **other}
    return CodedProjection(source, target, weight, **rest)


def program(**other: Any) -> Program:
    parts = {"inputs": {"in": (1,)}, "populations": (population(),), "projections": (dense("in", "a", [[2], [4]]),)}
    return Program("loihi2", "lava", outputs=("a",), dt=1e-3, dialect="nir", number_formats={}, **{**parts, **other})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("refractory", 1.5),
        ("refractory", True),
        ("refractory", 4097),
        ("refractory", -1),
        ("reset_interval", 2.5),
        ("reset_interval", 2**31),
        ("reset_offset", 0.5),
        ("max_spikes", 0),
        ("max_spikes", 2.5),
        ("max_spikes", True),
        ("max_spikes", 2**23 + 1),
        ("fires", 1),
        ("fires", None),
    ],
)
def test_a_neuron_model_of_wrong_numbers_is_refused_with_its_value(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"NeuronModel\.{key} is {value!r}, but it must be"):
        NeuronModel(**{key: value})


def test_the_extremes_of_a_neuron_model_are_taken() -> None:
    assert NeuronModel(refractory=4096, reset_interval=2**31 - 1, max_spikes=2**23).max_spikes == 2**23
    assert NeuronModel(max_spikes=None).max_spikes is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stride", (0, 1)),
        ("stride", (1, 1.5)),
        ("stride", 1),
        ("stride", (1, 1, 1)),
        ("padding", (0, -1)),
        ("dilation", (1, 0)),
        ("groups", 0),
        ("groups", None),
        ("groups", True),
    ],
)
def test_a_convolution_of_wrong_geometry_is_refused(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=key):
        dense("in", "a", np.full((1, 1, 1, 1), 2), **{**CONV, key: value})


@pytest.mark.parametrize("delay", [-1, 1.5, True, "2"])
def test_a_delay_is_a_whole_number_of_at_least_0(delay: Any) -> None:
    with pytest.raises(ValueError, match="delay is"):
        dense("in", "a", [[2]], delay=delay)


@pytest.mark.parametrize("codes", [1.7, [1.0, 2.0], np.nan, True, np.ones(2, bool), np.float32(3)])
def test_codes_that_are_no_integers_are_refused(codes: Any) -> None:
    with pytest.raises(ValueError, match="codes must be integers, got"):
        population(dv=codes)
    with pytest.raises(ValueError, match="codes must be integers, got"):
        dense("in", "a", np.broadcast_to(codes, (1, 2)))


def test_lists_of_integers_are_codes() -> None:
    assert population(dv=[3, 4]).dv.tolist() == [3, 4]
    assert population(n=0, dv=[]).size == 0


@pytest.mark.parametrize("unit", [np.inf, np.nan, "1", None])
def test_a_unit_is_a_finite_number(unit: Any) -> None:
    with pytest.raises(ValueError, match="unit"):
        population(unit=unit)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": {}, "projections": ()}, "there is no input"),
        ({"populations": (population(), population())}, r"\['a'\] name more than one"),
        ({"inputs": {"in": (1,), "a": (1,)}}, r"\['a'\] name more than one"),
        ({"inputs": {"in": (1,), "x/y": (1,)}}, "'x/y' cannot name an input or a population"),
        ({"populations": (population(), population("meta"))}, "'meta' cannot name"),
        ({"populations": (population(), population("counters"))}, "'counters' cannot name"),
        ({"populations": (population(), population(3))}, "3 cannot name"),
        ({"projections": (dense("no", "a", [[2], [2]]),)}, "starts at 'no', which does not exist"),
        ({"projections": (dense("in", "no", [[2], [2]]),)}, "ends at 'no', which is not a population"),
        ({"projections": (dense("a", "in", [[2, 2]]),)}, "ends at 'in', which is not a population"),
        ({"outputs": ("in",)}, r"outputs \['in'\] are not populations"),
        ({"inputs": {"in": (1.5,)}}, r"in has shape \(1.5,\)"),
        ({"message_bits": {"no": 8}}, r"given for \['no'\], which are not inputs"),
        ({"message_bits": {"in": 2.5}}, "message_bits of in is 2.5, but it must be a whole number from 1 to 24"),
        ({"message_bits": {"in": True}}, "message_bits of in is True"),
        ({"input_scale": {"in": 0}}, "input_scale of in is 0, but it must be a finite number above 0"),
        ({"input_scale": {"in": np.inf}}, "input_scale of in is inf"),
        ({"input_scale": {"in": "2"}}, "input_scale of in is '2'"),
        ({"dt": np.nan}, "dt is nan, but it must be a finite number"),
        ({"dt": "1"}, "dt is '1'"),
        ({"provenance": []}, "provenance is a list, but it must be a dict"),
    ],
)
def test_a_program_that_is_not_whole_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(program(), **change)
