"""How a model wants its input: one step at a time, a whole sequence, or one image that it repeats itself.

There is no attribute to ask, so the model is probed: it is called with each form of a small random input, and the
calls of its neurons are counted. Numbers of steps and samples are chosen that occur nowhere in the model's shapes, so
that axes cannot be mistaken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from neurodeploy.errors import DeployError
from neurodeploy.exporters.snntorch_neurons import Call, clear_states, watch
from neurodeploy.synapses import Shape

_FAILED = "forward fails"
_PRIMES = (5, 3, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101)


@dataclass(frozen=True, slots=True)
class Convention:
    """How a model is called.

    form: ``step``, [B, *shape] once for each time step; ``sequence``, [T, B, *shape]; ``batch-first``,
        [B, T, *shape]; ``static``, [B, *shape] once, repeated by the model itself.
    n_steps: how many steps it always runs, None if the input says.
    evidence: one sentence.
    """

    form: str
    n_steps: int | None
    evidence: str

    def calls(self, x: Any) -> Iterator[tuple[Any, str, int | None]]:
        """Give the tensors to call the model with, for x [T, B, *shape]: each with its leading axes and its step.

        Raises:
            DeployError: x has another number of steps than the model runs, or changes where the model takes one image.
        """
        if self.n_steps is not None and len(x) != self.n_steps:
            raise DeployError(
                f"the input has {len(x)} steps, the model always runs {self.n_steps}",
                where="input data",
                fix=f"Give {self.n_steps} steps, or let the model take their number from its input.",
            )
        if self.form == "static" and not bool((x == x[:1]).all()):
            raise DeployError(
                "the model takes one image and repeats it, and the input changes from step to step",
                where="input data",
                fix="Give the same row at every step, or let forward take a sequence.",
            )
        match self.form:
            case "step":
                yield from ((row.contiguous(), "B", step) for step, row in enumerate(x))
            case "sequence":
                yield x, "TB", None
            case "batch-first":
                yield x.transpose(0, 1).contiguous(), "BT", None
            case _:
                yield x[0].contiguous(), "B", None


def detect_convention(model: Any, neurons: dict[str, Any], sample_shape: Shape, data_steps: int | None) -> Convention:
    """Find out how a model is called.

    Args:
        model: the module, in eval mode.
        neurons: its neurons by path.
        sample_shape: shape of one sample at one step.
        data_steps: steps of the user's data, tried as well because some models run a fixed number; None without data.

    Raises:
        DeployError: no form works, or more than one.
    """
    n_steps, n_samples = _unused_numbers(model, sample_shape, data_steps)
    found, tried = [], []
    for form in ("static", "sequence", "batch-first"):
        lengths = (
            [n_steps] if form == "static" else [n_steps, *((data_steps,) if data_steps and data_steps > 1 else ())]
        )
        while lengths:
            length = lengths.pop(0)
            outcome = _probe(model, neurons, form, (length, n_samples, *sample_shape), length == n_steps)
            if isinstance(outcome, str):
                tried.append(f"{_axes(form, length, n_samples, sample_shape)}: {outcome}")
                if not outcome.startswith(_FAILED):
                    break
                continue
            count = outcome[0]
            axes = _axes(form, length, n_samples, sample_shape)
            evidence = f"given {axes}, every neuron was called {_times(count)} with {n_samples} samples"
            if form == "static":
                found.append(Convention("step" if count == 1 else "static", None if count == 1 else count, evidence))
            elif count == length and _probe(model, neurons, form, (count + 1, n_samples, *sample_shape)) == (
                count + 1,
            ):
                found.append(Convention(form, None, evidence))
            else:
                found.append(Convention(form, count, f"{evidence}; that number is fixed in the model"))
            break
    if len(found) != 1:
        raise _undecided(found, tried)
    return found[0]


def probe_input(model: Any, convention: Convention, sample_shape: Shape) -> Any:
    """Return a small input [T, B, *shape], the same at every step; T (unless fixed) and B are unlike all extents."""
    n_steps, n_samples = _unused_numbers(model, sample_shape, convention.n_steps)
    row = (torch.rand((1, n_samples, *sample_shape), generator=torch.Generator().manual_seed(0)) < 0.5).float()
    return row.repeat(convention.n_steps or n_steps, *(1,) * (row.dim() - 1))


def run_model(model: Any, neurons: dict[str, Any], convention: Convention, x: Any) -> dict[str, list[Call]]:
    """Run a model on x [T, B, *shape] from a clear state; returns the calls of its neurons, one for each step.

    Raises:
        DeployError: x does not fit the convention, or the model fails.
    """
    clear_states(neurons)
    with torch.no_grad(), watch(neurons) as calls:
        for tensor, _, _ in convention.calls(x):
            try:
                model(tensor)
            except Exception as error:
                raise DeployError(
                    f"forward fails on an input of shape {list(tensor.shape)}: {_brief(error)}",
                    where="the model",
                    fix="Check the data's shape against the model's.",
                ) from error
    return calls


def _probe(model: Any, neurons: dict[str, Any], form: str, shape: Shape, is_unused: bool = False) -> tuple[int] | str:
    """Call the model in one form; returns how often every neuron was called, or what was wrong."""
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    probe = {"static": x[0], "sequence": x, "batch-first": x.transpose(0, 1).contiguous()}[form]
    clear_states(neurons)
    try:
        with torch.no_grad(), watch(neurons) as calls:
            model(probe)
    except Exception as error:
        return f"{_FAILED} with {_brief(error)}"
    used = {name: made for name, made in calls.items() if made}
    if not used:
        return "no neuron was called"
    if stray := [name for name, made in used.items() if any(call.input_shape[:1] != shape[1:2] for call in made)]:
        given = list(used[stray[0]][0].input_shape)
        return f"{stray[0]} was given shape {given}, which does not start with the {shape[1]} samples"
    whole = [name for name, made in used.items() if any(shape[0] in call.input_shape[1:] for call in made)]
    if whole and form != "static" and is_unused:
        return f"{whole[0]} was given all {shape[0]} steps at once, in shape {list(used[whole[0]][0].input_shape)}"
    counts = {len(made) for made in used.values()}
    if len(counts) > 1:
        each = ", ".join(f"{name} {_times(len(made))}" for name, made in used.items())
        return f"neurons were called unequally often: {each}"
    return (counts.pop(),)


def _unused_numbers(model: Any, sample_shape: Shape, data_steps: int | None = None) -> tuple[int, int]:
    """Return numbers of steps and samples that are no extent of any tensor of the model."""
    state = chain(model.parameters(), model.buffers())
    taken = {data_steps, *sample_shape, *(extent for tensor in state for extent in tensor.shape)}
    free = [prime for prime in _PRIMES if prime not in taken]
    if len(free) < 2:
        raise DeployError(
            "its shapes use every small prime", where="the model", fix="This is a limit of the exporter; report it."
        )
    return free[0], free[1]


def _axes(form: str, n_steps: int, n_samples: int, sample_shape: Shape) -> str:
    lead = {"static": [n_samples], "sequence": [n_steps, n_samples], "batch-first": [n_samples, n_steps]}[form]
    words = {"static": "samples", "sequence": "steps, samples", "batch-first": "samples, steps"}[form]
    return f"{[*lead, *sample_shape]} ({words})"


def _undecided(found: list[Convention], tried: list[str]) -> DeployError:
    if found:
        what = "it can be called in more than one way: " + "; ".join(f"{c.form}: {c.evidence}" for c in found)
    else:
        what = "no way to call it works. " + "; ".join(tried)
    return DeployError(
        what,
        where="the model's forward",
        fix=(
            "forward takes one tensor: one step [B, *shape], or a sequence [T, B, *shape] or [B, T, *shape] that it "
            "loops over, or one image [B, *shape] it repeats; other arguments need defaults. Check --sample-shape; "
            "if forward loops over a fixed number of steps, give --input with that many."
        ),
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
