"""Does every reader refuse broken files in our words, soon and in little memory, and is every legal graph run rightly?

Files of every kind are mutated, in their bytes and in what they say, and read as the command line reads them; random
legal graphs are compiled and run. A finding is an error that is no refusal, more than 5 s of processor time, more than
1 GiB of memory, a crash, or a number on which the emulator's kernels and their definition in NumPy (and, for some
graphs, Lava) differ. A case depends on its kind and seed alone: ``--kinds plan --seed 1234 --count 1`` shows one again,
and ``--keep FOLDER`` keeps its file.

    tools/fuzz [--count 1000] [--seed 0] [--kinds nir,data,...] [--lava 0] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import resource
import select
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from fuzz_files import KINDS, Base, make_base
from fuzz_graphs import run_graph

from neurodeploy.errors import DeployError

MAX_SECONDS = 5.0
MAX_BYTES = 2**30
MAX_WALL = 120.0
ADDRESSES = 6 * 2**30
"""What a case may allocate at all, so that the machine outlives it."""

GRAPH = "graph"
_TICKS = os.sysconf("SC_CLK_TCK")


def prepared(kind: str, seed: int, base: Base, folder: Path, with_lava: bool) -> Callable[[], object]:
    """Return what a case does, with its file written."""
    rng, path = np.random.default_rng([sum(kind.encode()), seed]), folder / "case"
    if kind == GRAPH:
        return lambda: run_graph(rng, path, with_lava)
    path.write_bytes(KINDS[kind].mutated(base.files[kind], rng))
    return lambda: KINDS[kind].read(path, base)


def _case_in_child(kind: str, seed: int, base: Base, folder: Path, with_lava: bool) -> str:
    """Run one case and tell how it ended, as one line."""
    run = prepared(kind, seed, base, folder, with_lava)
    before = _peak(reset=True)
    start = time.process_time()
    try:
        run()
        told = "done"
    except DeployError as error:
        told = f"refused {error.what.splitlines()[0][:60]}"
    except MemoryError:
        told = f"FOUND more than {ADDRESSES >> 30} GiB"
    except Exception as error:
        trace, places = error.__traceback__, []
        while trace is not None:
            places.append(f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}")
            trace = trace.tb_next
        told = f"FOUND {type(error).__name__}: {str(error)[:160]!r} at {' '.join(places[-4:])}"
    used, taken = time.process_time() - start, _peak() - before
    if not told.startswith("FOUND") and kind != GRAPH:
        if used > MAX_SECONDS:
            told = f"FOUND {used:.1f} s ({told})"
        elif taken > MAX_BYTES:
            told = f"FOUND {taken / 2**30:.1f} GiB ({told})"
    return told.replace("\n", " ")


def _peak(reset: bool = False) -> int:
    """Return the most memory that this process has held, in bytes; with ``reset`` it begins anew."""
    with suppress(OSError):
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_all(kind: str, seeds: list[int], base: Base, folder: Path, lava_seeds: set[int]) -> Iterator[tuple[int, str]]:
    """Run cases in child processes, which are ended where a case takes too long; yield how each ended."""
    waiting = list(seeds)
    while waiting:
        for seed, told in _run_until_one_hangs(kind, list(waiting), base, folder, lava_seeds):
            waiting.remove(seed)
            yield seed, told


def _run_until_one_hangs(
    kind: str, seeds: list[int], base: Base, folder: Path, lava_seeds: set[int]
) -> Iterator[tuple[int, str]]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _be_child(lambda seed: _case_in_child(kind, seed, base, folder, seed in lava_seeds), seeds, writer)
    os.close(writer)
    ended, pending, seed, start, used = False, b"", seeds[0], time.monotonic(), 0.0
    index = 0
    while not ended:
        ready = select.select([reader], [], [], 0.5)[0]
        if ready:
            chunk = os.read(reader, 1 << 16)
            ended = not chunk
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                yield seeds[index], line.decode(errors="replace")
                index, start, used = index + 1, time.monotonic(), _used(child)
        elif (_used(child) - used > 4 * MAX_SECONDS and kind != GRAPH) or time.monotonic() - start > MAX_WALL:
            os.kill(child, 9)
            seed = seeds[index]
            yield seed, f"FOUND more than {_used(child) - used:.0f} s of processor time, ended"
            ended, index = True, index + 1
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) != 9 and index < len(seeds):
        yield seeds[index], f"FOUND a crash with signal {os.WTERMSIG(status)}"


def _be_child(run: Callable[[int], str], seeds: list[int], writer: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.disable()
    for seed in seeds:
        os.write(writer, run(seed).encode(errors="replace") + b"\n")
    os._exit(0)


def _used(process: int) -> float:
    """Return the processor time of a process, s."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def main() -> int:
    """Run and count; return 1 if there is a finding."""
    known = (*KINDS, GRAPH)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000, help="cases of each kind (1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first (0)")
    parser.add_argument("--kinds", default=",".join(known), help=f"which of {', '.join(known)}, with commas between")
    parser.add_argument("--lava", type=int, default=0, help="how many graphs Lava runs, too (0)")
    parser.add_argument("--keep", type=Path, help="folder for the files of findings")
    options = parser.parse_args()
    kinds = options.kinds.split(",")
    if unknown := set(kinds) - set(known):
        parser.error(f"no kind is called {', '.join(sorted(unknown))}")
    warnings.simplefilter("ignore")
    total = 0
    with tempfile.TemporaryDirectory(prefix="nd-fuzz-") as name:
        folder = Path(name)
        base = make_base(folder / "base")
        for kind in kinds:
            seeds = list(range(options.seed, options.seed + options.count))
            lava_seeds = set(seeds[:: max(1, len(seeds) // options.lava)][: options.lava]) if options.lava else set()
            outcomes: Counter[str] = Counter()
            findings: Counter[str] = Counter()
            for seed, told in run_all(kind, seeds, base, folder, lava_seeds):
                outcomes[told.split(" ")[0]] += 1
                if told.startswith("FOUND"):
                    findings[told] += 1
                    if findings[told] == 1:
                        print(f"{kind} {seed}: {told}", flush=True)
                    if options.keep is not None and (folder / "case").exists():
                        options.keep.mkdir(parents=True, exist_ok=True)
                        shutil.copy(folder / "case", options.keep / f"{kind}-{seed}")
            total += outcomes["FOUND"]
            print(
                f"{kind}: {sum(outcomes.values())} cases, {outcomes['refused']} refused, {outcomes['done']} read,"
                f" {outcomes['FOUND']} findings",
                flush=True,
            )
    print(f"{total} findings" if total else "no finding")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
