"""Xylo's stages of compiling: each takes a draft and returns it with more in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from neurodeploy.coding.approximation import Approximation, approximation_sentence, measure_changes
from neurodeploy.coding.calibration import Calibration
from neurodeploy.errors import LackingError
from neurodeploy.families.base import Draft
from neurodeploy.families.xylo.activity import Activity, activity
from neurodeploy.families.xylo.approximate import approximate
from neurodeploy.families.xylo.contract import check_program
from neurodeploy.families.xylo.exactness import check_exact
from neurodeploy.families.xylo.layout import lay_out
from neurodeploy.families.xylo.limits import refuse_faults
from neurodeploy.families.xylo.losses import loss_sentences
from neurodeploy.families.xylo.plan import as_given, as_plan, refuse_unused
from neurodeploy.families.xylo.population import XyloPopulation
from neurodeploy.families.xylo.quantise import Work, assembled, code_network, plan_of, prepared
from neurodeploy.families.xylo.synapses import INPUT_BITS, Placed, place
from neurodeploy.families.xylo.target import XyloTarget
from neurodeploy.ir.network import Network
from neurodeploy.ir.plan import check_plan


@dataclass(frozen=True, eq=False, slots=True)
class XyloDraft(Draft):
    """A program for a Xylo in the making.

    changes: what was approximated. placed: where populations lie, and their synapses. spikes: on calibration data.
    work: populations in float with their scales, and then their codes.
    """

    target: XyloTarget
    changes: tuple[Approximation, ...] = ()
    placed: Placed | None = None
    spikes: Activity | None = None
    work: Work | None = None

    def left(self, stage: str) -> dict[str, Any]:
        """Return scales and codes, JSON-ready."""
        if self.work is None or stage not in ("scale", "code"):
            return {}
        if stage == "scale":
            units = {name: [float(one.min()), float(one.max())] for name, one in self.work.units.items()}
            return {"shifts": self.work.shifts, "units": units}
        return {name: {"threshold": one.registers.threshold_code.tolist()} for name, one in self.work.codings.items()}


def fold(draft: XyloDraft) -> XyloDraft:
    """Check the plan; operations become matrices when populations are placed."""
    check_plan(draft.plan, draft.network, draft.target.name, draft.target.formats(), has_gains_by_neuron=True)
    refuse_unused(draft.plan)
    return draft


def find_nearest(draft: XyloDraft) -> XyloDraft:
    """Refuse neurons that Xylo does not have, or take the nearest where that was asked for."""
    if not draft.options.approximate:
        check_exact(draft.network)
        return draft
    network, changed = approximate(draft.network)
    changes = tuple(Approximation(name, what) for name, what in changed.items())
    # Counts are to meet those of the model as it was trained, not of its approximation.
    calibration = None if draft.calibration is None else replace(draft.calibration, network=network)
    return replace(draft, network=network, calibration=calibration, changes=changes)


def set_times(draft: XyloDraft) -> XyloDraft:
    """Place populations on the chip, and find latencies and delays: an input acts in its own step."""
    placed = place(draft.network)
    return replace(draft, placed=placed, latency=placed.latency, delays=placed.delays)


def scale(draft: XyloDraft) -> XyloDraft:
    """Find register units of each neuron, and one shift for each matrix, on calibration data where there is some."""
    calibration, spikes = draft.calibration, None
    if calibration is not None:
        sent = {name: one["spikes"] for name, one in calibration.recording.nodes.items() if "spikes" in one}
        spikes = activity(calibration.inputs, sent)
    assert draft.placed is not None
    work = prepared(draft.network, draft.placed, as_given(draft.plan, draft.network), spikes)
    return replace(draft, spikes=spikes, work=work)


def code(draft: XyloDraft) -> XyloDraft:
    """Code populations in the order in which they feed each other, each on what the coded ones before it send."""
    assert draft.work is not None
    work = replace(draft.work, codings={})
    code_network(work, draft.target.chip)
    return replace(draft, work=work)


def lay_down(draft: XyloDraft) -> XyloDraft:
    """Make program and plan, with relays where spikes wait, and refuse what the chip does not hold."""
    work, network, placed = draft.work, draft.network, draft.placed
    assert work is not None and placed is not None
    populations, projections = assembled(work)
    layout = lay_out(network.inputs, populations, projections)
    refuse_faults(layout.codes, draft.target.chip)
    complete = as_plan(plan_of(work), draft.target.name, network)
    provenance = {
        **draft.provenance,
        **_approximations(draft),
        "network_sha256": draft.digest,
        "plan_sha256": complete.digest(),
    }
    seen = None if draft.spikes is None else work.spikes
    losses = loss_sentences(network, placed, list(work.codings.values()), layout, seen)
    program = draft.program_of(
        layout.populations,
        projections,
        provenance,
        warnings=(*_approximated(provenance), *losses, *_helpers(layout.populations)),
        message_bits=dict.fromkeys(network.inputs, INPUT_BITS),
        input_scale=dict.fromkeys(network.inputs, 1.0),
    )
    return replace(draft, program=draft.with_host(program), complete=complete)


def check(draft: XyloDraft) -> XyloDraft:
    """Find what is silent or saturates on calibration data."""
    assert draft.program is not None
    return replace(draft, contract=check_program(draft.program, draft.spikes, draft.options.allow_silent))


STAGES: Mapping[str, Callable[[Any], XyloDraft]] = {
    "fold": fold,
    "approximate": find_nearest,
    "schedule": set_times,
    "scale": scale,
    "code": code,
    "map": lay_down,
    "check": check,
}


def _approximations(draft: XyloDraft) -> dict[str, Any]:
    if draft.trained is None or not draft.changes:
        return {}
    return {"approximations": measure_changes(draft.trained, draft.network, draft.changes)}


def _approximated(provenance: dict[str, Any]) -> list[str]:
    rung = provenance.get("approximations")
    return [] if rung is None else [approximation_sentence(rung)]


def _helpers(populations: tuple[XyloPopulation, ...]) -> list[str]:
    return [f"{p.name}: {p.size} neurons that the model does not have; each {p.helps}" for p in populations if p.helps]


def nearest_form(network: Network, calibration: Calibration) -> str:
    """Return in sentences what the nearest network that Xylo computes costs, or nothing where there is none."""
    try:
        nearest, changed = approximate(network)
    except LackingError:
        return ""
    if not changed:
        return ""
    changes = tuple(Approximation(name, what) for name, what in changed.items())
    measured = measure_changes(calibration, nearest, changes)
    return f"What the nearest form costs before any training (--approximate): {approximation_sentence(measured)}."
