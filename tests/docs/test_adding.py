"""Each page of ``docs/adding`` adds what it is about, and says how many files that touches."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import neurodeploy
from tests.conftest import ROOT
from tests.docs.pages import PAGES, blocks, follow, touches

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
def test_the_files_that_a_page_speaks_of_are_there(name: str) -> None:
    text = (PAGES / name).read_text()
    made = {block.path for block in blocks(name)}
    named = set(re.findall(r"`((?:neurodeploy|targets|tests)/[\w/.]*)`", text)) - made
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.fixture(scope="session")
def kernels() -> None:
    """The emulator's compiled loops in the checkout, which copies then bring along."""
    model = ROOT / "models" / "digits-fc" / "model.nir"
    program = neurodeploy.compile(model, "loihi2")
    data = {name: np.zeros((1, 1, *shape), np.uint8) for name, shape in program.inputs.items()}
    neurodeploy.run(program, data, backend="emulator")


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("name", NAMES)
def test_what_a_page_adds_works(name: str, tmp_path: Path) -> None:
    if name in NEED_TORCH:
        pytest.importorskip("torch")
    follow(name, tmp_path)


NEED_TORCH = ("backend.md", "chip.md", "family.md", "framework.md")
