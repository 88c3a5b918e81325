"""Find how a model wants its input: one step at a time, a whole sequence, or one image that it repeats itself.

There is no attribute to ask, so the model is probed: it is called with each form of a small random input, and the
calls of its neurons are counted. Numbers of steps and samples are chosen that occur nowhere in the model's shapes, so
that axes cannot be mistaken.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import nn

from neurodeploy.errors import DeployError
from neurodeploy.exporters.adapter import Adapter, Call
from neurodeploy.exporters.adapters import clear_states, watch
from neurodeploy.ir.synapses import Shape

FORMS = ("step", "sequence", "batch-first", "time-last", "squeezed", "static")
"""How a model may want its input; see :class:`Convention`."""

_FAILED = "forward fails"
_AFRESH = "each call starts from the same states, so that forward is a whole run of one step, without memory"
_INTEGRATE = "To integrate over steps, let forward loop over them, or take the states and return them behind its output"
_MOST_STEPS = 1000
_NOTHING = "stack expects a non-empty TensorList"
_PRIMES = (5, 3, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101)


@dataclass(frozen=True, slots=True)
class Convention:
    """The way in which a model is called.

    form: ``step``, [B, *shape] once for each time step; ``sequence``, [T, B, *shape]; ``batch-first``,
        [B, T, *shape]; ``time-last``, [B, *shape, T]; ``squeezed``, [B * T, *shape]; ``static``, [B, *shape] once,
        repeated by the model itself.
    n_steps: how many steps it always runs, None if the input says.
    evidence: one sentence.
    passes_state: whether it takes the neurons' states behind its input and returns them behind its output.
    """

    form: str
    n_steps: int | None
    evidence: str
    passes_state: bool = False

    def calls(self, x: Any) -> Iterator[tuple[Any, tuple[str, ...], int | None]]:
        """Give the tensors to call the model with, for x [T, B, *shape]: each with its axes and its step.

        Axes are ``T``, ``B``, ``BT`` (both as one) and ``*`` for those of a sample, which stand last unless said.

        Raises:
            DeployError: x has another number of steps than the model runs, or changes where the model takes one image.
        """
        if self.n_steps is not None and len(x) != self.n_steps:
            raise DeployError(
                f"the input has {len(x)} steps, but the model always runs {self.n_steps}",
                where="input data",
                fix=f"{_INTEGRATE}. For the model as it is now, give one step."
                if self.n_steps == 1
                else f"Give {self.n_steps} steps, or let the model take their number from its input.",
            )
        if self.form == "static" and not bool((x == x[:1]).all()):
            raise DeployError(
                "the model takes one image and repeats it, but the input changes from step to step",
                where="input data",
                fix="Give the same image at every step, or let forward take a sequence.",
            )
        match self.form:
            case "step":
                yield from ((row.contiguous(), ("B",), step) for step, row in enumerate(x))
            case "sequence":
                yield x, ("T", "B"), None
            case "batch-first":
                yield x.transpose(0, 1).contiguous(), ("B", "T"), None
            case "time-last":
                yield x.movedim(0, -1).contiguous(), ("B", "*", "T"), None
            case "squeezed":
                yield x.transpose(0, 1).flatten(0, 1).contiguous(), ("BT",), None
            case _:
                yield x[0].contiguous(), ("B",), None


def outputs_of(
    model: Any, convention: Convention, x: Any, before: Callable[[Any, tuple[str, ...], int | None], None] | None = None
) -> Iterator[Any]:
    """Call a model on x [T, B, *shape] as its convention says; gives what each call returned, states included.

    Args:
        model: the module. convention: how it is called. x: input.
        before: told of each input tensor before the call, with its axes and its step.

    Raises:
        DeployError: x does not fit the convention, or the model fails.
    """
    state: tuple[Any, ...] = ()
    for tensor, axes, step in convention.calls(x):
        if before is not None:
            before(tensor, axes, step)
        try:
            output = model(tensor, *state)
        except DeployError:
            raise
        except Exception as error:
            raise DeployError(
                f"forward fails on an input of shape {list(tensor.shape)}: {_brief(error)}",
                where="the model",
                fix="Give data of the shape that the model's first layer takes.",
            ) from error
        if convention.passes_state:
            state = tuple(output[1:])
        yield output


def detect_convention(
    model: Any,
    adapter: Adapter,
    neurons: dict[str, Any],
    sample_shape: Shape,
    data_steps: int | None,
    form: str | None = None,
) -> Convention:
    """Find out how a model is called.

    Args:
        model: the module, in eval mode.
        adapter: of its framework.
        neurons: its neurons by path.
        sample_shape: shape of one sample at one step.
        data_steps: steps of the user's data, tried as well because some models run a fixed number; None without data.
        form: the one to try, where the user says it; see :class:`Convention`.

    Raises:
        DeployError: no form works, or more than one.
    """
    if form is not None and form not in FORMS:
        raise DeployError(f"no form is called {form!r}", where="--form", fix=f"Choose one of {', '.join(FORMS)}.")
    if not neurons:
        return Convention("step", None, "the model has no neurons, so each step is independent of the others")
    n_steps, n_samples = _unused_numbers(model, sample_shape, data_steps)
    probing = _Probing(model, adapter, neurons, n_samples, sample_shape)
    found: list[Convention] = []
    tried: list[str] = []
    asked = {None: adapter.forms, "step": ("static",)}.get(form, (form or "",))
    for one in asked:
        if one == "time-last" and found:
            continue
        lengths = (n_steps, *(_fixed_steps(model, data_steps, n_steps) if one != "static" else ()))
        if (made := probing.first_that_works(one, lengths, tried)) is not None:
            found.append(made)
    if len(found) != 1:
        raise _undecided(found, tried)
    return found[0]


def probe_input(model: Any, convention: Convention, sample_shape: Shape) -> Any:
    """Return a small input [T, B, *shape], the same at every step; T (unless fixed) and B are unlike all extents.

    Args:
        model: the module. convention: how it is called. sample_shape: of one sample at one step.
    """
    n_steps, n_samples = _unused_numbers(model, sample_shape, convention.n_steps)
    row = (torch.rand((1, n_samples, *sample_shape), generator=torch.Generator().manual_seed(0)) < 0.5).float()
    return row.repeat(convention.n_steps or n_steps, *(1,) * (row.dim() - 1))


def run_model(
    model: Any, adapter: Adapter, neurons: dict[str, Any], convention: Convention, x: Any
) -> dict[str, list[Call]]:
    """Run a model on x [T, B, *shape] from a clear state; returns the calls of its neurons.

    Args:
        model: the module. adapter: of its framework. neurons: modules by path. convention: how it is called. x: the
        input.

    Raises:
        DeployError: x does not fit the convention, or the model fails.
    """
    clear_states(adapter, neurons, x.shape[1])
    with torch.no_grad(), watch(adapter, neurons) as calls:
        for _ in outputs_of(model, convention, x):
            pass
    clear_states(adapter, neurons, x.shape[1])
    return calls


@dataclass(frozen=True, eq=False, slots=True)
class _Probing:
    """Calls a model with small random inputs and counts what its neurons do."""

    model: Any
    adapter: Adapter
    neurons: dict[str, Any]
    n_samples: int
    sample_shape: Shape

    def convention(self, form: str, length: int, count: int) -> Convention:
        """Return the convention of a form that worked; ``count`` is how many steps each neuron made."""
        axes = _axes(form, length, self.n_samples, self.sample_shape)
        evidence = f"given {axes}, every neuron made {_steps(count)} with {self.n_samples} samples"
        if form == "static" and count == 1 and all(self.adapter.lead(m) == "B" for m in self.neurons.values()):
            n_more = len(inspect.signature(self.model.forward).parameters) - 1
            passes_state = self.adapter.passes_state(self.model) or self._returns_states(n_more)
            if not n_more and self._starts_afresh():
                return Convention("static", 1, f"{evidence}; {_AFRESH}. {_INTEGRATE}")
            return Convention("step", None, evidence, passes_state)
        if form != "static" and count == length and self.outcome(form, count + 1) == (count + 1,):
            return Convention(form, None, evidence)
        return Convention(
            form, count, evidence if form == "static" else f"{evidence}; that number is fixed in the model"
        )

    def first_that_works(self, form: str, lengths: tuple[int, ...], tried: list[str]) -> Convention | None:
        """Return the convention of a form at the first length that works; notes in ``tried`` what happened at others.

        Args:
            form: to try. lengths: numbers of steps, the one that no number of the model is first. tried: lines.
        """
        for length in lengths:
            outcome = self.outcome(form, length, is_unused=length == lengths[0])
            if isinstance(outcome, tuple):
                made = self.convention(form, length, outcome[0])
                return made if length == lengths[0] else replace(made, n_steps=length)
            tried.append(f"{_axes(form, length, self.n_samples, self.sample_shape)}: {outcome}")
            if not outcome.startswith(_FAILED):
                break
        return None

    def _probe(self) -> Any:
        return torch.rand((self.n_samples, *self.sample_shape), generator=torch.Generator().manual_seed(0))

    def _returns_states(self, n_more: int) -> bool:
        """Tell whether a call that takes ``n_more`` arguments behind its input returns as many behind its output."""
        clear_states(self.adapter, self.neurons, self.n_samples)
        with torch.no_grad():
            output = self.model(self._probe())
        return n_more > 0 and isinstance(output, tuple) and len(output) == 1 + n_more

    def _starts_afresh(self) -> bool:
        """Tell whether neurons forget in each call of the model what the call before left in them."""
        given: list[dict[str, Any]] = []
        left: list[dict[str, Any]] = []

        def enter(module: Any, args: Any, kwargs: Any) -> None:
            given.append(_copied(self.adapter.given(module, args, kwargs)))

        def leave(module: Any, args: Any, kwargs: Any, output: Any) -> None:
            left.append(_copied(self.adapter.left(module, output)))

        hooks = [m.register_forward_pre_hook(enter, with_kwargs=True) for m in self.neurons.values()]
        hooks += [m.register_forward_hook(leave, with_kwargs=True) for m in self.neurons.values()]
        clear_states(self.adapter, self.neurons, self.n_samples)
        try:
            with torch.no_grad():
                for _ in range(2):
                    self.model(self._probe())
        finally:
            for hook in hooks:
                hook.remove()
        half = len(given) // 2
        is_same = all(map(_alike, given[:half], given[half:]))
        return is_same and not all(map(_alike, left[:half], given[half:]))

    def outcome(self, form: str, length: int, is_unused: bool = False) -> tuple[int] | str:
        """Call the model in one form; returns how many steps every neuron made, or what was wrong."""
        x = torch.rand((length, self.n_samples, *self.sample_shape), generator=torch.Generator().manual_seed(0))
        probe = next(iter(Convention(form, None, "").calls(x[:1] if form == "static" else x)))[0]
        clear_states(self.adapter, self.neurons, self.n_samples)
        try:
            with torch.no_grad(), watch(self.adapter, self.neurons) as calls:
                self.model(probe)
        except Exception as error:
            return f"{_FAILED} with {_brief(error)}"
        used = {name: made for name, made in calls.items() if made}
        if not used:
            return "no neuron was called"
        return self._misfit(used, form, length, is_unused) or _common_count(used, self.n_samples, form, length)

    def _misfit(self, used: dict[str, list[Call]], form: str, length: int, is_unused: bool) -> str | None:
        """Say which neuron was given axes of time and batch that it does not take."""
        if form == "static":
            length = _repeats(used)
        extents = {"B": (self.n_samples,), "TB": (length, self.n_samples), "BT": (self.n_samples, length)}
        extents |= {"t": (length * self.n_samples,), "b": (length * self.n_samples,)}
        for name, made in used.items():
            for call in made:
                wanted = extents[call.lead]
                if call.input_shape[: len(wanted)] != wanted:
                    with_what = f"{wanted[0]} samples" if call.lead == "B" else f"{list(wanted)}"
                    return f"{name} was given shape {list(call.input_shape)}, which does not start with the {with_what}"
                if form == "static" and call.lead not in ("B", "TB"):  # a feature axis could pass for the steps
                    return f"{name} takes all steps at once"
                if call.lead == "B" and form != "static" and is_unused and length in call.input_shape[1:]:
                    return f"{name} was given all {length} steps at once, in shape {list(call.input_shape)}"
        return None


def _copied(states: dict[str, Any]) -> dict[str, Any]:
    return {key: torch.as_tensor(value).clone() for key, value in states.items() if value is not None}


def _alike(one: dict[str, Any], two: dict[str, Any]) -> bool:
    """Tell whether two states are the same; one that is not there yet is zero."""
    nothing = torch.zeros(0)
    pairs = [(one.get(key, nothing), two.get(key, nothing)) for key in one.keys() | two.keys()]
    return all(torch.equal(a, b) or not (bool(a.any()) or bool(b.any())) for a, b in pairs)


def _repeats(used: dict[str, list[Call]]) -> int:
    """Return how many steps a model makes of one image, if it gives them to a neuron all at once."""
    whole = [call for made in used.values() for call in made if call.lead == "TB"]
    return whole[0].input_shape[0] if whole else 1


def _steps_of(call: Call, n_samples: int) -> int:
    """Return how many time steps a call of a neuron made."""
    if call.lead == "B":
        return 1
    return call.input_shape[call.lead.index("T")] if "T" in call.lead else call.input_shape[0] // n_samples


def _common_count(used: dict[str, list[Call]], n_samples: int, form: str, length: int) -> tuple[int] | str:
    """Return how many steps every neuron made, or how they differ; one that has several places makes several."""
    counts = {name: sum(_steps_of(call, n_samples) for call in made) for name, made in used.items()}
    if form != "static":
        counts = {name: count if count % length else length for name, count in counts.items()}
    if len(set(counts.values())) > 1:
        return f"neurons were called unequally often: {', '.join(f'{n} {_times(c)}' for n, c in counts.items())}"
    return (next(iter(counts.values())),)


def _unused_numbers(model: Any, sample_shape: Shape, data_steps: int | None = None) -> tuple[int, int]:
    """Return numbers of steps and samples that are no extent of any tensor of the model."""
    state = chain(nn.Module.parameters(model), nn.Module.buffers(model))  # rockpool's own give dictionaries
    taken = {data_steps, *sample_shape, *(extent for tensor in state for extent in tensor.shape)}
    free = [prime for prime in _PRIMES if prime not in taken]
    if len(free) < 2:
        raise DeployError(
            "the model's shapes use every small prime, so that steps and samples cannot be told apart",
            where="the model",
            fix="This is a limit of the exporter; please report it.",
        )
    return free[0], free[1]


def _fixed_steps(model: Any, data_steps: int | None, taken: int) -> list[int]:
    """Return numbers of steps that a model may always run: that of the data, else those that its attributes name."""
    if data_steps is not None:
        return [data_steps] if data_steps > 1 else []
    own = [value for module in nn.Module.modules(model) for key, value in vars(module).items() if "step" in key.lower()]
    return sorted({n for n in own if isinstance(n, int) and 1 < n <= _MOST_STEPS and n != taken})


def _axes(form: str, n_steps: int, n_samples: int, sample_shape: Shape) -> str:
    if form == "time-last":
        return f"{[n_samples, *sample_shape, n_steps]} (samples first, steps last)"
    lead = {"static": [n_samples], "sequence": [n_steps, n_samples], "batch-first": [n_samples, n_steps]}.get(form)
    if lead is None:
        return f"{[n_steps * n_samples, *sample_shape]} (samples and steps on one axis)"
    words = {"static": "samples", "sequence": "steps, samples", "batch-first": "samples, steps"}[form]
    return f"{[*lead, *sample_shape]} ({words})"


def _undecided(found: list[Convention], tried: list[str]) -> DeployError:
    if any(_NOTHING in one for one in tried):
        return DeployError(
            "forward returns only later steps, and none of the few that it is tried with",
            where="the model's forward",
            fix="Give --input, so that its number of steps is tried as well; or return every step, and leave the first"
            " ones out where you decide.",
        )
    if found:
        what = "it can be called in more than one way: " + "; ".join(f"{c.form}: {c.evidence}" for c in found)
    else:
        what = "no way to call it works. " + "; ".join(tried)
    return DeployError(
        what,
        where="the model's forward",
        fix=(
            f"Say how it is called with --form {'|'.join(one.form for one in found)}."
            if found
            else "forward takes one tensor: one step [B, *shape], or a sequence [T, B, *shape] or [B, T, *shape] that "
            "it loops over, or one image [B, *shape] it repeats; other arguments need defaults. Check --sample-shape; "
            "if forward loops over a fixed number of steps, give --input with that many."
        ),
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _steps(count: int) -> str:
    return "one step" if count == 1 else f"{count} steps"


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
