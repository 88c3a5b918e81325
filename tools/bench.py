"""How fast is the emulator: beside a C kernel, beside Lava's simulator, on two threads, and as networks grow?

One run answers these questions, in this order; each is asked by its name with --only. Before a time is taken, spikes, u
and v are compared with Lava's or the NumPy twin's, sums against NumPy's; a difference ends the program. Times are
medians of repeats, those that are compared taken turn by turn, with all that a caller pays (checks, layout, unpacking).

dense: which part of the synaptic operations per second of a small C kernel, which does nothing but add the first
    layer's rows of weights, does the emulator reach on a whole 784-512-10 network with 10 % input spikes, weights under
    which both layers fire at about 10 % too, one sample, one thread? How much faster is it than Lava's simulator on the
    same program? Lava's time is the slope of its own progress, so that its start is left out. What do counters cost?
batch: how much more do two threads get done than one on 64 samples of it?
conv: three convolutions of 3x3 (8, 16, 32 channels on 28x28, strides 1, 2, 2) and a dense layer, at 5 % activity: how
    long is a step, and how much faster than Lava's?
activity: does time grow with synaptic operations, from 0.1 % to 50 % of 1024-1024-1024 active?
size: does it grow with spikes and neurons, not with neurons squared, where each neuron reaches 100 others?
large (only with --large): what memory and time do a million neurons with 100 million 8-bit synapses take?
first: how long are the first run ever, which compiles the emulator's loops, and the first of a process, which loads
    them? What importing takes is apart.

    tools/bench [--only dense conv] [--steps 1000] [--repeats 7] [--output FOLDER] [--no-lava] [--large]
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench_first import measure_first
from bench_growth import measure_activity, measure_large, measure_size
from bench_measure import Part, Settings, machine
from bench_page import HEAD, page
from bench_speed import measure_batch, measure_conv, measure_dense

from neurodeploy.files import to_json, write_text

PARTS: dict[str, Callable[[Settings], Part]] = {
    "dense": measure_dense,
    "batch": measure_batch,
    "conv": measure_conv,
    "activity": measure_activity,
    "size": measure_size,
    "large": measure_large,
    "first": measure_first,
}


def parse() -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, metavar="NAME", help=", ".join(PARTS))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--neurons", type=int, default=1_000_000, help="of the largest sparse network")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where bench.json and bench.html are written")
    parser.add_argument("--no-lava", action="store_true", help="leave Lava out")
    parser.add_argument("--large", action="store_true", help="with the memory of the largest sparse network")
    return parser.parse_args()


def main() -> None:
    """Run the benchmark, print a table, and on request write a page and all figures."""
    arguments = parse()
    settings = Settings(arguments.steps, arguments.repeats, arguments.seed, not arguments.no_lava, arguments.neurons)
    names = arguments.only or [name for name in PARTS if name != "large"]
    if arguments.large and "large" not in names:
        names.append("large")
    parts = {}
    for name in sorted(names, key=list(PARTS).index):
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        parts[name] = PARTS[name](settings)
    print(table(parts))
    if arguments.output:
        write(arguments.output, parts, settings)


def table(parts: dict[str, Part]) -> str:
    """Return all rows as text, with what was left out below."""
    cells = [HEAD, *(row.cells() for part in parts.values() for row in part.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in cells]
    left_out = [f"left out: {reason}" for part in parts.values() for reason in part.skipped]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], *left_out])


def write(folder: Path, parts: dict[str, Part], settings: Settings) -> None:
    """Write all figures as ``bench.json``, and the page ``bench.html``."""
    folder.mkdir(parents=True, exist_ok=True)
    here = machine()
    command = shlex.join(["tools/bench", *sys.argv[1:]])
    result: dict[str, Any] = {
        "command": command,
        "machine": here,
        "settings": asdict(settings),
        "table": [{**asdict(row), "met": row.met, "part": name} for name, part in parts.items() for row in part.rows],
        "details": {name: part.details for name, part in parts.items()},
        "left_out": [reason for part in parts.values() for reason in part.skipped],
    }
    write_text(folder / "bench.json", to_json(result, indent=2) + "\n")
    write_text(folder / "bench.html", page(parts, here, command))


if __name__ == "__main__":
    main()
