"""The report in a real browser, from file://: the rasters are drawn, with the spikes that were recorded."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from neurodeploy.comparison.compare import Comparison
from neurodeploy.report.html import render_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--dump-dom",
    "--virtual-time-budget=10000",
]

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on PATH")


def opened(page: str, folder: Path, fragment: str = "") -> str:
    """Return the DOM of a page after its scripts ran."""
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={folder / 'profile'}", path.as_uri() + fragment]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def sides(comparison: Comparison, sample: int, node: str) -> tuple[int, int, int]:
    """Return how many spikes are in both, only in the reference and only in the emulator."""
    a, b = (comparison.recordings[name].spikes(node)[:, sample] != 0 for name in ("reference", "emulator"))
    return int(np.sum(a & b)), int(np.sum(a & ~b)), int(np.sum(b & ~a))


def drawn(dom: str) -> list[str]:
    """Return sample, node and backends of the raster that was drawn."""
    found = re.search(r'data-drawn="([^"]*)"', dom)
    assert found, "nothing was drawn"
    return html.unescape(found[1]).split("|")


def trouble(dom: str) -> str:
    found = re.search(r'<p[^>]*id="script-error"[^>]*>(.*?)</p>', dom)
    assert found
    return found[1]


def assert_shows(dom: str, comparison: Comparison, sample: int, node: str) -> None:
    both, only_a, only_b = sides(comparison, sample, node)
    said = f"{both} spikes in both, {only_a} only in reference, {only_b} only in emulator."
    assert trouble(dom) == ""
    assert drawn(dom) == [str(sample), node, "reference", "emulator"]
    assert said in html.unescape(dom)
    assert len(re.findall(r'<path class="point"', dom)) == both + only_a + only_b


def test_page_opens_on_the_first_difference(on_loihi1: Comparison, tmp_path: Path) -> None:
    found = on_loihi1.result["first_difference"]["reference-emulator"]
    assert sum(sides(on_loihi1, found["sample"], found["node"])[1:]) > 0
    assert_shows(opened(render_report(on_loihi1), tmp_path), on_loihi1, found["sample"], found["node"])


def test_address_chooses_sample_and_node(on_loihi1: Comparison, tmp_path: Path) -> None:
    dom = opened(render_report(on_loihi1), tmp_path, "#sample=0&node=lif1")
    assert_shows(dom, on_loihi1, 0, "lif1")


def test_address_of_a_sample_that_is_not_there_is_ignored(on_loihi1: Comparison, tmp_path: Path) -> None:
    dom = opened(render_report(on_loihi1), tmp_path, "#sample=99999")
    assert drawn(dom)[0] == str(on_loihi1.result["first_difference"]["reference-emulator"]["sample"])
    assert trouble(dom) == ""


def test_choosing_another_node_draws_it_and_changes_the_address(on_loihi1: Comparison, tmp_path: Path) -> None:
    act = """<script>
      const select = document.getElementById("node");
      select.value = "lif1";
      select.dispatchEvent(new Event("change", { bubbles: true }));
      document.title = window.location.hash;
    </script></body>"""
    dom = opened(render_report(on_loihi1).replace("</body>", act), tmp_path)
    sample = on_loihi1.result["first_difference"]["reference-emulator"]["sample"]
    assert_shows(dom, on_loihi1, sample, "lif1")
    assert f"#sample={sample}&amp;node=lif1&amp;a=reference&amp;b=emulator</title>" in dom


def test_no_button_sends_data_away(on_loihi1: Comparison, tmp_path: Path) -> None:
    titles = re.findall(r'data-title="([^"]*)"', opened(render_report(on_loihi1), tmp_path))
    assert sorted(titles) == ["Download plot as a PNG", "Pan", "Reset axes", "Zoom", "Zoom in", "Zoom out"]


def test_hostile_name_runs_nothing(hostile: Comparison, tmp_path: Path) -> None:
    dom = opened(render_report(hostile), tmp_path)
    assert trouble(dom) == ""
    assert "<img" not in dom.split('<script type="application/json"')[0]
    assert drawn(dom)


def test_script_that_fails_says_so_on_the_page(on_loihi1: Comparison, tmp_path: Path) -> None:
    dom = opened(render_report(on_loihi1).replace('id="raster-data">', 'id="raster-data">{'), tmp_path)
    assert "The rasters cannot be shown" in trouble(dom)
