"""Runs a float network on torch, CPU or CUDA: blocks of time steps, layer by layer where nothing loops.

Within a block, what a population receives from others is one product over all steps; then its neurons are stepped.
Populations that form a loop are stepped together. Memory grows with what is recorded and with the block, not with the
number of steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.base import Backend, expect
from neurodeploy.backends.reference.neuron import Neuron, State
from neurodeploy.coding.inputs import check_inputs
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.ir.network import Network, Population
from neurodeploy.ir.order import components
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs, RunOptions
from neurodeploy.passes.torch_operations import chain
from neurodeploy.version import __version__

if TYPE_CHECKING:
    import torch
    from torch import Tensor

BLOCK_STEPS = 1024
BLOCK_VALUES = 2**22
"""A block has at most so many steps, and so many values in its largest population (16 MiB of float32)."""


class Reference(Backend):
    """Runs a float network; spike-exact with the framework that trained it."""

    name = "reference"
    is_reference = True
    is_chip = False

    def missing(self) -> str | None:
        """Return None if torch can be imported, else how to get it."""
        from importlib.util import find_spec

        return None if find_spec("torch") else "torch is not installed; pip install 'neurodeploy[torch]'"

    def run(self, subject: Network, inputs: Inputs, options: RunOptions) -> Recording:
        """Run a network.

        Args:
            subject: the network.
            inputs: spikes, counts or currents, ``[T, B, *shape]`` for each input.
            options: what to record, and the torch device.

        Returns:
            Spikes uint8 (int32 where a step can have several), ``value`` float32 of nodes that do not fire, v and u
            float32.

        Raises:
            DeployError: inputs do not fit, or the device is not there.
            BackendError: torch is not installed.
        """
        expect(Network, subject, self.name)
        if reason := self.missing():
            raise BackendError("the reference needs torch", where="--backend reference", fix=reason)
        import torch

        extent = check_inputs(subject.inputs, inputs)
        names = options.recorded(tuple(population.name for population in subject.populations))
        with torch.inference_mode(), _plain_float32():
            nodes = _Run(subject, extent, find_device(options.device)).all_blocks(inputs, names, options)
        meta = {
            "backend": self.name,
            "versions": {"neurodeploy": __version__, "torch": torch.__version__},
            "device": options.device,
            "dialect": subject.dialect,
            "dt": subject.dt,
            "latency": dict.fromkeys(names, 0),
            "outputs": list(subject.outputs),
            "model_sha256": subject.sha256,
        }
        return Recording(nodes, meta)


class _Run:
    """One run: neurons, states, and for each source the rows of the block with as much history as its delays need."""

    def __init__(self, network: Network, extent: tuple[int, int], device: torch.device) -> None:
        import torch

        self.network, self.device = network, device
        self.n_steps, self.n_samples = extent
        self.neurons = {p.name: Neuron(p, device, torch.float32) for p in network.populations}
        self.states = {name: neuron.init(self.n_samples) for name, neuron in self.neurons.items()}
        self.ops = {p: chain(p.ops, device, torch.float32) for p in network.projections}
        self.history = {
            name: max((p.delay for p in network.projections if p.source == name), default=0) for name in network.shapes
        }
        largest = max(int(np.prod(shape)) for shape in network.shapes.values()) * self.n_samples
        self.block = max(1, min(BLOCK_STEPS, self.n_steps, BLOCK_VALUES // max(largest, 1)))
        self.rows = {
            name: torch.zeros((self.history[name] + self.block, self.n_samples, *shape), device=device)
            for name, shape in network.shapes.items()
        }
        self.components = components(network)

    def all_blocks(
        self, inputs: Inputs, names: tuple[str, ...], options: RunOptions
    ) -> dict[str, dict[str, NDArray[Any]]]:
        """Return what was recorded, by node and observable."""
        import torch

        nodes = {name: self._arrays(self.network.population(name), options.observed(name)) for name in names}
        for start in range(0, self.n_steps, self.block):
            size = min(self.block, self.n_steps - start)
            for name, values in inputs.items():
                rows = torch.from_numpy(np.ascontiguousarray(values[start : start + size])).to(self.device)
                self.rows[name][self.history[name] : self.history[name] + size] = rows
            states = {name: _States(name in nodes, options.observed(name)) for name in self.neurons}
            for component in self.components:
                self._advance(component, size, states)
            for name, arrays in nodes.items():
                self._store(name, arrays, states[name], start, size)
            self._keep_history(size)
            if options.progress:
                options.progress(start + size, self.n_steps)
        return nodes

    def _advance(self, component: tuple[str, ...], size: int, states: dict[str, _States]) -> None:
        """Step the populations of one component through a block."""
        outside = {name: self._from_outside(name, component, size) for name in component}
        inside = {name: [p for p in self.network.into(name) if p.source in component] for name in component}
        for t in range(size):
            for name in component:
                neuron, before = self.neurons[name], self.states[name]
                if neuron.rule.output_delay:
                    self.rows[name][self.history[name] + t] = before.fired
                currents = [block[t] for block in outside[name]]
                currents += [
                    self.ops[p](self.rows[p.source][self.history[p.source] + t - p.delay]) for p in inside[name]
                ]
                after = neuron.step(before, currents)
                if not neuron.rule.output_delay:
                    self.rows[name][self.history[name] + t] = after.fired
                self.states[name] = after
                states[name].add(after)

    def _from_outside(self, name: str, component: tuple[str, ...], size: int) -> list[Tensor]:
        """Return the sum of what other components send in a block, [size, B, *shape], or nothing."""
        total: Tensor | None = None
        for p in self.network.into(name):
            if p.source in component:
                continue
            first = self.history[p.source] - p.delay
            rows = self.rows[p.source][first : first + size]
            current = self.ops[p](rows.flatten(0, 1))
            current = current.reshape(size, self.n_samples, *current.shape[1:])
            total = current if total is None else total + current
        return [] if total is None else [total]

    def _keep_history(self, size: int) -> None:
        for name, history in self.history.items():
            if history:
                self.rows[name][:history] = self.rows[name][size : size + history].clone()

    def _arrays(self, population: Population, record: tuple[str, ...]) -> dict[str, NDArray[Any]]:
        rule = population.rule
        dtypes: dict[str, type] = {"v": np.float32}
        dtypes["spikes" if rule.fires else "value"] = np.int32 if rule.is_graded else np.uint8
        if not rule.fires:
            dtypes["value"] = np.float32
        if population.decay_syn is not None:
            dtypes["u"] = np.float32
        wanted = [key for key in dtypes if key in record or key == "value"]
        return {key: np.empty((self.n_steps, self.n_samples, *population.shape), dtypes[key]) for key in wanted}

    def _store(self, name: str, arrays: dict[str, NDArray[Any]], states: _States, start: int, size: int) -> None:
        history = self.history[name]
        for key, array in arrays.items():
            rows = self.rows[name][history : history + size] if key in ("spikes", "value") else states.rows(key)
            array[start : start + size] = rows.cpu().numpy()


class _States:
    """The states of one block that are recorded."""

    def __init__(self, recorded: bool, record: tuple[str, ...]) -> None:
        self.kept: dict[str, list[Tensor]] = {key: [] for key in ("v", "u") if recorded and key in record}

    def add(self, state: State) -> None:
        """Keep a step's states."""
        for key, rows in self.kept.items():
            value = state.v if key == "v" else state.i
            if value is not None:
                rows.append(value)

    def rows(self, key: str) -> Tensor:
        """Return a block's rows of v or u."""
        import torch

        return torch.stack(self.kept[key])


@contextmanager
def _plain_float32() -> Iterator[None]:
    """Keep CUDA from rounding inputs of products to 10 bits (TF32), which its convolutions do by default."""
    import torch

    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)


def find_device(name: str) -> torch.device:
    """Return the torch device of that name; DeployError if there is none here."""
    import torch

    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DeployError(
            f"torch has no device {name!r} on this machine ({reason})",
            where="--device",
            fix="Use cpu, or cuda on a machine with a GPU.",
        ) from error
    return device
