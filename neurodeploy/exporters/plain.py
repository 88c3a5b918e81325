"""A torch module without neurons: layers that are read as they are, step by step."""

from __future__ import annotations

from typing import Any

from neurodeploy.exporters.adapter import Adapter


class Plain(Adapter):
    """torch alone: no neurons, and no time of its own."""

    package = "torch"
    label = "torch"
    dt = 1.0

    def is_neuron(self, module: Any) -> bool:
        """See :class:`Adapter`."""
        return False

    def kind_of(self, module: Any) -> str | None:
        """See :class:`Adapter`."""
        return None
