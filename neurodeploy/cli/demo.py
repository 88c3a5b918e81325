"""``neurodeploy demo``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from neurodeploy.cli.common import PATH, progress_bars, say, target_option
from neurodeploy.cli.compare import tell_and_write

MODELS = ("digits-fc", "digits-conv")


@click.command()
@click.option(
    "--output", type=PATH, default=Path("demo-report"), show_default=True, help="Folder for programs and reports."
)
@target_option(default="loihi2")
def demo(output: Path, target: str) -> None:
    """Run the main job on two networks that snnTorch trained on scikit-learn's handwritten digits.

    Each is compiled for the chip, run on every backend that this machine has, and compared with the spikes that
    snnTorch itself fired; every gate that this machine can judge is required. Leaves a program, a report (.html) and
    the comparison (.json) of each.
    """
    from neurodeploy import backends
    from neurodeploy.coding.data_file import load_data
    from neurodeploy.comparison.compare import compare
    from neurodeploy.compiler import compile
    from neurodeploy.families.program_file import save_program
    from neurodeploy.families.target_file import load_target
    from neurodeploy.importers.lower import read_network
    from neurodeploy.ir.recording import load_recording
    from neurodeploy.shipped import shipped_folder

    chip = load_target(target)
    simulators = backends.simulators(chip.family)
    ready = [name for name in simulators if backends.load(name).missing() is None]
    require = ("trained", *ready, "accuracy")
    click.echo(f"required of both models: {', '.join(require)}")
    for name in set(simulators) - set(ready):
        click.echo(f"not required, because it cannot run here: {name} ({backends.load(name).missing()})")
    output.mkdir(parents=True, exist_ok=True)
    passed = True
    for name in MODELS:
        folder = shipped_folder("models") / name
        model = folder / "model.nir"
        click.echo(f"\n{name} on {chip.name}")
        program = compile(model, chip)
        save_program(program, output / f"{name}.npz")
        data = load_data(folder / "test.npz", read_network(model)[0].inputs)
        with progress_bars() as bars:
            trained = load_recording(folder / "trained.npz")
            comparison = compare(model, chip, data, program=program, trained=trained, require=require, progress=bars)
        tell_and_write(comparison, output / f"{name}.html", output / f"{name}.json")
        passed = passed and comparison.passed
    say(f"\nOpen {output / MODELS[0]}.html and {output / MODELS[1]}.html in a browser.")
    sys.exit(0 if passed else 1)
