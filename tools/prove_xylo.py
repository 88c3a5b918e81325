"""Do Xylo's definition and kernel compute, on random configurations, what SynSense's XyloSim computes, bit for bit?

The configurations are those of ``tests/families/xylo/configurations.py``, over all registers' ranges. Each is drawn
from a seed of its own, ``--seed`` and those that follow, and runs in a process of its own; a failing one can be run
alone: ``--seed 1234 --count 1``. Compared are spikes, currents and v of every hidden neuron and output after every
step; no value may differ. XyloSim is installed first where it is not there.

    tools/prove-xylo [--count 300] [--seed 0] [--workers 2]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path

from neurodeploy.backends.xylosim import simulate
from neurodeploy.backends.xylosim.install import SIMULATOR, install_xylo
from neurodeploy.errors import DeployError
from neurodeploy.families.xylo import definition, kernel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.families.xylo.configurations import KINDS, draw, reached


def prove(seed: int) -> tuple[Counter[str], list[str]]:
    """Return what one seed's run counts, and what differs from XyloSim in it."""
    case = draw(seed)
    recorded = simulate.run(case.codes, case.inputs)
    ours = {
        name: run(case.codes, case.inputs) for name, run in (("definition", definition.run), ("kernel", kernel.run))
    }
    found = [
        f"seed {seed} ({case.kind}): the {name} differs in {differences}"
        for name, run in ours.items()
        if (differences := run.differences(recorded))
    ]
    counted = Counter({extreme: int(is_so) for extreme, is_so in reached(case, recorded).items()})
    counted["values"] = sum(getattr(recorded, field.name).size for field in fields(recorded))
    return counted, found


def main() -> int:
    """Draw, run and compare; return 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="how many random configurations (300)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first one (0)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="how many run at a time (all cores)")
    options = parser.parse_args()
    if options.count < 1 or options.seed < 0 or options.workers < 1:
        parser.error("there must be at least one configuration and one worker, and seeds are 0 or more")
    try:
        if SIMULATOR.missing() is not None:
            install_xylo(lambda said: print(said, file=sys.stderr))
    except DeployError as error:
        parser.error(error.on_command_line())
    seen: Counter[str] = Counter()
    found: list[str] = []
    start = time.monotonic()
    with ThreadPoolExecutor(options.workers) as pool:
        for n, (counted, differing) in enumerate(pool.map(prove, range(options.seed, options.seed + options.count)), 1):
            seen.update(counted)
            found += differing
            if n % 50 == 0 or n == options.count:
                print(f"{n} of {options.count}: {len(found)} differences", file=sys.stderr, flush=True)
    print(f"{options.count} configurations of {len(KINDS)} kinds: {', '.join(KINDS)}")
    took = time.monotonic() - start
    print(f"{seen.pop('values')} values of spikes, currents and v compared in {took:.0f} s; of the runs")
    for extreme, n in sorted(seen.items(), key=lambda item: -item[1]):
        print(f"{n:6} reach {extreme}")
    print(*found, sep="\n", end="\n" if found else "")
    print("DIFFERENT" if found else "XyloSim = definition = kernel")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
