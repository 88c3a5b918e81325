"""Calibration data: the float model's activity on it, and how far other data is from it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neurodeploy.backends.host import run_float
from neurodeploy.coding.calibration import Calibration
from neurodeploy.coding.data import Data
from neurodeploy.errors import DeployError
from neurodeploy.ir.decision import membranes
from neurodeploy.ir.network import Network
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.ir.run_options import Inputs, RunOptions

MUCH_ROUNDED = 0.1
"""Share of graded input, root mean square, that its rounding to whole numbers may change without a word."""

FAR_APART = 2.0
"""By how much the rate of an input may exceed that of calibration data, or fall below it, before that is said."""


def run_reference(network: Network, data: Data) -> Calibration:
    """Run the float model on calibration data.

    Raises:
        DeployError: the data does not fit the model, or holds nothing but zeros.
        BackendError: torch is missing.
    """
    if data.x and not any(np.any(values) for values in data.x.values()):
        raise DeployError(
            "the calibration data holds nothing but zeros, so that nothing can be fitted to it",
            where="--calibrate",
            fix="Give data like that which the network is to run on, or leave --calibrate out.",
        )
    return Calibration(network, data.x, data.labels, _recorded(network, data.x), _recorded)


def _recorded(network: Network, inputs: Inputs) -> Recording:
    return run_float(network, inputs, RunOptions(membranes=membranes(network)))


def other_data_sentences(calibrated: dict[str, float], rates: dict[str, float]) -> list[str]:
    """Return which inputs fire far more, or far less, than they did in calibration data; both are shares of values."""
    found = []
    for name, rate in rates.items():
        before = calibrated.get(name)
        if before is not None and max(rate, before) > FAR_APART * min(rate, before):
            found.append(
                f"input {name!r} is not 0 in {100 * rate:.3g} % of its values, but the calibration data is not 0 in"
                f" {100 * before:.3g} %: scales and thresholds were fitted to data of another kind; compile with"
                " --calibrate data like this input"
            )
    return found


@dataclass(slots=True)
class Rounding:
    """What graded input loses where it is sent as whole numbers, a block of samples at a time.

    scales: by what values are multiplied before they are rounded, for each graded input. lost, sent: sums of squares of
    what rounding changed, and of all values.
    """

    scales: dict[str, float]
    lost: dict[str, float] = field(default_factory=dict)
    sent: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, program: Program) -> Rounding:
        """Return a count for a program's graded input; where a host sends it, it is made of the data, and not data."""
        graded = program.message_bits if program.host is None else ()
        return cls({name: program.input_scale.get(name, 1.0) for name in graded})

    def add(self, inputs: Inputs) -> None:
        """Add a block, for each input ``[T, B, *shape]``."""
        for name, scale in self.scales.items():
            values = np.asarray(inputs[name], np.float64)
            self.lost[name] = self.lost.get(name, 0.0) + float(((np.rint(values * scale) / scale - values) ** 2).sum())
            self.sent[name] = self.sent.get(name, 0.0) + float((values**2).sum())

    def sentences(self) -> list[str]:
        """Return which inputs lose more than :data:`MUCH_ROUNDED` of their root mean square."""
        shares = {name: (self.lost[name] / self.sent[name]) ** 0.5 for name in self.sent if self.sent[name]}
        return [
            f"rounding input {name!r} to whole numbers of {1 / self.scales[name]:.3g} changes it by {100 * share:.3g} %"
            " (root mean square): these values are small for the scale of the messages; compile with --calibrate data"
            " like this input, or with a larger --input-scale"
            for name, share in shares.items()
            if share > MUCH_ROUNDED
        ]
