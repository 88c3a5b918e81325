"""Options of compiling a network, and the refusal of those that a target cannot meet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from neurodeploy.errors import DeployError, known
from neurodeploy.families.target_file import load_target, target_names
from neurodeploy.ir.plan import (
    RoundingMethod,
    ScaleMethod,
)
from neurodeploy.targets.target import Target

CORRECTIONS = ("bias", "threshold")
"""What can be changed so that firing rates on calibration data are met."""

DEFAULT_WEIGHT_BITS = 8
"""Of each weight, where nobody says and the target stores so many."""


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """Options of compiling a network.

    weight_bits: of each weight, with the sign where a projection has both signs; or ``ternary`` or ``binary``; None for
        8, or the most that the target stores.
    scale: how codes per volt are chosen: ``range``, ``percentile``, ``mse`` or ``rate``; None for ``range`` at 6 bits
        and more, else ``mse``, and for clipping where that is clearly better. With calibration data ``mse`` is the
        membrane's error, else the weights'.
    rounding: ``nearest``, or ``learned`` on calibration data; None for ``learned`` where there is some.
    correct: which of ``bias`` and ``threshold`` are changed so that firing rates on calibration data are met; None for
        both where there is some.
    per_channel: let each output channel fill its codes, by a gain of its own; None for where that is clearly better,
        and everywhere with calibration data.
    message_bits: of each value of a graded input, with the sign; 0 where inputs are spikes, or where it is to be chosen
        because calibration data holds other values than 0 and 1.
    input_scale: by what a graded input is multiplied before it is rounded to whole numbers; None to choose it on
        calibration data, or 1 without.
    allow_oversize: compile what does not fit one chip, for the emulator.
    allow_silent: compile a network even if one of its populations never fires.
    input_range: the least and the most of each graded input, by name, for where no calibration data says it; chips
        whose inputs count spikes have no use for it.
    host: how many layers the host runs in float, ``auto`` for those that an input reaches directly, where calibration
        data does not say that it holds spikes; None for none. See :mod:`neurodeploy.ir.host`.
    approximate: take the nearest neuron where the target lacks the model's, and measure on calibration data what that
        changes.
    """

    weight_bits: int | str | None = None
    scale: str | None = None
    rounding: str | None = None
    correct: tuple[str, ...] | None = None
    per_channel: bool | None = None
    message_bits: int = 0
    input_scale: float | None = None
    allow_oversize: bool = False
    allow_silent: bool = False
    approximate: bool = False
    host: int | str | None = None
    input_range: dict[str, tuple[float, float]] | None = None

    def bits_on(self, target: Target) -> int | str:
        """Return the bits of each weight on a target: as they are said, else 8, or the most that it stores."""
        most = target.formats()["weight_bits_max"]
        return min(DEFAULT_WEIGHT_BITS, most) if self.weight_bits is None else self.weight_bits

    def settled(self, has_data: bool) -> CompileOptions:
        """Return options with what nobody said: with calibration data, all that it can be used for."""
        defaults: dict[str, Any] = (
            {"scale": "mse", "rounding": "learned", "correct": CORRECTIONS, "per_channel": True}
            if has_data
            else {"rounding": "nearest", "correct": ()}
        )
        return replace(self, **{key: value for key, value in defaults.items() if getattr(self, key) is None})


def check_options(options: CompileOptions, target: Target, has_data: bool) -> None:
    """Refuse widths, methods and scales that there are not, or that the target's numbers do not have.

    Args:
        options: how to compile.
        target: the chip.
        has_data: whether there is calibration data.

    Raises:
        DeployError: at the first of them.
    """
    formats = target.formats()
    most = formats["weight_bits_max"]
    bits = options.weight_bits
    if bits not in (None, "ternary", "binary") and not (type(bits) is int and 1 <= bits <= most):
        raise DeployError(
            f"--weight-bits is {bits!r}; {target.title} stores 1 to {most} bits",
            where="--weight-bits",
            fix=f"Give a number from 1 to {most}, ternary or binary.",
        )
    needs_data = {
        "--scale rate": options.scale == "rate",
        "--rounding learned": options.rounding == "learned",
        "--correct": bool(options.correct),
        "--approximate": options.approximate,
    }
    for said, needed in needs_data.items():
        if needed and not has_data:
            raise DeployError(
                f"{said} needs calibration data",
                where=said.split()[0],
                fix="Give calibration data with --calibrate DATA.",
            )
    for flag, value, choices in (
        ("--scale", options.scale, (None, *get_args(ScaleMethod))),
        ("--rounding", options.rounding, (None, *get_args(RoundingMethod))),
        *(("--correct", one, CORRECTIONS) for one in options.correct or ()),
    ):
        if value not in choices:
            raise DeployError(
                f"{flag} is {value!r}, but there is no such method",
                where=flag,
                fix=f"Choose from {known(filter(None, choices))}.",
            )
    _check_messages(options, target, has_data)


def _check_messages(options: CompileOptions, target: Target, has_data: bool) -> None:
    message_most = target.formats()["message_bits_max"]
    if options.message_bits and message_most == 0:
        able = [name for name in target_names() if load_target(name).formats()["message_bits_max"]]
        raise DeployError(
            f"--message-bits is {options.message_bits}, but {target.title} takes spikes only",
            where="--message-bits",
            fix=f"Encode the input as spikes (run --encode rate or latency), or use --target {' or '.join(able)}.",
        )
    if options.message_bits and not 2 <= options.message_bits <= message_most:
        raise DeployError(
            f"--message-bits is {options.message_bits}; {target.title} takes messages of 2 to {message_most} bits,"
            " with the sign",
            where="--message-bits",
            fix="Give a width in this range, or leave --message-bits out.",
        )
    if options.input_scale is None:
        return
    if not 0 < options.input_scale < np.inf:
        raise DeployError(
            f"--input-scale is {options.input_scale:g}; it must be above 0",
            where="--input-scale",
            fix="Give a number above 0.",
        )
    if options.input_scale != 1 and not options.message_bits and not has_data:
        raise DeployError(
            f"--input-scale is {options.input_scale:g}, but the inputs are spikes",
            where="--input-scale",
            fix="Give --message-bits as well, or leave --input-scale out.",
        )
