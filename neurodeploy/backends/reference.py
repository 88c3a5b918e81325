"""The torch reference: float32, the dialect's own order of operations, CPU or CUDA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.backends.base import Inputs, RunOptions, check_inputs, expect
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.network import Network, Population, Projection
from neurodeploy.recording import Recording
from neurodeploy.synapses import Conv2d, Flatten, Linear, Pool2d, Scale, SynapseOp
from neurodeploy.version import __version__

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class State:
    """What a population carries from step to step; float32 [B, *shape].

    v: membrane potential. i: synaptic current, or None. spikes: 0 or 1, what it fired in the step before.
    """

    v: Tensor
    i: Tensor | None
    spikes: Tensor


class Reference:
    """Runs a float network step by step; spike-exact with the framework that trained it."""

    name = "reference"

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

        Raises:
            DeployError: inputs do not fit, or the device is not there.
            BackendError: torch is not installed.
        """
        expect(Network, subject, self.name)
        if reason := self.missing():
            raise BackendError("the reference needs torch", where="--backend reference", fix=reason)
        import torch

        n_steps, n_samples = check_inputs(subject.inputs, inputs)
        names = options.recorded(tuple(population.name for population in subject.populations))
        device = _device(options.device)
        with torch.no_grad(), _plain_float32():
            nodes = _run(subject, inputs, (n_steps, n_samples), names, options, device)
        meta = {
            "backend": self.name,
            "versions": {"neurodeploy": __version__, "torch": torch.__version__},
            "device": str(device),
            "dialect": subject.dialect,
            "dt": subject.dt,
            "latency": dict.fromkeys(names, 0),
            "outputs": list(subject.outputs),
            "model_sha256": subject.sha256,
        }
        return Recording(nodes, meta)


def _run(
    network: Network,
    inputs: Inputs,
    extent: tuple[int, int],
    names: tuple[str, ...],
    options: RunOptions,
    device: torch.device,
) -> dict[str, dict[str, NDArray[Any]]]:
    import torch

    n_steps, n_samples = extent
    steppers = [Stepper(population, network.into(population.name), device) for population in network.populations]
    states = {stepper.population.name: stepper.init(n_samples) for stepper in steppers}
    streams = {name: torch.from_numpy(np.ascontiguousarray(values)).to(device) for name, values in inputs.items()}
    nodes = {name: _empty(network.population(name), extent, options.record) for name in names}
    for t in range(n_steps):
        now = {name: stream[t].float() for name, stream in streams.items()}
        for stepper in steppers:
            name = stepper.population.name
            states[name] = stepper.step(states[name], {**{n: s.spikes for n, s in states.items()}, **now})
        for name in names:
            _store(nodes[name], t, states[name])
        if options.progress:
            options.progress(t + 1, n_steps)
    return nodes


def _empty(population: Population, extent: tuple[int, int], record: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    dtypes = {"spikes": np.uint8, "v": np.float32, "u": np.float32}
    wanted = [key for key in record if key != "u" or population.decay_syn is not None]
    return {key: np.empty((*extent, *population.shape), dtypes[key]) for key in wanted}


def _store(arrays: dict[str, NDArray[Any]], t: int, state: State) -> None:
    observed = {"spikes": state.spikes, "v": state.v, "u": state.i}
    for key, array in arrays.items():
        values = observed[key]
        assert values is not None
        array[t] = values.cpu().numpy()


class Stepper:
    """One population and the synapses into it, ready to step on a device.

    Args:
        population: the neurons.
        projections: all that end in them.
        device: where tensors live.
        dtype: float32, as frameworks have it; float64 to see how far a float32 result may be off.
    """

    def __init__(
        self,
        population: Population,
        projections: tuple[Projection, ...],
        device: torch.device,
        dtype: torch.dtype | None = None,
    ) -> None:
        import torch

        dtype = dtype or torch.float32

        self.population = population
        self.forward = [(p.source, chain(p.ops, device, dtype)) for p in projections if not p.delay]
        self.recurrent = [(p.source, chain(p.ops, device, dtype)) for p in projections if p.delay]
        self.device, self.dtype = device, dtype

        def tensor(values: Any) -> Tensor:
            return torch.from_numpy(np.array(values)).to(device, dtype)

        self.decay_mem, self.threshold = tensor(population.decay_mem), tensor(population.threshold)
        self.decay_syn = None if population.decay_syn is None else tensor(population.decay_syn)
        self.gain_mem = None if np.all(population.gain_mem == 1) else tensor(population.gain_mem)
        self.gain_syn = None if np.all(population.gain_syn == 1) else tensor(population.gain_syn)
        self.bias = tensor(population.bias) if np.any(population.bias) else None
        self.v_reset, self.v_init = tensor(population.v_reset), tensor(population.v_init)

    def init(self, n_samples: int) -> State:
        """Return the state before the first step."""
        import torch

        zeros = torch.zeros((n_samples, *self.population.shape), device=self.device, dtype=self.dtype)
        return State(zeros + self.v_init, None if self.decay_syn is None else zeros.clone(), zeros.clone())

    def step(self, state: State, spikes: dict[str, Tensor]) -> State:
        """Return the state one step later; ``spikes`` holds this step's feed-forward and last step's own spikes."""
        owed = self.fires(state.v) if self._reset_acts_late else None
        v, i = self.integrate(state, spikes, owed)
        fired = self.fires(v)
        return State(v if self.population.rule.reset_delay else self.reset(v, fired, owed), i, fired)

    def integrate(self, state: State, spikes: dict[str, Tensor], owed: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return v as it meets the threshold, and i; ``owed`` is 1 where a late reset is due."""
        i = state.i
        currents = self._currents(spikes)
        if i is not None:
            assert self.decay_syn is not None
            i = _add(self.decay_syn * i, currents, self.gain_syn)
            currents = [i]
        return self._potential(state.v, currents, owed), i

    @property
    def _reset_acts_late(self) -> bool:
        rule = self.population.rule
        return rule.reset != "none" and (rule.reset_delay or rule.reset_pending)

    def _currents(self, spikes: dict[str, Tensor]) -> list[Tensor]:
        """Return what enters: the feed-forward sum first, then each recurrent current."""
        forward = [ops(spikes[source]) for source, ops in self.forward]
        recurrent = [ops(spikes[source]) for source, ops in self.recurrent]
        return ([sum(forward[1:], start=forward[0])] if forward else []) + recurrent

    def _potential(self, v: Tensor, currents: list[Tensor], owed: Tensor | None) -> Tensor:
        """Return v with decay, input and the reset that is owed from the step before."""
        rule = self.population.rule
        late_value = owed is not None and rule.reset == "value"
        if late_value and not rule.reset_drops_input:
            assert owed is not None
            v = (1 - owed) * v + owed * self.v_reset
        v = _add(self.decay_mem * v, currents, self.gain_mem)
        if self.bias is not None:
            v = v + self.bias
        if owed is None:
            return v
        if rule.reset == "subtract":
            return v - owed * self.threshold
        return (1 - owed) * v + owed * self.v_reset if rule.reset_drops_input else v

    def fires(self, v: Tensor) -> Tensor:
        """Return 1 where v meets the spike condition."""
        return (v > self.threshold if self.population.rule.spike == ">" else v >= self.threshold).to(self.dtype)

    def reset(self, v: Tensor, fired: Tensor, owed: Tensor | None) -> Tensor:
        """Return v after a reset in the step of the spike itself."""
        rule = self.population.rule
        due = fired if owed is None else fired - owed
        if rule.reset == "subtract":
            return v - due * self.threshold
        if rule.reset == "value":
            return v - due * (v - self.v_reset)
        return v


def _add(start: Tensor, currents: list[Tensor], gain: Tensor | None) -> Tensor:
    for current in currents:
        start = start + (current if gain is None else gain * current)
    return start


def chain(ops: tuple[SynapseOp, ...], device: torch.device, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Return a chain of linear operations as a function on a batch ``[B, *shape]``."""
    functions = [_function(op, device, dtype) for op in ops]

    def apply(x: Tensor) -> Tensor:
        for function in functions:
            x = function(x)
        return x

    return apply


def _function(op: SynapseOp, device: torch.device, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    import torch
    from torch.nn import functional

    def tensor(values: Any) -> Any:
        return None if values is None else torch.from_numpy(np.array(values)).to(device, dtype)

    match op:
        case Linear():
            weight, bias = tensor(op.weight), tensor(op.bias)
            return lambda x: functional.linear(x, weight, bias)
        case Conv2d():
            weight, bias = tensor(op.weight), tensor(op.bias)
            return lambda x: functional.conv2d(x, weight, bias, op.stride, op.padding, op.dilation, op.groups)
        case Pool2d():
            divisor = None if op.mean else 1
            return lambda x: functional.avg_pool2d(x, op.kernel, op.stride, op.padding, divisor_override=divisor)
        case Flatten():
            start = op.start + 1 if op.start >= 0 else op.start
            end = op.end + 1 if op.end >= 0 else op.end
            return lambda x: x.flatten(start, end)
        case Scale():
            factor = tensor(op.scale)
            return lambda x: x * factor


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


def _device(name: str) -> torch.device:
    import torch

    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DeployError(
            f"torch has no device {name!r} here ({reason})", where="--device", fix="Use cpu, or cuda where a GPU is."
        ) from error
    return device
