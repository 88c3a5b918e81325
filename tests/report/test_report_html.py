"""The report page: what it says, that it stands alone, and that names from a user's file stay text."""

from __future__ import annotations

import copy
import json
import re
from copy import deepcopy
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.coding.data import Data
from neurodeploy.comparison.compare import Comparison, compare
from neurodeploy.ir.recording import Recording
from neurodeploy.report import formats, sections
from neurodeploy.report.html import render_report, write_report
from neurodeploy.report.rasters import RasterLimits, choose_samples, raster_data
from tests.ir.test_decision import in_turn, small_model
from tests.report.conftest import SAMPLES, STEPS


class Page(HTMLParser):
    """Elements, their attributes, and the text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.data: list[str] = []
        self.code: dict[str, list[str]] = {"script": [], "style": []}
        self._inside: str | None = None
        self.feed(html)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.data))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag in self.code else None

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        (self.data if self._inside is None else self.code[self._inside]).append(data)


@pytest.fixture(scope="module")
def page(on_loihi1: Comparison) -> Page:
    return Page(render_report(on_loihi1))


def changed(comparison: Comparison, **entries: Any) -> Comparison:
    """Return a comparison with other entries in its result."""
    return replace(comparison, result={**copy.deepcopy(comparison.result), **entries})


def with_equality(comparison: Comparison, key: str, **equality: Any) -> Comparison:
    return changed(comparison, equalities={**comparison.result["equalities"], key: equality})


def decoded(raster: dict[str, Any], backend: int) -> list[int]:
    return np.cumsum(raster["spikes"][backend]).tolist()


def test_same_comparison_gives_the_same_bytes(on_loihi1: Comparison, tmp_path: Path) -> None:
    write_report(on_loihi1, tmp_path / "a.html")
    write_report(on_loihi1, tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_page_loads_nothing_from_elsewhere(page: Page) -> None:
    loads = [
        (tag, key, value)
        for tag, attributes in page.elements
        for key, value in attributes.items()
        if key in ("src", "href", "srcset", "data", "action", "poster") and not (value or "").startswith("#")
    ]
    assert loads == []
    assert not [tag for tag, _ in page.elements if tag in ("link", "iframe", "object", "embed", "base")]
    assert not re.search(r"@import|url\(", "".join(page.code["style"]))


def test_page_forbids_the_browser_to_load_anything(page: Page) -> None:
    policies = [
        a["content"] for tag, a in page.elements if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies
    assert str(policies[0]).startswith("default-src 'none'")
    assert "http" not in str(policies[0])


def test_name_from_the_model_stays_text(hostile: Comparison) -> None:
    found = Page(render_report(hostile))
    assert "img" not in [tag for tag, _ in found.elements]
    assert [tag for tag, _ in found.elements].count("script") == 4
    name = hostile.result["nodes"][0]
    assert name in found.text
    assert name in [node["name"] for node in json.loads(found.code["script"][0])["nodes"]]


def test_every_select_has_a_label_and_every_table_a_caption(page: Page) -> None:
    tags = [tag for tag, _ in page.elements]
    before = [tags[i - 1] for i, tag in enumerate(tags) if tag == "select"]
    assert before == ["label"] * 4
    boxes = [tags[i - 1] for i, tag in enumerate(tags) if tag == "table"]
    assert boxes == ["div"] * len(boxes)
    assert all(a.get("aria-label") for tag, a in page.elements if a.get("role") == "region")


def test_ids_are_unique(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_page_gives_the_verdict_and_what_was_not_run(page: Page) -> None:
    assert "Pass nothing that was checked is outside the tolerance" in page.text
    assert "Reference = trained model: no trained recording is given" in page.text
    assert "Emulator = Lava: lava did not run: not asked for" in page.text


def test_page_gives_used_and_available_of_each_limit(page: Page, on_loihi1: Comparison) -> None:
    weights = sum(int(np.count_nonzero(p.weight)) for p in on_loihi1.program.projections)
    assert re.search(rf"neurons ?11 ?131,072 ?0.01 % ?bytes of synapses ?{weights} ?16,777,216 ?0.01 %", page.text)
    assert re.search(r"cores ?at least 1 ?128 ?0.79 %", page.text)
    assert "Does not fit" not in page.text


def test_limit_that_is_exceeded_is_marked(on_loihi1: Comparison) -> None:
    use = {"limit": "neurons", "used": 100_001, "available": 100_000, "is_least": False, "fits": False}
    text = Page(render_report(changed(on_loihi1, fit=[use]))).text
    assert re.search(r"neurons ?100,001 ?100,000 ?100.01 % .{0,4}Does not fit", text)


def test_failed_verdict_gives_its_reasons(on_loihi1: Comparison) -> None:
    said = {**on_loihi1.result["verdict"], "status": "fail", "reasons": ["emulator loses 5.00 points"]}
    found = Page(render_report(changed(on_loihi1, verdict=said)))
    assert "Fail outside the tolerance" in found.text
    assert "Emulator loses 5.00 points" in found.text


def test_verdict_that_could_not_be_judged_gives_its_reasons(on_loihi1: Comparison) -> None:
    silent = {"reference": "output lif2 never fires on reference"}
    said = {**on_loihi1.result["verdict"], "status": "not-judged", "reasons": [f"vacuous: {silent['reference']}"]}
    comparison = changed(on_loihi1, verdict=said, vacuous=silent, accuracy={}, accuracy_detail={})
    text = Page(render_report(comparison)).text
    assert "Not judged what was checked does not say whether the chip does what the model does" in text
    assert "Vacuous: output lif2 never fires on reference" in text
    assert "Not measured: output lif2 never fires on reference." in text


def test_spikes_of_a_silent_node_are_not_said_to_be_shared(on_loihi1: Comparison) -> None:
    counters = {
        **on_loihi1.result["counters"],
        "spikes": {name: {"lif1": 3.0, "lif2": 0.0} for name in ("reference", "emulator")},
    }
    rows = sections.agreement_table(changed(on_loihi1, counters=counters))["rows"]
    assert [row["cells"][0]["text"] == "neither fires" for row in rows] == [False, True]


def test_smallest_tolerance_is_not_rounded_below_what_passes(on_loihi1: Comparison) -> None:
    said = {**on_loihi1.result["verdict"], "smallest_tolerance_points": 1.2345}
    assert "that passes is 1.24 points" in sections.verdict(changed(on_loihi1, verdict=said))["tolerance"]


def test_gained_accuracy_is_not_a_negative_tolerance(on_loihi1: Comparison) -> None:
    said = {**on_loihi1.result["verdict"], "smallest_tolerance_points": -0.185}
    assert sections.verdict(changed(on_loihi1, verdict=said))["tolerance"].endswith("No accuracy is lost.")


def test_missing_labels_are_named_as_not_checked(unlabelled: Comparison) -> None:
    found = Page(render_report(unlabelled))
    assert "accuracy loss: the data has no labels" in found.text
    assert "Not measured: the data has no labels" in found.text


def test_passed_equality_tells_its_ties(on_loihi1: Comparison) -> None:
    comparison = with_equality(
        on_loihi1, "reference_trained", status="pass", reason="equal but for 2 ties", ties=2, samples=4
    )
    card = sections.equality_cards(comparison)[0]
    assert (card["word"], card["ties"]) == ("Pass", "Rounding ties: 2")


def test_failed_equality_tells_where_it_breaks(on_loihi1: Comparison) -> None:
    where = {"what": "v", "node": "lif1", "sample": 2, "t": 7, "unit": [1, 4], "a": 17.0, "b": -18.0, "count": 1}
    comparison = with_equality(on_loihi1, "emulator_lava", status="fail", reason="they differ", first_difference=where)
    text = Page(render_report(comparison)).text
    assert "emulator and Lava first differ in row 7 of sample 2, node lif1 neuron (1, 4)" in text
    assert "v is 17 against -18; 1 entry differs there." in text


def test_first_difference_is_told_as_it_was_found(on_loihi1: Comparison, page: Page) -> None:
    found = on_loihi1.result["first_difference"]["reference-emulator"]
    assert f"first differ in row {found['t']} of sample {found['sample']}, node {found['node']} neuron" in page.text
    links = [str(attributes["href"]) for tag, attributes in page.elements if tag == "a"]
    assert f"#sample={found['sample']}&node={found['node']}&a=reference&b=emulator" in links


def test_recordings_without_a_common_node_are_not_called_equal(on_loihi1: Comparison) -> None:
    other = Recording({"lif2": on_loihi1.recordings["emulator"].nodes["lif2"]}, on_loihi1.recordings["emulator"].meta)
    alone = Recording({"lif1": on_loihi1.recordings["reference"].nodes["lif1"]}, on_loihi1.recordings["reference"].meta)
    comparison = replace(
        changed(on_loihi1, first_difference={"a-b": None}, samples={"a": 15, "b": 15}),
        recordings={"a": alone, "b": other},
    )
    assert sections.first_differences(comparison) == [
        {"text": "a and b recorded no common node.", "equal": False, "show": None}
    ]


def test_accuracy_loss_is_taken_on_the_samples_that_both_ran(on_loihi1: Comparison) -> None:
    reference = on_loihi1.recordings["reference"]
    detail = {**on_loihi1.result["accuracy_detail"]}
    detail["lava"] = {"correct": 1, "samples": 3, "interval_95": [0.1, 0.8]}
    answers = deepcopy(on_loihi1.answers)
    answers.add({"lava": reference.first(3)}, on_loihi1.data.part(0, 3))
    comparison = replace(
        changed(on_loihi1, accuracy_detail=detail),
        recordings={**on_loihi1.recordings, "lava": reference.first(3)},
        answers=answers,
    )
    row = sections.accuracy_rows(comparison)[-1]
    assert (row["backend"], row["loss"], row["changed"]) == ("lava", "0.00", "0 of 3")


def test_energy_of_loihi1_is_a_band_with_sources(on_loihi1: Comparison, page: Page) -> None:
    energy = on_loihi1.result["energy"]
    assert f"{formats.si(energy['low_j'], 'J')} to {formats.si(energy['high_j'], 'J')} per sample" in page.text
    assert all(profile["source"] in page.text and profile["basis"] in page.text for profile in energy["profiles"])
    assert energy["scope"] in page.text


def test_energy_of_loihi2_is_stated_as_unknown_and_other_figures_are_labelled(on_loihi2: Comparison) -> None:
    text = Page(render_report(on_loihi2)).text
    assert on_loihi2.result["energy"]["statement"] in text
    assert "The same events under the figures of Intel Loihi, which is another chip" in text


def test_energy_is_left_out_where_nothing_was_counted(on_loihi1: Comparison) -> None:
    assert "Energy" not in Page(render_report(changed(on_loihi1, energy=None))).text


def test_overflow_of_a_register_is_noted(on_loihi1: Comparison, page: Page) -> None:
    assert "In no sample did a register come to its end" in page.text
    counters = copy.deepcopy(on_loihi1.result["counters"])
    counters["emulator"]["u_wraps"]["lif2"] = 0.001
    text = Page(render_report(changed(on_loihi1, counters=counters))).text
    assert "State left its register." in text
    assert "1.0e-03" in text


def test_ladder_that_was_not_built_is_not_mentioned(page: Page) -> None:
    assert "ladder" not in page.text.lower()


def test_warnings_of_the_program_are_shown(on_loihi1: Comparison) -> None:
    assert (
        "lif1: <b>v can saturate" in Page(render_report(changed(on_loihi1, warnings=["lif1: <b>v can saturate"]))).text
    )


def test_rasters_hold_exactly_the_recorded_spikes(on_loihi1: Comparison) -> None:
    data = raster_data(on_loihi1)
    for sample in data["samples"]:
        for node, raster in zip(data["nodes"], sample["rasters"], strict=True):
            for i, backend in enumerate(data["backends"]):
                spikes = on_loihi1.recordings[backend].spikes(node["name"])[:, sample["index"]]
                assert decoded(raster, i) == np.flatnonzero(spikes).tolist()


def test_raster_keeps_the_size_of_graded_spikes(on_loihi1: Comparison) -> None:
    emulator = on_loihi1.recordings["emulator"]
    nodes = {node: {"spikes": 3 * observed["spikes"].astype(np.int32)} for node, observed in emulator.nodes.items()}
    comparison = replace(on_loihi1, recordings={**on_loihi1.recordings, "emulator": Recording(nodes, emulator.meta)})
    raster = raster_data(comparison)["samples"][0]["rasters"][0]
    assert raster["values"][0] is None
    assert set(raster["values"][1]) == {3}


def test_sample_that_a_backend_did_not_run_has_no_spikes_of_it(on_loihi1: Comparison) -> None:
    recordings = {**on_loihi1.recordings, "lava": on_loihi1.recordings["emulator"].first(1)}
    firsts = {**on_loihi1.result["first_difference"], "reference-lava": None, "emulator-lava": None}
    data = raster_data(replace(changed(on_loihi1, first_difference=firsts), recordings=recordings))
    assert {sample["index"] == 0: sample["rasters"][0]["spikes"][2] is not None for sample in data["samples"]} == {
        True: True,
        False: False,
    }


def test_raster_that_is_cut_in_neurons_keeps_those_that_differ_and_says_so(on_loihi1: Comparison) -> None:
    found = on_loihi1.result["first_difference"]["reference-emulator"]
    data = raster_data(on_loihi1, RasterLimits(units=2))
    sample = next(s for s in data["samples"] if s["index"] == found["sample"])
    place = [node["name"] for node in data["nodes"]].index(found["node"])
    raster, n_units = sample["rasters"][place], on_loihi1.network.population(found["node"]).size
    assert found["unit"][0] in {code % n_units for i in (0, 1) for code in decoded(raster, i)}
    assert f"2 of {n_units} neurons are shown" in raster["note"]


def test_raster_that_is_cut_in_time_is_cut_alike_for_all_backends_and_says_so(on_loihi1: Comparison) -> None:
    raster = raster_data(on_loihi1, RasterLimits(spikes=10))["samples"][0]["rasters"][0]
    rows = int(re.search(r"the first (\d+) of", raster["note"])[1])  # type: ignore[index]
    assert 0 < rows < STEPS
    assert all(len(codes) <= 10 for codes in raster["spikes"])
    assert all(code // 8 < rows for i in (0, 1) for code in decoded(raster, i))


def test_page_stops_at_its_limit_but_always_has_a_sample(on_loihi1: Comparison) -> None:
    assert len(raster_data(on_loihi1, RasterLimits(total=1))["samples"]) == 1
    assert len(raster_data(on_loihi1)["samples"]) == min(12, SAMPLES)


def test_samples_that_differ_are_chosen_before_others() -> None:
    differs = np.zeros(50, bool)
    differs[[7, 30, 41]] = True
    assert choose_samples(differs, [30], 5)[:3] == [7, 30, 41]
    assert choose_samples(differs, [30], 5)[3:] == [0, 49]


def test_chosen_samples_spread_over_those_that_differ() -> None:
    assert choose_samples(np.ones(100, bool), [], 4) == [0, 33, 66, 99]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.6e-7, "160 nJ"),
        (9.96e-10, "1.0 nJ"),
        (2.449e-6, "2.4 µJ"),
        (0.0, "0 J"),
        (1.0, "1.0 J"),
        (999.6, "1.0 kJ"),
        (1e-3, "1.0 mJ"),
    ],
)
def test_energies_have_two_digits_and_a_prefix(value: float, text: str) -> None:
    assert formats.si(value, "J") == text


@pytest.mark.parametrize(("value", "text"), [(1.0, "100 %"), (0.99999, "99.99 %"), (0.29, "29.00 %"), (0.0, "0.00 %")])
def test_agreement_reads_100_only_where_all_agree(value: float, text: str) -> None:
    assert formats.share(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1234.0, "1,234"), (0.0004, "4.0e-04"), (12.345678, "12.35"), (-18.0, "-18")]
)
def test_counts_are_not_rounded_to_nothing(value: float, text: str) -> None:
    assert formats.number(value) == text


def test_page_asks_what_decides_and_shows_what_each_rule_would_give(tmp_path: Path) -> None:
    asked = compare(small_model(tmp_path / "m.nir", units=12), "loihi2", in_turn(), only=("reference", "emulator"))
    text = Page(render_report(asked)).text
    assert "is decided (out has 12 units and the labels 4 classes); give --decide count,output=out" in text
    assert "count,groups=4,output=outreference 100.00 %, emulator 100.00 %" in text


def test_page_gives_the_rule_with_its_ties_and_errors_of_numbers(tmp_path: Path) -> None:
    model, data = small_model(tmp_path / "m.nir", spiking=False), in_turn()
    chosen = compare(model, "loihi2", data, only=("reference", "emulator"), decide="last")
    text = Page(render_report(chosen)).text
    assert "Decided by largest value in the last step of out (--decide); the lowest index in a tie" in text
    assert "share of ties: reference 0.00 %, emulator 0.00 %" in text
    assert "Values that are read" in text
    targets = Data(data.x, None, "made", np.eye(4)[data.labels])
    numbers = compare(model, "loihi2", targets, only=("reference", "emulator"), decide="last")
    assert "Numbers against their targets" in Page(render_report(numbers)).text
