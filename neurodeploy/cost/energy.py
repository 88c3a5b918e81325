"""Energy from event counts: published energies per event times what was counted, always a band over profiles.

What is not in it: routing between cores (programs are not placed on cores yet), input and output, the embedded
processors, static power.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.families.target_file import load_target
from neurodeploy.ir.needs import can, refuse_missing
from neurodeploy.ir.program import Program
from neurodeploy.ir.recording import Recording
from neurodeploy.targets.target import EnergyProfile, Target

SCOPE = (
    "estimate of dynamic neuron-core energy only; without routing between cores, input and output, embedded processors"
    " and static power"
)


CAN = can(
    "subtract subtract-late zero-late no-reset subtract-pending count refractory interval integrator meets lowers-v"
    " clears-now clears-late ternary floor adaptive second delay graded conv sparse negative-exponent host"
)
"""What is charged by the profiles' events, see :mod:`neurodeploy.ir.needs`; neurons of all kinds as plain ones."""


@dataclass(frozen=True, slots=True)
class EventCounts:
    """Events of one sample, on average.

    synops: weights other than 0 delivered. active, inactive: neuron-steps with and without something to do.
    spikes: fired.
    messages: spikes times populations reached, inputs included; at least one message each, more once placed on cores.
    synops_dense: weights that a dense store would deliver, those of 0 too, for which no energy is charged.
    """

    synops: float
    active: float
    inactive: float
    spikes: float
    messages: float
    synops_dense: float = 0.0


def count_events(program: Program, recording: Recording, input_spikes: dict[str, float]) -> EventCounts:
    """Return the events of one sample of an emulator run.

    Args:
        program: what ran.
        recording: with the emulator's counters.
        input_spikes: spikes of each input in one sample, on average.
    """
    per_sample = {key: values.sum(axis=0).mean(axis=0) for key, values in recording.counters.items()}
    return mean_events(program, recording.meta["counter_nodes"], per_sample, recording.n_steps, input_spikes)


def mean_events(
    program: Program,
    nodes: list[str],
    per_sample: dict[str, NDArray[np.float64]],
    n_steps: int,
    input_spikes: dict[str, float],
) -> EventCounts:
    """Return the events of one sample from the emulator's counters, by name float64 (nodes,), of one sample.

    Args:
        program: that ran. nodes: names of the rows of the counters. per_sample: counters of one sample, by name.
        n_steps: T. input_spikes: of one sample, by input.
    """
    refuse_missing(program.parts, CAN, "the energy estimate")
    updates = float(sum(population.size for population in program.populations) * n_steps)
    fired = {**input_spikes, **dict(zip(nodes, per_sample["spikes"].tolist(), strict=True))}
    messages = sum(fired[projection.source] for projection in program.projections)
    active = float(per_sample["active"].sum())
    return EventCounts(
        synops=float(per_sample["synops"].sum()),
        active=active,
        inactive=updates - active,
        spikes=float(per_sample["spikes"].sum()),
        messages=messages,
        synops_dense=float(per_sample["synops_dense"].sum()) if "synops_dense" in per_sample else 0.0,
    )


def profile_energy(profile: EnergyProfile, events: EventCounts) -> float:
    """Return the energy of one sample, J: each event's energy times its count."""
    return (
        profile.synop * events.synops
        + profile.neuron_active * events.active
        + profile.neuron_inactive * events.inactive
        + profile.spike * events.spikes
        + profile.spike_message * events.messages
    )


def estimate_energy(target: Target, events: EventCounts) -> dict[str, Any]:
    """Return the energy of one sample as a band over the published profiles.

    Returns:
        JSON-ready: ``statement`` (None where the target has figures of its own), ``figures_of`` (the chip whose
        profiles these are), ``low_j`` and ``high_j``, ``profiles`` with energy, band, source and basis of each,
        ``events``, ``scope``.
    """
    owner = load_target(target.energy.profiles_of) if target.energy.profiles_of else target
    profiles: list[dict[str, Any]] = []
    for profile in owner.energy.profiles:
        energy = profile_energy(profile, events)
        spread = profile.relative_uncertainty * energy
        profiles.append(
            {
                "name": profile.name,
                "title": profile.title,
                "energy_j": energy,
                "low_j": energy - spread,
                "high_j": energy + spread,
                "source": profile.source,
                "kind": profile.kind,
                "basis": profile.basis,
            }
        )
    return {
        "statement": target.energy.statement,
        "figures_of": owner.name,
        "low_j": min((p["low_j"] for p in profiles), default=None),
        "high_j": max((p["high_j"] for p in profiles), default=None),
        "unit": "J per sample",
        "profiles": profiles,
        "events": {key: float(np.round(getattr(events, key), 6)) for key in events.__slots__},
        "scope": SCOPE,
        **({"measured": [one.model_dump() for one in target.energy.measured]} if target.energy.measured else {}),
    }
