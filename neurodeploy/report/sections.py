"""The contents of the report, section by section, as plain values: every number and sentence is made here."""

from __future__ import annotations

import json
from itertools import combinations
from math import ceil, floor
from typing import Any

import numpy as np

from neurodeploy.backends import EMULATOR, REFERENCE
from neurodeploy.comparison.compare import Comparison
from neurodeploy.errors import counted
from neurodeploy.families.target_file import load_target
from neurodeploy.report.formats import number, percent, points, share, use_share
from neurodeploy.report.rasters import comparable_nodes

VERDICT_WORDS = {"pass": "Pass", "fail": "Fail", "not-judged": "Not judged"}
CLAIMS = {
    "pass": "nothing that was checked is outside the tolerance",
    "fail": "outside the tolerance",
    "not-judged": "what was checked does not say whether the chip does what the model does",
}

STATUS_WORDS = {"pass": "Pass", "fail": "Fail", "not-run": "Not run"}

EQUALITIES: dict[str, tuple[str, str, tuple[str, str]]] = {
    "reference_trained": (
        "Reference = trained model",
        "Our float execution against the training framework's own spikes",
        ("reference", "trained model"),
    ),
    "emulator_lava": (
        "Emulator = Lava",
        "Our emulator against Intel's simulator, both in Lava's arithmetic: spikes and states",
        ("emulator", "Lava"),
    ),
    "emulator_xylosim": (
        "Emulator = XyloSim",
        "Our emulator against SynSense's simulator: spikes, currents and potentials",
        ("emulator", "XyloSim"),
    ),
}

COUNTERS = {
    "spikes": "spikes fired",
    "synops": "synaptic operations",
    "active": "active neuron-steps",
    "synops_dense": "the same in a dense store, weights of 0 too",
    "arrivals": "spikes arrived",
    "u_wraps": "current (u) wrapped",
    "v_clips": "potential (v) clipped",
    "input_wraps": "sum of a step's input beyond its register",
    "i_saturated": "current at the end of its register",
    "v_saturated": "potential (v) at the end of its register",
}
"""The emulator's counters in words; one that is not here is shown by its own name."""

WORST_CASE = ("u_wraps", "v_clips", "input_wraps", "i_saturated", "v_saturated")

EVENTS = {
    "synops": "synaptic operations (weights other than 0)",
    "synops_dense": "the same in a dense store, weights of 0 too (not charged)",
    "active": "neuron-steps, active",
    "inactive": "neuron-steps, inactive",
    "spikes": "spikes fired",
    "messages": "spike messages (spike and destination)",
}


def headline(comparison: Comparison) -> dict[str, Any]:
    """Return what was compared, and on what."""
    result, provenance = comparison.result, comparison.result["provenance"]
    samples = max(result["samples"].values())
    facts = [
        counted(len(result["nodes"]), "spiking node"),
        counted(sum(p.size for p in comparison.program.populations), "neuron"),
        f"{counted(result['steps'], 'step')} of {provenance['dt_s']:g} s",
        f"{counted(samples, 'sample')} of {provenance['data']}",
    ]
    return {"model": model_title(provenance), "target": provenance["target"], "facts": facts}


def model_title(provenance: dict[str, Any]) -> str:
    """Return what a model is called."""
    in_memory = f"model {provenance['model_sha256'][:12]}" if provenance["model_sha256"] else "model in memory"
    return provenance.get("model") or in_memory


def verdict(comparison: Comparison) -> dict[str, Any]:
    """Return the verdict with its reasons, and all that it does not speak of."""
    result, said = comparison.result, comparison.result["verdict"]
    losses = said["accuracy_loss_points"]
    asked = [f"Backend {name} did not run: {reason}" for name, reason in sorted(result["not_run"].items())]
    tolerances = [f"{_points(said['tolerance_points'])} of accuracy"]
    if said["decisions_changed_percent"]:
        tolerances = [f"{said['tolerance_points']:g} % of the decisions"]
    if said["value_error_percent"]:
        tolerances.append(f"{said['value_tolerance_percent']:g} % of the standard deviation for values")
    tolerance = f"Tolerance: {', '.join(tolerances)}; equalities exact."
    if losses:
        tolerance += _smallest_tolerance(said["smallest_tolerance_points"], result["equalities"])
    return {
        "status": said["status"],
        "word": VERDICT_WORDS[said["status"]],
        "claim": CLAIMS[said["status"]],
        "reasons": [reason(text) for text in said["reasons"]],
        "not_run": [*(_equality_names(text) for text in said["not_run"]), *asked],
        "tolerance": tolerance,
    }


def reason(text: str) -> str:
    """Return a reason of a verdict as a sentence; names of registers, which are one letter, stay as they are."""
    text = _equality_names(text)
    return text if text[1:2] == " " else text[:1].upper() + text[1:]


def equality_title(key: str) -> str:
    """Return what an equality is called."""
    return _equality_words(key)[0]


def equality_cards(comparison: Comparison) -> list[dict[str, Any]]:
    """Return a card for each equality: status, reason, ties and where it breaks."""
    cards = []
    for key, equality in comparison.result["equalities"].items():
        title, meaning, pair = _equality_words(key)
        different, ties = equality.get("first_difference"), equality.get("ties")
        cards.append(
            {
                "title": title,
                "meaning": meaning,
                "status": equality["status"],
                "word": STATUS_WORDS[equality["status"]],
                "reason": equality["reason"],
                "ties": None if ties is None else f"Rounding ties: {number(ties)}",
                "difference": None if different is None else difference_sentence(*pair, different),
            }
        )
    return cards


def accuracy_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return accuracy by backend with its interval, and the loss against the reference on the same samples."""
    detail = comparison.result["accuracy_detail"]
    if not detail:
        return []
    low = floor(10 * min(d["interval_95"][0] for d in detail.values())) / 10
    high = ceil(10 * max(d["interval_95"][1] for d in detail.values())) / 10

    def place(value: float) -> float:
        return float(round(100 * (value - low) / (high - low), 3))

    rows = []
    for name, found in detail.items():
        first, last = found["interval_95"]
        accuracy = found["correct"] / found["samples"]
        rows.append(
            {
                "backend": name,
                "samples": number(found["samples"]),
                "correct": number(found["correct"]),
                "accuracy": percent(accuracy),
                "interval": f"{percent(first)} to {percent(last)}",
                "dot": place(accuracy),
                "left": place(first),
                "width": round(place(last) - place(first), 3),
                "axis": (f"{100 * low:.0f} %", f"{100 * high:.0f} %"),
                "test": _test(found.get("mcnemar")),
                **_against_reference(comparison, name),
            }
        )
    return rows


def decision(comparison: Comparison) -> dict[str, Any]:
    """Return what decides a sample, or the question, with the accuracy that each answer to it would give."""
    said, settled = comparison.result["decision"], comparison.answers.settled
    ties = ", ".join(f"{name} {percent(value)}" for name, value in said["ties"].items())
    candidates = [
        {"rule": rule, "found": ", ".join(f"{name} {percent(value)}" for name, value in found.items())}
        for rule, found in comparison.result["accuracy_candidates"].items()
    ]
    sentence = settled.sentence
    return {
        "sentence": sentence[0].upper() + sentence[1:],
        "is_open": said["question"] is not None,
        "ties": ties,
        "vacuous": list(comparison.result["vacuous"].values()),
        "candidates": candidates,
    }


def regression_rows(comparison: Comparison) -> list[dict[str, str]]:
    """Return how far each backend's numbers are from the targets."""
    return [_errors(name, found) for name, found in comparison.result["regression"].items()]


def value_rows(comparison: Comparison) -> list[dict[str, str]]:
    """Return how far values that are read are from those of the base, by node and backend."""
    return [
        {"node": node, **_errors(name, found)}
        for name, nodes in comparison.result["values"].items()
        for node, found in nodes.items()
    ]


def _errors(name: str, found: dict[str, Any]) -> dict[str, str]:
    correlation = found["correlation"]
    return {
        "backend": name,
        "numbers": number(found["numbers"]),
        "squared": f"{found['mean_squared_error']:.4g}",
        "absolute": f"{found['mean_absolute_error']:.4g}",
        "spread": f"{found['spread']:.4g}",
        "correlation": "not defined" if correlation is None else f"{correlation:.6f}",
    }


def agreement_table(comparison: Comparison) -> dict[str, Any]:
    """Return the share of spikes in common with the base, by node and backend."""
    agreement, base = comparison.result["agreement"], comparison.result["agreement_with"]
    names = [name for name, nodes in agreement.items() if nodes]
    spikes = comparison.result["counters"]["spikes"]
    rows = []
    for node in comparison.result["nodes"]:
        cells = []
        for name in names:
            value = agreement[name].get(node)
            is_silent = not spikes[name].get(node) and not spikes[base].get(node)
            text = None if value is None else "neither fires" if is_silent else share(value)
            cells.append(None if value is None else {"text": text, "value": round(value, 6)})
        rows.append({"node": node, "neurons": number(comparison.network.population(node).size), "cells": cells})
    samples = comparison.result["samples"]
    return {
        "base": base,
        "backends": [(n, counted(min(samples[n], samples[base]), "sample")) for n in names],
        "rows": rows,
    }


def first_differences(comparison: Comparison, chip: str | None = None) -> list[dict[str, Any]]:
    """Return a sentence for each pair of backends, and the raster that shows it; it is ``chip``'s of several."""
    found = []
    for a, b in combinations(comparison.recordings, 2):
        different = comparison.result["first_difference"].get(f"{a}-{b}")
        one, two = comparison.recordings[a], comparison.recordings[b]
        shared, samples = comparable_nodes(one, two, comparison.result["nodes"]), comparison.result["samples"]
        scope = f"{counted(len(shared), 'node')} and {counted(min(samples[a], samples[b]), 'sample')}"
        if different is None:
            text = (
                f"{a} and {b} have equal spikes in all of {scope}."
                if shared
                else f"{a} and {b} recorded no common node."
            )
        else:
            text = difference_sentence(a, b, different)
        show = None
        if different is not None:
            of_chip = {} if chip is None else {"chip": chip}
            show = {**of_chip, "sample": different["sample"], "node": different["node"], "a": a, "b": b}
        found.append({"text": text, "equal": different is None and bool(shared), "show": show})
    return found


def difference_sentence(a: str, b: str, different: dict[str, Any]) -> str:
    """Return where ``a`` and ``b`` first differ, as a sentence.

    Args:
        a, b: names of the backends.
        different: as the comparison file has it: ``what``, ``node``, ``sample``, ``t``, ``unit``, ``a``, ``b`` and
            ``count``.
    """
    unit = ", ".join(str(i) for i in different["unit"])
    what = "" if different["what"] == "spikes" else f"{different['what']} is "
    entries = counted(different["count"], "entry", "entries")
    differ = "differs" if different["count"] == 1 else "differ"
    return (
        f"{a} and {b} first differ in row {different['t']} of sample {different['sample']}, "
        f"node {different['node']} neuron ({unit}): "
        f"{what}{number(different['a'])} against {number(different['b'])}; {entries} {differ} there."
    )


def fit_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return how much of each limit of the chip the program takes."""
    return [
        {
            "limit": use["limit"],
            "used": used(use),
            "available": number(use["available"]),
            "share": use_share(use["used"] / use["available"]),
            "fits": use["fits"],
            "is_least": use["is_least"],
        }
        for use in comparison.result["fit"]
    ]


def used(use: dict[str, Any]) -> str:
    """Return how much of a limit is taken."""
    return f"{'at least ' if use['is_least'] else ''}{number(use['used'])}"


def spike_table(comparison: Comparison) -> dict[str, Any]:
    """Return events per sample by node: spikes of every backend, and what the emulator counts besides."""
    counters = comparison.result["counters"]
    extra = [key for key in counters["emulator"] if key not in (*WORST_CASE, "spikes")]
    columns = [(f"spikes, {name}", nodes) for name, nodes in counters["spikes"].items()]
    columns += [(COUNTERS.get(key, key), counters["emulator"][key]) for key in sorted(extra, key=_counter_rank)]
    rows = [
        {"node": node, "cells": [None if node not in nodes else number(nodes[node]) for _, nodes in columns]}
        for node in comparison.result["nodes"]
    ]
    total = [number(sum(nodes.values())) if nodes else None for _, nodes in columns]
    samples = comparison.result["samples"]
    means = "; ".join(f"{name} over {counted(samples[name], 'sample')}" for name in counters["spikes"])
    return {"columns": [title for title, _ in columns], "rows": rows, "total": total, "means": means}


def worst_case_table(comparison: Comparison) -> dict[str, Any] | None:
    """Return how often a register overflowed, by node, or None where the emulator did not run."""
    events = comparison.result["counters"]["emulator"]
    found = [key for key in WORST_CASE if key in events]
    if not found:
        return None
    rows = [
        {"node": node, "cells": [number(events[key].get(node, 0)) for key in found]}
        for node in comparison.result["nodes"]
    ]
    return {
        "columns": [f"{COUNTERS[key]} ({key})" for key in found],
        "rows": rows,
        "clean": not any(value for key in found for value in events[key].values()),
        "names": ", ".join(f"{COUNTERS[key]} ({key})" for key in found),
    }


def energy(comparison: Comparison) -> dict[str, Any] | None:
    """Return the energy band with its profiles, or None where nothing was counted; energies are left in J."""
    estimate = comparison.result["energy"]
    if estimate is None:
        return None
    own = estimate["figures_of"] == comparison.result["target"]
    top = estimate["high_j"] or 1.0
    profiles = [
        {
            **profile,
            "left": round(100 * profile["low_j"] / top, 3),
            "width": round(100 * (profile["high_j"] - profile["low_j"]) / top, 3),
            "dot": round(100 * profile["energy_j"] / top, 3),
        }
        for profile in estimate["profiles"]
    ]
    return {
        **estimate,
        "measured": estimate.get("measured", []),
        "profiles": profiles,
        "owner": None if own else load_target(estimate["figures_of"]).title,
        "events": [
            (EVENTS.get(key, key), number(estimate["events"][key])) for key in _ordered(estimate["events"], EVENTS)
        ],
    }


def provenance(comparison: Comparison) -> dict[str, Any]:
    """Return where everything came from: facts of the run, of the program and of each backend."""
    said = comparison.result["provenance"]
    special = ("program", "backends", "dialect_evidence")
    facts = [(key.replace("_", " "), _text(value)) for key, value in sorted(said.items()) if key not in special]
    program = {**said["program"], "arithmetic": comparison.program.arithmetic}
    meta = {name: recording.meta for name, recording in comparison.recordings.items()}
    hidden = ("backend", "versions", "counter_nodes", "latency", "raw_time", "units")
    backends = [
        {
            "name": name,
            "samples": number(comparison.result["samples"][name]),
            "versions": _text(said["backends"].get(name, {})) or "unknown",
            "more": _text(
                {key: value for key, value in of_backend.items() if key not in hidden and value not in (None, "")}
            ),
        }
        for name, of_backend in meta.items()
    ]
    return {
        "facts": facts,
        "evidence": said["dialect_evidence"],
        "program": [
            (key.replace("_", " "), _text(program[key])) for key in sorted(program) if key != "dialect_evidence"
        ],
        "latency": ", ".join(f"{node}: {steps}" for node, steps in comparison.program.latency.items()),
        "backends": backends,
    }


def _test(mcnemar: dict[str, Any] | None) -> str | None:
    """Return samples lost and gained against the reference, and how likely chance is."""
    return None if mcnemar is None else f"{mcnemar['lost']} / {mcnemar['gained']}, p = {mcnemar['p']:.2g}"


def _against_reference(comparison: Comparison, name: str) -> dict[str, str | None]:
    """Return loss in points and changed decisions against the reference, on the samples that both ran."""
    labels, own, reference = comparison.data.labels, comparison.answers.of(name), comparison.answers.of(REFERENCE)
    if name == REFERENCE or reference is None or own is None or labels is None:
        return {"loss": None, "changed": None}
    n = min(len(own), len(reference))
    own, reference = own[:n], reference[:n]
    loss = 100.0 * (np.count_nonzero(reference == labels[:n]) - np.count_nonzero(own == labels[:n])) / n
    return {"loss": points(float(loss)), "changed": f"{np.count_nonzero(own != reference):,} of {n:,}"}


def _smallest_tolerance(loss: float, equalities: dict[str, Any]) -> str:
    """Return what would have to be tolerated, rounded up to what does pass."""
    if loss <= 0:
        return " No accuracy is lost."
    equal = not any(equality["status"] == "fail" for equality in equalities.values())
    smallest = ceil(round(loss * 100, 6)) / 100
    return f" The smallest tolerance that {'passes' if equal else 'the accuracy passes'} is {_points(smallest)}."


def _points(value: float) -> str:
    return f"{value:g} {'point' if value == 1 else 'points'}"


def _equality_words(key: str) -> tuple[str, str, tuple[str, str]]:
    """Return title, meaning and sides of an equality; of a simulator that is not ours by its name."""
    name = key.removeprefix(f"{EMULATOR}_")
    other = (f"Emulator = {name}", "Our emulator against this simulator, in its arithmetic", (EMULATOR, name))
    return EQUALITIES.get(key, other)


def _equality_names(text: str) -> str:
    for key, (title, _, _) in EQUALITIES.items():
        text = text.replace(key.replace("_", " == "), title)
    return text


def _counter_rank(key: str) -> tuple[int, str]:
    return (list(COUNTERS).index(key) if key in COUNTERS else len(COUNTERS), key)


def _ordered(keys: dict[str, Any], first: dict[str, str]) -> list[str]:
    return [*(key for key in first if key in keys), *sorted(key for key in keys if key not in first)]


def _text(value: Any) -> str:
    """Return a value of provenance as text a person reads."""
    match value:
        case dict():
            return ", ".join(f"{key.replace('_', ' ')} {_text(value[key])}" for key in sorted(value))
        case list() | tuple():
            return ", ".join(_text(item) for item in value)
        case str():
            return value
    return json.dumps(value)
