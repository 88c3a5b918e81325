"""Questions that a file leaves open: what has to be said, or is assumed to be the framework's default."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from neurodeploy.errors import DeployError
from neurodeploy.importers.detect import norse_scale
from neurodeploy.importers.dialects import KEYS, NEURONS, Settings, label
from neurodeploy.importers.losses import CALLED, LOSSES, TIME_STEPS, Loss, called_again, left_out, read_time_step
from neurodeploy.importers.nir_graph import NirGraph
from neurodeploy.importers.setting_values import is_same_number, set_keys
from neurodeploy.importers.user_options import UserOptions

EXAMPLES = {"reset": "subtract", "dt": "1e-4"}
MEANS = {"reset": "what a spike does to v: subtract, zero, value or none", "dt": "the time step, s"}


class Questions:
    """What is open of a graph, collected node by node: asked all at once, or assumed.

    Args:
        graph: the graph. name: of its dialect. said: what the user says.
    """

    def __init__(self, graph: NirGraph, name: str, said: UserOptions) -> None:
        self._graph, self._name, self._said = graph, name, said
        self._examples: dict[str, dict[str, str]] = {}  # by key and node
        self._means: dict[str, str] = {}
        self._ways_out: dict[str, str] = {}
        self._assumed: dict[str, list[str]] = {}

    def open_layers(self) -> None:
        """Open what the exporter drops of convolutions, pools and calls."""
        nodes = self._graph.nodes
        open_at = [
            (loss, [n for n, of in nodes.items() if of.kind in loss.kinds and of.kind not in NEURONS])
            for loss in LOSSES[self._name]
        ]
        missing = left_out(self._graph, self._name)
        for loss, of_loss in [*open_at, (CALLED, called_again(self._graph, self._name))]:
            if loss.key == "skipped" and missing:
                loss = replace(loss, means=f"{loss.means}; here {listed(missing)}")
            for node in of_loss:
                if loss.key in self._said.graph:
                    _check_final(loss, self._said.graph[loss.key], node)
                else:
                    self._open(loss, node)

    def open_neuron(self, node: str, rules: Settings) -> Settings:
        """Open what the exporter drops of a neuron; returns the rules with what of that is assumed."""
        told, of_node = self._said.keys(node), self._graph.nodes[node]
        for loss in LOSSES[self._name]:
            if of_node.kind not in loss.kinds:
                continue
            if loss.key in told:
                _check_final(loss, told[loss.key], node)
            elif self._matters(loss, rules, told):
                if loss.key == "tau_scale":
                    loss = replace(loss, default=f"{norse_scale(of_node):g}")
                self._open(loss, node)
                if self._said.rest_is_default and loss.key in KEYS:
                    rules = set_keys(rules, {loss.key: loss.default}, "--dialect")
        return rules

    def open_needed(self, node: str, rules: Settings) -> None:
        """Open the reset and the time step of a neuron, without which nothing can be computed."""
        for key in ("reset", "dt"):
            if getattr(rules, key) is None and node not in self._examples.get(key, ()):
                read = read_time_step(self._name, [self._graph.nodes[node]]) if key == "dt" else None
                self._ask(key, node, EXAMPLES[key] if read is None else f"{read:g}", MEANS[key])

    def ask(self) -> None:
        """Ask for all that is open.

        Raises:
            DeployError: something is; with an answer that can be pasted.
        """
        if not self._examples:
            return
        name, (node, *_) = self._name, next(iter(self._examples.values()))
        means = "".join(f"\n           {key}: {self._means[key]}" for key in self._examples)
        lasting = "".join(f"\n           {key}: {way_out}" for key, way_out in self._ways_out.items())
        way_out = (
            f"\n         If the model has another value than the one above, no answer restores it:{lasting}"
            if lasting
            else ""
        )
        kind = self._graph.nodes[node].kind
        shown = repr(node) if label(node, kind) == node else label(node, kind, name)
        raise DeployError(
            f"node {shown} is read as {name}, and the file does not say its {listed(list(self._examples))}",
            where=self._graph.where,
            fix=f"Say it, for instance --dialect {name},{','.join(self._answers())} with what the model really has"
            " (NODE:KEY=VALUE for one node, KEY=@FILE.npy for one value per neuron), or rest=default if the model has"
            f" {name}'s defaults everywhere else.{means}{way_out}",
        )

    def assumed(self) -> list[str]:
        """Return a line for all nodes that share an assumption."""
        nodes: dict[str, list[str]] = {}
        for node, answers in self._assumed.items():
            nodes.setdefault(", ".join(answers), []).append(node)
        why = f"{self._name}'s defaults, which its exporter does not write"
        return [f"assumed: {answers} for {', '.join(of)} ({why})" for answers, of in nodes.items()]

    def _answers(self) -> list[str]:
        """Return an answer for each key, or for each node of a key where they differ."""
        answers = []
        for key, of_nodes in self._examples.items():
            examples = set(of_nodes.values())
            answers += (
                [f"{key}={examples.pop()}"]
                if len(examples) == 1
                else [f"{node}:{key}={example}" for node, example in of_nodes.items()]
            )
        return answers

    def _open(self, loss: Loss, node: str) -> None:
        """Ask for what was dropped of a node, or assume it if that is what the user says."""
        if self._said.rest_is_default:
            self._assumed.setdefault(node, []).append(f"{loss.key} = {loss.default}")
        else:
            self._ask(loss.key, node, loss.default, f"{loss.means} ({loss.option})", loss.way_out)

    def _ask(self, key: str, node: str, example: str, means: str, way_out: str = "") -> None:
        """Add a key that a node needs; with a way out if no answer but the example can be computed with."""
        self._examples.setdefault(key, {})[node] = example
        self._means.setdefault(key, means)
        if way_out:
            self._ways_out.setdefault(key, way_out)

    def _matters(self, loss: Loss, rules: Settings, told: dict[str, Any]) -> bool:
        """Tell whether what was dropped is open, given the reset that is known and the dt that was read off."""
        if loss.key == "dt":
            return self._name not in TIME_STEPS or rules.dt is None
        if loss.key == "v_reset":
            return rules.reset == "value" and told.get("reset") != "zero"
        return loss.key != "subtract_value" or rules.reset in (None, "subtract")


def listed(words: list[str]) -> str:
    """Return words as a sentence lists them: ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _check_final(loss: Loss, value: Any, node: str) -> None:
    """Refuse an answer that nobody can compute with."""
    if loss.way_out and str(value).lower() != loss.default and not is_same_number(value, loss.default):
        raise DeployError(
            f"{loss.key} of {node!r} cannot be {value!r}: the file does not hold what {loss.option} does there",
            where="--dialect",
            fix=f"Only {loss.key}={loss.default} can be read. {loss.way_out}",
        )
