"""Agreement, first differences, decisions and intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from neurodeploy.cli.compare import diff as diff_command
from neurodeploy.coding.scoring import agreement, decide, wilson
from neurodeploy.comparison.measures import diff, first_difference
from neurodeploy.errors import DeployError
from neurodeploy.ir.recording import Recording, save_recording


def recording(**nodes: np.ndarray) -> Recording:
    return Recording({name: {"spikes": values} for name, values in nodes.items()}, {"outputs": [list(nodes)[-1]]})


def test_agreement_is_the_share_of_spikes_in_common() -> None:
    a, b = np.array([1, 1, 0, 0, 1]), np.array([1, 0, 1, 0, 1])
    assert agreement(a, b) == pytest.approx(2 / 4)
    assert agreement(a, a) == 1.0
    assert agreement(0 * a, 0 * a) == 1.0


def test_the_first_difference_is_the_earliest_row_then_the_first_node() -> None:
    zeros = np.zeros((5, 3, 2, 2), np.uint8)
    early, late = zeros.copy(), zeros.copy()
    early[2, 1, 0, 1] = 1
    early[4, 1, 1, 1] = 1
    late[2, 0, 1, 0] = 1
    found = first_difference(recording(a=zeros, b=zeros), recording(a=early, b=late), ("a", "b"))
    assert found is not None
    assert (found.node, found.t, found.sample, found.unit, found.a, found.b, found.count) == (
        "a",
        2,
        1,
        (0, 1),
        0,
        1,
        2,
    )
    assert first_difference(recording(a=zeros), recording(a=zeros), ("a",)) is None


def test_the_output_with_most_spikes_decides_and_ties_go_to_the_lowest() -> None:
    raster = np.zeros((4, 3, 3), np.uint8)
    raster[:, 0, 2] = 1
    raster[:2, 1, 1:] = 1
    assert decide(recording(out=raster)).tolist() == [2, 1, 0]


def test_wilsons_interval_has_published_values() -> None:
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857, table I, method 3
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_recordings_that_share_nothing_cannot_be_held_together() -> None:
    zeros = np.zeros((2, 1, 1), np.uint8)
    with pytest.raises(ValueError, match="share no node"):
        diff(recording(a=zeros), recording(b=zeros))
    with pytest.raises(ValueError, match="have shapes"):
        diff(recording(a=zeros), recording(a=np.zeros((3, 1, 1), np.uint8)))


def test_values_are_held_together_in_the_models_units() -> None:
    volts = np.arange(12.0).reshape(4, 1, 3)
    a = Recording({"li": {"value": volts}}, {})
    b = Recording({"li": {"value": (volts * 64).astype(np.int32) + 32}}, {"units": {"li": {"unit": "V", "scale": 64}}})
    found = diff(a, b)["values"]["li"]
    assert (found["mean_absolute_error"], found["correlation"]) == pytest.approx((0.5, 1.0))


def test_recordings_that_are_equal_prove_nothing_where_nothing_fires_or_nothing_is_in_the_same_unit() -> None:
    fires = np.ones((3, 2, 1), np.uint8)
    assert diff(recording(a=0 * fires), recording(a=0 * fires))["not_judged"] == "no node fires in either recording"
    assert diff(recording(a=0 * fires, b=fires), recording(a=0 * fires, b=fires))["not_judged"] is None
    volts = Recording({"a": {"v": np.ones((3, 2, 1), np.float32)}}, {})
    codes = Recording({"a": {"v": np.ones((3, 2, 1), np.int32)}}, {})
    apart = diff(volts, codes)
    assert "no observable in common that is in the same unit" in apart["not_judged"]
    assert apart["apart"] == ["v of a"]
    assert diff(volts, volts)["not_judged"] is None


def test_codes_of_different_scales_are_held_together_in_volts_only(tmp_path: Path) -> None:
    volts = np.arange(12.0).reshape(4, 1, 3)

    def codes(scale: float | None, program: str = "p") -> Recording:
        units = {} if scale is None else {"a": {"unit": "V", "scale": scale}}
        values = (volts * (scale or 64)).astype(np.int32)
        return Recording(
            {"a": {"v": values, "spikes": np.ones((4, 1, 3), np.uint8)}}, {"units": units, "program_sha256": program}
        )

    other = diff(codes(64), codes(32))
    assert (other["apart"], other["first_difference"]) == (["v of a"], None)
    assert other["values"]["a.v"]["mean_squared_error"] == 0
    same = diff(codes(64), codes(64, "q"))
    assert (same["apart"], same["values"]) == ([], {})
    # Where neurons have scales of their own, only the same program has the same ones.
    assert diff(codes(None), codes(None))["apart"] == []
    unknown = diff(codes(None), codes(None, "q"))
    assert (unknown["apart"], unknown["values"]) == (["v of a"], {})
    for name, one in (("a", codes(64)), ("b", codes(32))):
        save_recording(one, tmp_path / f"{name}.npz")
    said = CliRunner().invoke(diff_command, [str(tmp_path / "a.npz"), str(tmp_path / "b.npz")])
    assert said.exit_code == 0
    assert "a.v: mean squared error 0," in said.stdout
    assert "v of a: not in the same unit in both" in said.stdout


def test_recordings_are_given_as_paths_too(tmp_path: Path) -> None:
    one = recording(a=np.ones((3, 2, 1), np.uint8))
    save_recording(one, tmp_path / "a.npz")
    assert diff(tmp_path / "a.npz", str(tmp_path / "a.npz"))["agreement"] == {"a": 1.0}
    with pytest.raises(DeployError):
        diff(tmp_path / "b.npz", one)


def test_what_only_one_recording_has_is_said_and_silence_is_no_equality(tmp_path: Path) -> None:
    fires = np.ones((3, 2, 1), np.uint8)
    for name, nodes in {"one": {"a": fires}, "both": {"a": fires, "b": fires}, "silent": {"a": 0 * fires}}.items():
        save_recording(recording(**nodes), tmp_path / f"{name}.npz")

    def told(a: str, b: str) -> tuple[int, str]:
        done = CliRunner().invoke(diff_command, [str(tmp_path / f"{a}.npz"), str(tmp_path / f"{b}.npz")])
        return done.exit_code, done.stdout

    code, said = told("one", "both")
    assert code == 0
    assert "b: recorded only in " in said
    assert said.endswith("equal in all that was compared\n")
    code, said = told("silent", "silent")
    assert code == 1
    assert said.endswith("not judged: no node fires in either recording\n")
    assert told("both", "both")[1].endswith("\nequal\n")


def test_what_only_one_recording_keeps_of_a_node_is_not_compared() -> None:
    fired = np.array([[[1, 0]], [[0, 1]]], np.uint8)
    one = Recording({"a": {"spikes": fired}}, {"backend": "one"})
    two = Recording({"a": {"spikes": fired, "v": fired.astype(np.float32)}}, {"backend": "two"})
    assert diff(one, two)["first_difference"] is None


def test_units_that_a_file_leaves_open_are_those_of_its_program(tmp_path: Path) -> None:
    meta = {"backend": "one", "units": None, "program_sha256": "ab"}
    one = Recording({"a": {"v": np.ones((2, 1, 3), np.int32)}}, meta)
    save_recording(one, tmp_path / "r.npz")
    assert diff(tmp_path / "r.npz", tmp_path / "r.npz")["first_difference"] is None
