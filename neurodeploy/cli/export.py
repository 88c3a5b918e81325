"""``neurodeploy export``."""

from __future__ import annotations

from pathlib import Path

import click

from neurodeploy.cli.common import INPUT, OUTPUT, say
from neurodeploy.errors import DeployError


@click.command()
@click.argument("spec")
@click.option(
    "--weights", type=INPUT, help="State dict that torch.save wrote.  [default: the weights that the factory makes]"
)
@click.option(
    "--sample-shape",
    required=True,
    metavar="N,N,...",
    help="Shape of one step's input, without time and batch: 64 or 1,8,8.",
)
@click.option("--input", "input_path", type=INPUT, help="Data [T, B, ...] to record the framework on.")
@click.option(
    "--record-output", type=OUTPUT, metavar="FILE.npz", help="File for the framework's own spikes on --input."
)
@click.option(
    "--record",
    default="spikes",
    show_default=True,
    help="Observables to record, separated by commas: spikes, v, u; what the network returns is always recorded.",
)
@click.option("--record-nodes", metavar="NODE,...", help="Record these nodes only.  [default: all]")
@click.option("--batch-first", is_flag=True, help="The data is [B, T, ...] instead of [T, B, ...].")
@click.option("--dt", type=float, help="Seconds that one step stands for.  [default: the framework's own]")
@click.option(
    "--form",
    metavar="FORM",
    help="How the network wants its input, where several ways work: step, sequence [T, B, ...], batch-first"
    " [B, T, ...], time-last [B, ..., T], squeezed [B * T, ...], or static (one image, repeated inside).",
)
@click.option(
    "--decide", metavar="RULE", help="How outputs decide; stored in the file.  [default: as the model's return says]"
)
@click.option("--no-verify", is_flag=True, help="Write without running the file beside the framework first.")
@click.option("-o", "--output", type=OUTPUT, required=True, metavar="MODEL.nir", help="The file to write.")
def export(
    spec: str,
    weights: Path | None,
    sample_shape: str,
    input_path: Path | None,
    record_output: Path | None,
    record: str,
    record_nodes: str | None,
    batch_first: bool,
    dt: float | None,
    form: str | None,
    decide: str | None,
    no_verify: bool,
    output: Path,
) -> None:
    """Write a trained network to a NIR file, with nothing lost.

    Frameworks: snnTorch, norse, sinabs, SpikingJelly and rockpool, found from the network's neurons; plain torch
    layers. Before anything is written, the file is read back and run beside the framework: every spike must be the
    same.

    SPEC names a function that returns the network: FILE.py:FACTORY or PACKAGE.MODULE:FACTORY, with arguments as in
    'net.py:build(hidden=256)'. It is called, and the weights are loaded into what it returns. The time step, reset rule
    and spike condition, which NIR itself has no place for, go into the file's metadata.

    With --input and --record-output the framework runs on the data, and its own spikes of every layer are kept; give
    them to `neurodeploy compare --trained` to prove that nothing changed.
    """
    from neurodeploy.cli.common import open_data
    from neurodeploy.exporters.export import export as export_model
    from neurodeploy.files import check_outputs

    shape = _shape(sample_shape)
    if (input_path is None) != (record_output is None):
        raise DeployError(
            "--input and --record-output go together, but only one is given",
            where="--input, --record-output",
            fix="Give both or neither.",
        )
    check_outputs((output, record_output), (weights, input_path))
    inputs = None if input_path is None else open_data(input_path, {"input": shape}, None, batch_first, 0)
    result = export_model(
        spec,
        weights=weights,
        sample_shape=shape,
        output=output,
        inputs=inputs,
        record_output=record_output,
        record=tuple(key.strip() for key in record.split(",")),
        record_nodes=tuple(record_nodes.split(",")) if record_nodes else None,
        dt=dt,
        verify=not no_verify,
        form=form,
        decide=decide,
    )
    for line in result.findings:
        say(line)
    click.echo(str(output))
    if record_output is not None:
        click.echo(str(record_output))


def _shape(text: str) -> tuple[int, ...]:
    """Return the shape that numbers with commas are."""
    try:
        shape = tuple(int(n) for n in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise DeployError(
            f"{text!r} is not a shape",
            where="--sample-shape",
            fix="Write numbers with commas, for instance 1,8,8.",
        )
    return shape
