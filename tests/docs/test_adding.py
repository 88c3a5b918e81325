"""Each page of ``docs/adding`` adds what it is about, and says how many files that touches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, follow, touches

NAMES = sorted(path.name for path in PAGES.glob("*.md") if path.name != "README.md")


def test_there_is_a_page_for_all_that_people_add() -> None:
    wanted = {"chip", "family", "neuron", "pass", "backend", "framework", "verb"}
    assert wanted <= {name.removesuffix(".md") for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_how_many_files_it_touches(name: str) -> None:
    text = (PAGES / name).read_text()
    assert f"**Touches:** {touches(name)}." in text


@pytest.mark.parametrize("name", NAMES)
def test_the_list_of_pages_says_the_same(name: str) -> None:
    rows = re.findall(r"^\| \[.*?\]\((.*?)\) \|.*\| (.*?) \|$", (PAGES / "README.md").read_text(), re.MULTILINE)
    assert dict(rows)[name] == touches(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_page_adds_works(name: str, tmp_path: Path) -> None:
    if name in NEED_TORCH:
        pytest.importorskip("torch")
    follow(name, tmp_path)


NEED_TORCH = ("framework.md", "backend.md", "chip.md")
