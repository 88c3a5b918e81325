"""Values of a dialect's keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from neurodeploy.errors import DeployError
from neurodeploy.importers.settle import resolve_dialect
from tests.importers.exported import said_by


@pytest.mark.parametrize("value", [[], ["a"], [[1.0], ["b"]]])
def test_values_by_neuron_that_are_no_numbers_are_refused_with_the_node(tmp_path: Path, value: Any) -> None:
    with pytest.raises(DeployError, match="v_reset is not an array of finite numbers") as caught:
        resolve_dialect(said_by(tmp_path, {"rules": {"v_reset": value}}))
    assert "node 'lif1'" in caught.value.where
