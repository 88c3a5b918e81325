"""Backends of other packages, installed as a real package that names them in an entry point."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path

import numpy as np
import pytest

from tests.command import Ended, in_a_process, neurodeploy
from tests.comparison.test_verdict import in_turn, model

CODE = '''
import numpy as np
from neurodeploy.backends.emulator.backend import Emulator
from neurodeploy.ir.recording import Recording


class Plain:
    """Says nothing of itself, and derives from nothing of ours."""

    name = "else"

    def missing(self):
        return None

    def run(self, subject, inputs, options):
        return Emulator().run(subject, inputs, options)


class Lossy(Plain):
    def run(self, subject, inputs, options):
        found = super().run(subject, inputs, options)
        nodes = {
            node: {key: np.roll(values, 1, axis=-1) for key, values in observed.items()}
            for node, observed in found.nodes.items()
        }
        return Recording(nodes, {**found.meta, "backend": "lossy"})


class Short(Plain):
    def run(self, subject, inputs, options):
        return super().run(subject, inputs, options).part(0, 1)


class Nothing(Plain):
    def run(self, subject, inputs, options):
        return None


class Miscounting(Plain):
    counts = True

    def run(self, subject, inputs, options):
        found = super().run(subject, inputs, options)
        return Recording(found.nodes, {**found.meta, "counter_nodes": []}, found.counters)


class Dying(Plain):
    def run(self, subject, inputs, options):
        raise ZeroDivisionError("of its own")


class Leaving(Plain):
    def run(self, subject, inputs, options):
        raise SystemExit(0)


class Overwriting(Plain):
    def run(self, subject, inputs, options):
        for values in inputs.values():
            values[...] = 0
        return super().run(subject, inputs, options)


def changed(found, change):
    nodes = {node: {key: change(values) for key, values in observed.items()} for node, observed in found.nodes.items()}
    return Recording(nodes, found.meta)


class Cut(Plain):
    def run(self, subject, inputs, options):
        return changed(super().run(subject, inputs, options), lambda values: values[..., :-1])


class Fractional(Plain):
    def run(self, subject, inputs, options):
        return changed(super().run(subject, inputs, options), lambda values: values * np.float32("nan"))


class Halting(Plain):
    def missing(self):
        raise ZeroDivisionError("in missing")
'''


def install(folder: Path, **backends: str) -> None:
    """Lay a package with these entry points in a folder, as an installer does."""
    (folder / "other_chip.py").write_text(CODE)
    (folder / "no_package.py").write_text("import a_library_that_is_not_there\n")
    info = folder / "other_chip-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-chip\nVersion: 1.0\n")
    lines = [f"{name} = {target}" for name, target in backends.items()]
    (info / "entry_points.txt").write_text("\n".join(["[neurodeploy.backends]", *lines, ""]))
    invalidate_caches()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages, for this process and those that it starts; Lava is not there."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("NEURODEPLOY_LAVA_PYTHON", "/nonexistent")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("other_chip", None)


def comparison(site: Path, *arguments: str) -> tuple[str | Path, ...]:
    """Return what compares the reference with what is named on a model that the emulator runs without a loss."""
    path = model(site / "m.nir", np.eye(4) * 1.5)
    x, labels = in_turn()
    np.savez(site / "d.npz", x=x, y=labels)
    common = ("compare", path, "--target", "loihi2", "--input", site / "d.npz", "--backend", "reference")
    return (*common, *arguments)


def compare(site: Path, *arguments: str) -> Ended:
    return neurodeploy(*comparison(site, *arguments))


def test_a_plug_in_that_loses_accuracy_fails_the_verdict(site: Path) -> None:
    install(site, lossy="other_chip:Lossy", plain="other_chip:Plain")
    done = compare(site, "--backend", "lossy", "--backend", "emulator", "--backend", "plain")
    assert done.returncode == 1, done.stderr
    assert "verdict: fail: accuracy loss: lossy loses 100.00 points of accuracy, 1 are tolerated" in done.stdout


def test_a_plug_in_that_loses_nothing_passes_by_its_entry_points_name(site: Path) -> None:
    install(site, plain="other_chip:Plain")
    done = compare(site, "--backend", "plain")
    assert done.returncode == 0, done.stderr
    assert "plain loses 0.00 points" in done.stdout


def test_a_plug_in_that_cannot_be_imported_is_listed_and_harms_nothing_else(site: Path) -> None:
    install(site, broken="no_package:Backend", halting="other_chip:Halting", absent="other_chip:Absent")
    states = json.loads(neurodeploy("backends", "--json").stdout)
    assert states["emulator"] is None
    assert "other-chip (no_package:Backend) cannot be imported" in states["broken"]
    assert "ModuleNotFoundError: No module named 'a_library_that_is_not_there'" in states["broken"]
    assert "AttributeError" in states["absent"]
    assert "ZeroDivisionError: in missing" in states["halting"]
    assert "backend broken: missing: its package" in neurodeploy("doctor").stdout
    compare(site)
    done = neurodeploy("compare", site / "m.nir", "--target", "loihi2", "--input", site / "d.npz")
    assert done.returncode == 0, done.stderr
    assert "not run: broken (its package other-chip (no_package:Backend) cannot be imported" in done.stdout


def test_a_plug_in_that_is_named_and_missing_is_exit_code_3(site: Path) -> None:
    install(site, broken="no_package:Backend")
    done = compare(site, "--backend", "broken")
    assert done.returncode == 3
    assert "cannot be imported" in done.stderr


def test_a_plug_in_that_dies_is_named(site: Path) -> None:
    install(site, dying="other_chip:Dying")
    done = compare(site, "--backend", "dying")
    assert done.returncode == 3
    assert "the backend died: ZeroDivisionError: of its own\n  where: backend 'dying'" in done.stderr


def test_a_plug_in_that_leaves_the_process_does_not_end_the_verb(site: Path) -> None:
    install(site, leaving="other_chip:Leaving")
    done = in_a_process(*comparison(site, "--backend", "leaving"))
    assert done.returncode == 3
    assert "the backend died: SystemExit: 0" in done.stderr


def test_a_plug_in_cannot_change_the_input_of_the_others(site: Path) -> None:
    install(site, other="other_chip:Overwriting")
    done = compare(site, "--backend", "other", "--backend", "emulator")
    assert done.returncode == 3
    assert "read-only" in done.stderr


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("Cut", "'spikes' of "),
        ("Fractional", "'spikes' of "),
        ("Short", "it has 20 steps of 1 samples, but the input has 20 of 40"),
        ("Nothing", "it is a NoneType, not a Recording"),
        ("Miscounting", "its counters are not of the 0 nodes"),
    ],
)
def test_a_plug_in_that_gives_no_recording_of_the_input_is_named(site: Path, kind: str, fault: str) -> None:
    install(site, other=f"other_chip:{kind}")
    done = compare(site, "--backend", "other")
    assert done.returncode == 3
    assert f"what the backend returned is not a recording of this input: {fault}" in done.stderr
    assert "where: backend 'other'" in done.stderr


def test_what_a_plug_in_says_of_itself_is_believed(site: Path) -> None:
    install(site, plain="other_chip:Plain")
    done = neurodeploy("compare", *_named(site), "--backend", "plain", "--time-limit", "5")
    assert done.returncode == 0, done.stderr
    program = site / "p.npz"
    assert neurodeploy("compile", site / "m.nir", "--target", "loihi2", "-o", program).returncode == 0
    run = ("run", program, "--backend", "plain", "--input", site / "d.npz")
    assert "backend 'plain' takes no time limit" in neurodeploy(*run, "--time-limit", "5").stderr
    assert neurodeploy(*run).returncode == 0


def _named(site: Path) -> tuple[str | Path, ...]:
    compare(site)
    return (site / "m.nir", "--target", "loihi2", "--input", site / "d.npz", "--backend", "reference")
