"""Check a program on calibration data before it runs: what is silent, and how often registers saturate."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.errors import DeployError, known
from neurodeploy.families.base import Contract
from neurodeploy.families.xylo.activity import Activity
from neurodeploy.families.xylo.codes import STATE_MAX, STATE_MIN
from neurodeploy.families.xylo.kernel import run
from neurodeploy.families.xylo.layout import lay_out
from neurodeploy.ir.program import Program


def check_program(program: Program[Any], spikes: Activity | None, allow_silent: bool) -> Contract:
    """Return what a program does on calibration data that it should not.

    Args:
        program: for a Xylo.
        spikes: what enters on calibration data, and what the float model sends; None where there is none.
        allow_silent: name silent populations in the warnings instead of refusing them.

    Raises:
        DeployError: a population is silent, and the float model's is not.
    """
    if spikes is None:
        return Contract((), {"worst_case": {}, "observed": {}, "silent": []})
    layout = lay_out(program.inputs, program.populations, program.projections)
    shapes = {name: (*spikes.sent[name].shape[:2], *shape) for name, shape in program.inputs.items()}
    found = run(layout.codes, layout.counts({name: spikes.sent[name].reshape(shapes[name]) for name in shapes}))
    observed, silent = {}, {}
    for population in layout.populations:
        name = population.name
        rows = layout.rows(found, name)
        at_end = {key: int(np.isin(rows[key], (STATE_MIN, STATE_MAX)).sum()) for key in ("i", "v")}
        if not population.fires:
            # At its end v meets the threshold, and the chip takes all of it away.
            at_end["v"] += int((rows["spikes"] > 0).sum())
        sent = int(rows["spikes"].sum(dtype=np.int64))
        observed[name] = {"spikes": sent, "i_saturated": at_end["i"], "v_saturated": at_end["v"]}
        in_float = int(spikes.sent[name].sum(dtype=np.int64)) if name in spikes.sent else 0
        if population.fires and not sent and in_float:
            silent[name] = f"{name}: no spike on calibration data, {in_float} in the float model"
    if silent and not allow_silent:
        raise DeployError(
            "; ".join(silent.values()),
            where=f"node {known(map(repr, silent))}",
            fix="Calibrate with data like that which the network is to run on. To compile it as it is: --allow-silent.",
        )
    return Contract(tuple(silent.values()), {"worst_case": {}, "observed": observed, "silent": sorted(silent)})
