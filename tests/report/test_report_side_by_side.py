"""The page of several chips: their table, a refusal in its place, and rasters of each chip that know of no other."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlencode

import pytest

from neurodeploy.comparison.compare import Comparison
from neurodeploy.comparison.side_by_side import SideBySide, compare_targets
from neurodeploy.report import side_by_side
from neurodeploy.report.html import render_report
from neurodeploy.report.side_by_side import Cell, Row
from tests.report.conftest import HOSTILE_CHIP, SAMPLES, small_comparison, small_data
from tests.report.test_report_browser import BROWSER, opened, sides, trouble
from tests.report.test_report_html import Page

in_a_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on PATH")


@pytest.fixture(scope="module")
def page(chips: SideBySide) -> Page:
    return Page(render_report(chips))


def rows_of(side: SideBySide) -> dict[str, Row]:
    return {row.title: row for group in side_by_side.groups(side) for row in group.rows}


def test_page_is_the_same_bytes_again(chips: SideBySide) -> None:
    assert render_report(chips) == render_report(chips)


def test_ids_are_unique_and_links_lead_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(a["href"]).removeprefix("#") for tag, a in page.elements if tag == "a"]
    assert {link for link in links if "=" not in link} <= set(ids)
    labels = [a["aria-labelledby"] for _, a in page.elements if "aria-labelledby" in a]
    assert set(labels) <= set(ids)


def test_headings_skip_no_level(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_names_of_chips_stay_text(page: Page) -> None:
    assert "img" not in [tag for tag, _ in page.elements]
    assert HOSTILE_CHIP in page.text
    assert json.loads(page.code["script"][1])["chip"] == HOSTILE_CHIP


def test_page_says_what_a_chip_refuses_and_what_to_do(page: Page) -> None:
    reason = "the network does not fit one tiny, after Intel Loihi chip (neurons: 11 needed, 4 available)"
    assert page.text.count(reason) == 2
    assert "Use a smaller network or fewer --weight-bits" in page.text
    assert "Refused this chip does not take the network, or the data" in page.text


def test_verdict_counts_chips(page: Page, chips: SideBySide) -> None:
    summary = chips.result["summary"]
    assert [chip["status"] for chip in summary.values()] == ["pass", "refused", "fail"]
    assert "Fail of 3 chips 1 passes, 1 is outside the tolerance, 1 refuses the network" in page.text


def test_table_has_a_cell_for_each_chip_and_what_is_common_once(chips: SideBySide) -> None:
    rows = rows_of(chips)
    assert {len(row.cells) for row in rows.values() if not row.is_common} == {3}
    assert [title for title, row in rows.items() if row.is_common] == ["Reference = trained model"]
    assert rows["the network"].cells[1].status == "fail"
    assert [cell.text for cell in rows["neurons"].cells] == ["11 of 131,072", "\N{EN DASH}", "11 of 1,048,576"]
    assert rows["cores"].cells[0].text == "at least 1 of 128"


def test_table_has_the_numbers_of_each_chip(chips: SideBySide) -> None:
    rows, summary = rows_of(chips), chips.result["summary"]
    for place, (name, chip) in enumerate(summary.items()):
        if name == "tiny":
            continue
        assert rows["emulator"].cells[place] == Cell(f"{100 * chip['accuracy']['emulator']:.2f} % of {SAMPLES}")
        shares = chip["agreement"]["emulator"]
        for node, share in shares.items():
            shown = float(rows[f"{node}, emulator"].cells[place].text.removesuffix(" %"))
            assert shown == pytest.approx(100 * share, abs=0.01)
    statement = summary[HOSTILE_CHIP]["energy"]["statement"]
    assert rows["by the chip's own figures"].cells[2] == Cell("no figure", None, statement)


def test_backends_of_fewer_samples_are_marked(chips: SideBySide) -> None:
    first = next(iter(chips.comparisons))
    fewer = replace(
        chips.comparisons[first],
        result={**chips.comparisons[first].result, "samples": {"reference": SAMPLES, "emulator": 2}},
    )
    rows = rows_of(replace(chips, comparisons={**chips.comparisons, first: fewer}))
    assert {"lif1, emulator (2 samples)", "lif1, emulator"} <= set(rows)


def test_data_without_labels_gives_no_accuracy(model: Path) -> None:
    options = {"only": ("reference", "emulator"), "allow_silent": True}
    side = compare_targets(model, ["loihi1", "loihi2"], small_data(model, labelled=False), **options)  # type: ignore[arg-type]
    rows = rows_of(side)
    assert "reference" not in rows
    assert all(cell.text.endswith(" %") for cell in rows["decisions changed, emulator"].cells)


def test_if_no_chip_takes_the_network_the_page_has_no_scripts(model: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text('extends = "loihi1"\n[limits]\ncores = 1\nneurons_per_core = 4\n')
    found = Page(render_report(compare_targets(model, [tmp_path / "tiny.toml"], small_data(model))))
    assert "script" not in [tag for tag, _ in found.elements]
    assert "no chip takes the network, so that nothing was run" in found.text
    assert "Spikes shared" not in found.text


def test_a_chip_alone_has_the_same_sections(chips: SideBySide, model: Path) -> None:
    alone = Page(render_report(small_comparison(model, "loihi1"))).text
    sections = alone[alone.index("The equalities") : alone.index("Recordings")]
    assert sections in Page(render_report(chips)).text


def assert_drawn(dom: str, comparison: Comparison, at: str, sample: int, node: str) -> None:
    both, only_a, only_b = sides(comparison, sample, node)
    said = f"{both} spikes in both, {only_a} only in reference, {only_b} only in emulator."
    count = re.search(rf'<p id="{at}counts"[^>]*>(.*?)</p>', dom)
    assert count
    assert said in html.unescape(count[1])
    place = dom[dom.index(f'id="{at}raster"') :]
    drawn = re.search(r'data-drawn="([^"]*)"', place[: place.index(">")])
    assert drawn
    assert html.unescape(drawn[1]).split("|") == [str(sample), node, "reference", "emulator"]


@in_a_browser
def test_rasters_of_each_chip_are_drawn(chips: SideBySide, tmp_path: Path) -> None:
    dom = opened(render_report(chips), tmp_path)
    assert trouble(dom) == ""
    for at, comparison in zip(("chip1-", "chip3-"), chips.comparisons.values(), strict=True):
        found = comparison.result["first_difference"]["reference-emulator"]
        assert_drawn(dom, comparison, at, found["sample"], found["node"])
    assert "<img" not in dom.split('<script type="application/json"')[0]


@in_a_browser
def test_address_chooses_in_the_raster_of_one_chip(chips: SideBySide, tmp_path: Path) -> None:
    first, last = chips.comparisons.values()
    dom = opened(render_report(chips), tmp_path, "#" + urlencode({"chip": HOSTILE_CHIP, "sample": 0, "node": "lif1"}))
    assert_drawn(dom, last, "chip3-", 0, "lif1")
    found = first.result["first_difference"]["reference-emulator"]
    assert_drawn(dom, first, "chip1-", found["sample"], found["node"])


@in_a_browser
def test_choosing_in_one_raster_leaves_the_others(chips: SideBySide, tmp_path: Path) -> None:
    act = """<script>
      const select = document.getElementById("chip1-node");
      select.value = "lif1";
      select.dispatchEvent(new Event("change", { bubbles: true }));
      document.title = window.location.hash;
    </script></body>"""
    dom = opened(render_report(chips).replace("</body>", act), tmp_path)
    first, last = chips.comparisons.values()
    sample = first.result["first_difference"]["reference-emulator"]["sample"]
    assert_drawn(dom, first, "chip1-", sample, "lif1")
    found = last.result["first_difference"]["reference-emulator"]
    assert_drawn(dom, last, "chip3-", found["sample"], found["node"])
    assert f"#chip=loihi1&amp;sample={sample}&amp;node=lif1&amp;a=reference&amp;b=emulator</title>" in dom
