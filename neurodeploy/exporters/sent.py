"""The kind of what neurons send: spikes or values, and whether either can be negative."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from neurodeploy.exporters.adapter import Adapter
from neurodeploy.exporters.draft import INPUT, Draft, DraftNode
from neurodeploy.exporters.layers import Joined, Maximum, Neurons
from neurodeploy.exporters.signals import SPIKES, Signal
from neurodeploy.importers.metadata import METADATA_KEY
from neurodeploy.ir.synapses import Flatten, Pool2d

_FIRING = ("IF", "LIF", "CubaLIF", "Threshold")


class Sent:
    """Tells what the nodes of a draft send.

    Args:
        draft: with the nodes. adapter: of the model's framework. dt: seconds per step; None where it makes no matter.
    """

    def __init__(self, draft: Draft, adapter: Adapter, dt: float | None = None) -> None:
        self._draft, self._adapter, self._dt = draft, adapter, adapter.dt if dt is None else dt
        self._rules: dict[str, dict[str, Any] | None] = {}

    def fires(self, name: str) -> bool:
        """Tell whether a node holds neurons that send spikes; others send their potential."""
        node = self._draft.nodes[name]
        return isinstance(node.op, Neurons) and self._rules_of(node, node.op) is not None

    def is_binary(self, name: str, binary_input: bool) -> bool:
        """Tell whether a node sends 0 and 1 only."""
        if name == INPUT:
            return binary_input
        node = self._draft.nodes[name]
        if isinstance(node.op, Neurons):
            rules = self._rules_of(node, node.op)
            is_scaled = rules is not None and rules["is_scaled"]
            return (
                rules is not None
                and not is_scaled
                and bool(rules.get("max_spikes", 1) == 1)
                and not rules.get("signed")
            )
        passes = isinstance(node.op, (Flatten, Maximum)) and len(node.slots[0].terms) == 1
        return passes and all(self.is_binary(source.node, binary_input) for source in node.slots[0].terms)

    def is_positive(self, signal: Signal) -> bool:
        """Tell whether a signal is never below 0, since it is a sum of spikes, with factors that are not negative."""
        if signal.broken or _is_negative(signal.offset) or any(map(_is_negative, signal.terms.values())):
            return False
        return all(tap.port == SPIKES and self._node_is_positive(tap.node) for tap in signal.terms)

    def _node_is_positive(self, name: str) -> bool:
        if name == INPUT:
            return False
        node = self._draft.nodes[name]
        if isinstance(node.op, Neurons):
            rules = self._rules_of(node, node.op)
            return rules is not None and not rules["is_scaled"] and not rules.get("signed")
        terms = [(source, factor) for slot in node.slots for source, factor in slot.terms.items()]
        return (
            isinstance(node.op, (Flatten, Maximum, Pool2d, Joined))
            and not any(_is_negative(slot.offset) for slot in node.slots)
            and all(
                not _is_negative(factor) and not source.port and self._node_is_positive(source.node)
                for source, factor in terms
            )
        )

    def _rules_of(self, node: DraftNode, op: Neurons) -> dict[str, Any] | None:
        """Return the rules of neurons that fire, and whether their spikes are scaled; None for others."""
        if node.name not in self._rules:
            made = self._adapter.nodes(node.name, op.module, node.leaving, self._dt)
            rules = json.loads((made.node.metadata or {}).get(METADATA_KEY, "{}")).get("rules", {})
            is_firing = type(made.node).__name__ in _FIRING
            self._rules[node.name] = {**rules, "is_scaled": made.leaving is not None} if is_firing else None
        return self._rules[node.name]


def _is_negative(values: Any) -> bool:
    return bool((np.asarray(values) < 0).any())
