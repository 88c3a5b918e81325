"""Warnings are ranked and few."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from neurodeploy.comparison.warnings import ranked
from tests.comparison.test_verdict import compared, model

CAN = "{}: in {} of 9 neurons v can reach its lower limit under sustained inhibition (mostly weights of {} -> {})"
NODES = ("input", "lif1", "lif2", "lif10")


def test_what_did_happen_comes_before_what_is_known_and_what_can_happen() -> None:
    known = [CAN.format("lif1", 3, "input", "lif1"), "lif2: thresholds round to 1 weight unit"]
    assert ranked(["v was clipped 3 times"], known, NODES, "this run counted what did") == [
        "v was clipped 3 times",
        "lif2: thresholds round to 1 weight unit",
        "some input can take v of lif1 out of the register; this run counted what did",
    ]


def test_a_kind_has_one_line_whatever_its_numbers_and_nodes() -> None:
    known = [f"{name}: weights of lif1 -> {name} lose {n} of 8 bits" for name, n in (("lif1", 1), ("lif10", 2.5))]
    other = "lif2: weights of lif1 -> lif2 lose all bits"
    assert ranked([], [*known, other], NODES, "this run counted what did") == [f"{known[0]} (the same of lif10)", other]


def test_all_registers_that_could_be_left_are_one_line() -> None:
    known = [CAN.format(name, 2, "input", name) for name in ("lif1", "lif2")]
    known.append(
        "lif2: in 4 of 4 neurons u can wrap if enough inputs fire at once (mostly positive weights of lif1 -> lif2)"
    )
    assert ranked([], known, NODES, "nothing was counted in this run") == [
        "some input can take v of lif1, lif2 and u of lif2 out of the register; nothing was counted in this run"
    ]


def test_a_comparison_ranks_its_warnings(tmp_path: Path) -> None:
    path = model(tmp_path / "wraps.nir", np.full((4, 8192), 1.0), threshold=100.0)
    x = (np.random.default_rng(7).random((10, 1, 8192)) < 0.9).astype(np.uint8)
    first, *_, last = compared(path, x).result["warnings"]
    assert first == "u left its register and wrapped on emulator: lif 40 times in 1 sample"
    assert last == "some input can take u of lif out of the register; this run counted what did"
