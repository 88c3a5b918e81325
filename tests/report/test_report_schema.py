"""The comparison file keeps its schema, and the schema catches a file that is not whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neurodeploy.comparison.compare import Comparison
from neurodeploy.files import to_json
from neurodeploy.report.json_file import comparison_schema, write_comparison

jsonschema = pytest.importorskip("jsonschema")

DIFFERENCE = {"what": "v", "node": "lif1", "sample": 0, "t": 3, "unit": [4], "a": 17.0, "b": 18.0, "count": 2}

KEYS = [
    ("format",),
    ("version",),
    ("target",),
    ("samples",),
    ("steps",),
    ("nodes",),
    ("not_run",),
    ("equalities",),
    ("equalities", "reference_trained"),
    ("equalities", "emulator_lava", "reason"),
    ("accuracy",),
    ("accuracy_detail", "emulator", "interval_95"),
    ("agreement",),
    ("agreement_with",),
    ("first_difference",),
    ("first_difference", "reference-emulator", "count"),
    ("counters", "emulator"),
    ("energy",),
    ("energy", "statement"),
    ("energy", "events", "synops"),
    ("fit",),
    ("ladder",),
    ("warnings",),
    ("provenance", "model_sha256"),
    ("provenance", "dialect_evidence"),
    ("verdict",),
    ("verdict", "not_run"),
    ("verdict", "gates"),
    ("verdict", "gates", "accuracy"),
    ("verdict", "gates", "trained", "judged"),
    ("vacuous",),
    ("provenance", "data_sha256"),
]


def as_written(comparison: Comparison) -> dict[str, Any]:
    """Return the result as a reader of the file gets it."""
    written: dict[str, Any] = json.loads(to_json(comparison.result))
    return written


def broken(result: dict[str, Any]) -> list[str]:
    validator = jsonschema.Draft202012Validator(comparison_schema())
    return [error.message for error in validator.iter_errors(result)]


def test_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(comparison_schema())


@pytest.mark.parametrize("name", ["on_loihi1", "on_loihi2", "unlabelled", "hostile"])
def test_real_comparisons_keep_the_schema(name: str, request: pytest.FixtureRequest) -> None:
    assert broken(as_written(request.getfixturevalue(name))) == []


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_schema_catches_a_missing_key(path: tuple[str, ...], on_loihi2: Comparison) -> None:
    result = as_written(on_loihi2)
    place = result
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    assert broken(result)


def test_schema_catches_a_key_it_does_not_know(on_loihi2: Comparison) -> None:
    assert broken({**as_written(on_loihi2), "agreements": {}})


@pytest.mark.parametrize(
    "equality",
    [
        {"status": "pass", "reason": "equal", "samples": 4},
        {"status": "pass", "reason": "equal but for 2 ties", "samples": 4, "ties": 2},
        {"status": "fail", "reason": "they differ", "first_difference": DIFFERENCE, "samples": 4},
        {"status": "not-run", "reason": "lava is missing"},
    ],
)
def test_schema_takes_every_outcome_of_an_equality(equality: dict[str, Any], on_loihi2: Comparison) -> None:
    result = as_written(on_loihi2)
    result["equalities"]["emulator_lava"] = equality
    assert broken(result) == []


@pytest.mark.parametrize(
    "equality",
    [
        {"status": "fail", "reason": "they differ"},
        {"status": "pass", "reason": "equal"},
        {"status": "pass", "reason": "equal", "samples": 4, "first_difference": DIFFERENCE},
        {"status": "skipped", "reason": "no such status"},
    ],
)
def test_schema_refuses_an_equality_that_contradicts_itself(equality: dict[str, Any], on_loihi2: Comparison) -> None:
    result = as_written(on_loihi2)
    result["equalities"]["emulator_lava"] = equality
    assert broken(result)


@pytest.mark.parametrize(("judged", "passed"), [(True, None), (False, True)])
def test_schema_refuses_a_gate_that_contradicts_itself(judged: bool, passed: Any, on_loihi2: Comparison) -> None:
    result = as_written(on_loihi2)
    result["verdict"]["gates"]["accuracy"] |= {"judged": judged, "passed": passed}
    assert broken(result)


def test_schema_takes_the_equality_of_another_simulator(on_loihi2: Comparison) -> None:
    result = as_written(on_loihi2)
    result["equalities"]["emulator_other"] = {"status": "not-run", "reason": "other is missing"}
    assert broken(result) == []


def test_every_property_of_the_schema_with_a_unit_in_its_name_is_described() -> None:
    schema = comparison_schema()
    bare = [
        f"{name}.{key}"
        for name, part in {"": schema, **schema["$defs"]}.items()
        for key, value in part.get("properties", {}).items()
        if key.endswith(("_j", "_s", "_points")) and "description" not in value
    ]
    assert bare == []


def test_comparison_file_reads_back_as_the_result(on_loihi1: Comparison, tmp_path: Path) -> None:
    write_comparison(on_loihi1, tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text()) == as_written(on_loihi1)


def test_comparison_file_is_sorted_and_ends_in_a_newline(on_loihi1: Comparison, tmp_path: Path) -> None:
    write_comparison(on_loihi1, tmp_path / "r.json")
    text = (tmp_path / "r.json").read_text()
    assert text == json.dumps(json.loads(text), sort_keys=True, indent=2) + "\n"
