"""Refusals: one message with what, where and what to do."""

from __future__ import annotations

import pytest

from neurodeploy.errors import DeployError


@pytest.mark.parametrize("missing", ["what", "where", "fix"])
def test_a_refusal_without_one_of_its_parts_is_a_fault_of_ours(missing: str) -> None:
    parts = {"what": "it is broken", "where": "here", "fix": "Mend it.", missing: ""}
    with pytest.raises(TypeError, match="says what, where and what to do"):
        DeployError(parts["what"], where=parts["where"], fix=parts["fix"])
