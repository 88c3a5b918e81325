from __future__ import annotations

from typing import Any

import pytest

from neurodeploy.errors import DeployError
from neurodeploy.ir.run_options import RunOptions, observables


@pytest.mark.parametrize("threads", [0, -1, 1.5])
def test_threads_that_cannot_be_are_refused(threads: Any) -> None:
    with pytest.raises(DeployError, match=rf"threads is {threads}; it must be at least 1\n  where: threads"):
        RunOptions(threads=threads)


@pytest.mark.parametrize("record", [("spikes",), ("v",), ("u", "spikes"), ()])
def test_a_node_that_does_not_fire_always_has_its_value(record: tuple[str, ...]) -> None:
    assert set(observables(record, fires=False)) == {"value", *record} - {"spikes"}
    assert observables(record, fires=True) == record
