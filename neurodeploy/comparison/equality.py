"""Tell whether the reference gives the training framework's spikes and values, except where rounding decides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.comparison.measures import Difference, first_difference
from neurodeploy.comparison.ties import is_tie, potentials
from neurodeploy.errors import DeployError
from neurodeploy.ir.network import Network
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs


@dataclass(eq=False, slots=True)
class Equality:
    """The reference compared with the framework's own recording, a block of samples at a time.

    network: what the reference ran. read: firing nodes whose ``v`` is read as well.
    ties, samples: rounding ties and samples so far. broken: the first difference that rounding does not explain.
    """

    network: Network
    read: tuple[str, ...] = ()
    ties: int = 0
    samples: int = 0
    broken: Difference | None = None
    spiking: tuple[str, ...] = ()
    valued: tuple[tuple[str, str], ...] = ()

    def add(self, inputs: Inputs, reference: Recording, trained: Recording) -> None:
        """Compare a block of samples, each up to where the two differ.

        Args:
            inputs: ``[T, B, *shape]``, what both ran on.
            reference: with the spikes of all populations, and the values that are read.
            trained: the framework's recording of the same samples.

        Raises:
            DeployError: the recordings share no node, or are of different data.
        """
        order = tuple(population.name for population in self.network.populations)
        self.spiking = tuple(node for node in order if "spikes" in trained.nodes.get(node, {}))
        wanted = [*((node, "value") for node in order), *((node, "v") for node in self.read)]
        self.valued = tuple((n, k) for n, k in wanted if k in trained.nodes.get(n, {}) and k in reference.nodes[n])
        check_trained(self.network, trained, reference.n_steps, reference.n_samples)
        together = np.full(reference.n_samples, reference.n_steps)
        for sample in _different_samples(reference, trained, self.spiking):
            together[sample] = self._spikes(inputs, reference, trained, sample)
        for node, key in self.valued:
            self._values(inputs, reference, trained, (node, key), together)
        self.samples += reference.n_samples

    def _spikes(self, inputs: Inputs, reference: Recording, trained: Recording, sample: int) -> int:
        """Judge where a sample's spikes first differ; return that row."""
        one, two = _one_sample(reference, sample), _one_sample(trained, sample)
        different = first_difference(one, two, self.spiking)
        assert different is not None
        units = (one.spikes(different.node) != two.spikes(different.node))[different.t, 0]
        near = is_tie(self.network, inputs, reference, different.node, sample, different.t)
        if self.broken is None and not near[units].all():
            self.broken = replace(different, sample=self.samples + sample)
        self.ties += int((near & units).sum())
        return different.t

    def _values(
        self, inputs: Inputs, reference: Recording, trained: Recording, what: tuple[str, str], together: NDArray[Any]
    ) -> None:
        """Judge values up to the row in which spikes part: two float32 runs are each off by their bound at most."""
        node, key = what
        ours, theirs = reference.nodes[node][key], trained.nodes[node][key]
        if np.array_equal(ours, theirs):
            return
        rows = potentials(self.network, inputs, reference, node, slice(None), reference.n_steps)
        for t, step in enumerate(rows):
            off = np.abs(ours[t].astype(np.float64) - theirs[t]) > 2 * step.off_v.numpy()
            off[t >= together] = False
            if self.broken is None and off.any():
                sample, *unit = (int(i) for i in np.argwhere(off)[0])
                a, b = (float(values[(t, sample, *unit)]) for values in (ours, theirs))
                self.broken = Difference(key, node, self.samples + sample, t, tuple(unit), a, b, int(off[sample].sum()))

    def result(self) -> dict[str, Any]:
        """Return it JSON-ready: ``status``, ``reason``, ``ties``, perhaps ``first_difference``.

        The status is ``pass``, ``fail``, or ``not-run`` where what was recorded is equal and no output is among it.
        """
        n_nodes = len(self.network.populations)
        parts = [f"spikes of {len(self.spiking)} of {n_nodes} nodes"] if self.spiking else []
        parts += [
            f"{'values' if key == 'value' else key} of {node} within float32 rounding" for node, key in self.valued
        ]
        scope = f"{' and '.join(parts)} on {self.samples} samples"
        found = {"ties": self.ties, "samples": self.samples}
        if self.broken is not None:
            different = self.broken.to_dict()
            unseen = n_nodes - len({*self.spiking, *(node for node, _ in self.valued)})
            why = f"; {unseen} nodes were not recorded, and a rounding tie there would show here" if unseen else ""
            return {"status": "fail", "reason": f"they differ in {scope}{why}", "first_difference": different, **found}
        reason = f"equal but for {self.ties} rounding ties in {scope}" if self.ties else f"equal in {scope}"
        if not set(self.network.outputs) & {*self.spiking, *(node for node, _ in self.valued)}:
            lacking = f"the trained recording lacks what the model returns ({', '.join(self.network.outputs)})"
            return {"status": "not-run", "reason": f"{lacking}; {reason}", **found}
        return {"status": "pass", "reason": reason, **found}


def reference_equals(
    network: Network, inputs: Inputs, reference: Recording, trained: Recording, read: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Compare the reference with the framework's own recording at once; see :class:`Equality`.

    Args:
        network: the model.
        inputs: ``[T, B, *shape]`` for each input, which both ran on.
        reference: the reference's recording, with the spikes of all populations and the values that are read.
        trained: the framework's recording of the same samples.
        read: firing nodes whose membrane potentials are compared, too.
    """
    found = Equality(network, read)
    found.add(inputs, reference, trained)
    return found.result()


def check_trained(network: Network, trained: Recording, n_steps: int, n_samples: int) -> None:
    """Refuse a framework's recording that holds nothing of the network's nodes, or not in their shapes.

    Args:
        network: the model.
        trained: the framework's recording.
        n_steps: steps that it has to hold.
        n_samples: samples that it has to hold.

    Raises:
        DeployError: it does not fit.
    """
    shapes = {population.name: population.shape for population in network.populations}
    if not set(shapes) & set(trained.nodes):
        raise DeployError(
            f"the trained recording has none of the model's nodes {list(shapes)}",
            where="--trained",
            fix="Record the framework with `neurodeploy export ... --record-output`.",
        )
    for node in set(shapes) & set(trained.nodes):
        ours = (n_steps, n_samples, *shapes[node])
        for values in trained.nodes[node].values():
            if values.shape != ours:
                raise DeployError(
                    f"the trained recording of {node!r} has shape {values.shape}, but the reference has {ours}",
                    where="--trained",
                    fix="Record the framework on the same data.",
                )


def _different_samples(a: Recording, b: Recording, nodes: tuple[str, ...]) -> list[int]:
    differs = np.zeros(a.n_samples, bool)
    for node in nodes:
        one, two = a.spikes(node), b.spikes(node)
        differs |= (one != two).any(axis=(0, *range(2, one.ndim)))
    return [int(sample) for sample in np.flatnonzero(differs)]


def _one_sample(recording: Recording, sample: int) -> Recording:
    nodes = {n: {"spikes": o["spikes"][:, sample : sample + 1]} for n, o in recording.nodes.items() if "spikes" in o}
    return Recording(nodes, recording.meta)
