"""Do the tests see a small fault in the code? The share of faults that make a test fail, and each one that does not.

Faults are put into the functions of `families`, `importers`, `passes` and `comparison`, one at a time;
`mutate_make.py` says which. First all tests run once, which tells how long each takes and which lines it runs. Then,
for each fault drawn, a copy of this process takes the faulty function in place of the right one and runs the tests that
run its lines: first one case of each test, the quick ones before the slow ones, until one fails. A fault is killed if a
test fails, or takes over ten times as long as without it; it survives if none does, or if no test runs it. Tests that
take over 3 s are left out, and so is what would go beyond a budget for each fault, so the share is a lower bound.

    tools/mutate [--count 400|all] [--seed 0] [--packages families,...] [--budget 20] [--jobs 1] [--output FILE]
                 [--measures FILE]
    tools/mutate --mutants families/loihi/quantise/fit.py:88:2,... --tests tests/families/loihi/quantise/test_fit.py

Exits 1 where less than 85 % are killed. The second form tries single faults, by the names of the list, on chosen tests.
"""

from __future__ import annotations

import argparse
import ast
import gc
import hashlib
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, TextIO

import coverage
import pytest
from mutate_make import Mutant, make_mutants

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("families", "importers", "passes", "comparison")
TESTS = (
    *(f"tests/{package}" for package in PACKAGES),
    *(
        f"tests/{package}"
        for package in ("analysis", "cli", "coding", "compiler", "inspection", "ir", "search", "targets")
    ),
    *(f"tests/{file}.py" for file in ("backends/test_base", "backends/test_plugins", "test_hostile", "test_notebook")),
    *(f"tests/conformance/test_{name}.py" for name in ("corpus", "golden", "models", "random_programs")),
)
"""All that may see a fault and is quick."""

COMPILED = "kernel.py"
"""Files whose functions run as machine code, which another function cannot take the place of."""

WANTED = 0.85
SLOWEST = 3.0
"""Tests that take longer, s of processor time, are left out."""

MEMORY = 8 * 2**30
"""What a fault may allocate, bytes."""

KILLED, TIMED_OUT, SURVIVED, NOT_RUN = "killed", "timed out", "survived", "run by no test"


@dataclass(frozen=True, slots=True)
class Measures:
    """What is known of the tests by their names: s of processor time, -1 if they fail, and the lines they run.

    code: sha256 of the files that hold the lines.
    """

    code: str
    seconds: dict[str, float]
    lines: dict[str, list[tuple[str, int]]]


class Runner:
    """Runs in the place of pytest's loop: all tests once, then each mutant in a copy of the process."""

    def __init__(
        self, mutants: Sequence[Mutant], files: Sequence[Path], options: argparse.Namespace, output: TextIO
    ) -> None:
        self.mutants, self.files, self.output = mutants, files, output
        self.budget, self.jobs, self.measures = options.budget, options.jobs, options.measures
        self.outcomes: dict[Mutant, str] = {}
        self.seconds: dict[pytest.Item, float] = {}
        self.tests_of_line: dict[tuple[str, int], set[pytest.Item]] = defaultdict(set)
        self.functions: dict[str, list[FunctionType]] = defaultdict(list)
        self.failed = False

    def pytest_configure(self) -> None:
        """Let the same examples come each time, 20 unless a test says how many, and fail without smaller ones."""
        from hypothesis import Phase, settings

        phases = [Phase.explicit, Phase.generate]
        same: dict[str, Any] = {"database": None, "derandomize": True, "deadline": None}
        settings.register_profile("mutate", phases=phases, max_examples=20, **same)
        settings.load_profile("mutate")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that fails."""
        self.failed |= report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure the tests, then run the mutants."""
        files = {str(path) for path in self.files}
        self._measure(session.items)
        for thing in gc.get_objects():
            if type(thing) is FunctionType and thing.__code__.co_filename in files:
                self.functions[thing.__code__.co_filename].append(thing)
        gc.collect()
        gc.freeze()
        self._run_mutants()
        return True

    def _say(self, text: str) -> None:
        print(text, file=self.output, flush=True)

    def _passes(self, item: pytest.Item, following: pytest.Item | None) -> bool:
        self.failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return not self.failed

    def _measure(self, items: Sequence[pytest.Item]) -> None:
        """Find how long each test takes and which lines it runs, from the file of measures where it is known."""
        start, files = time.monotonic(), [str(path) for path in self.files]
        known = self._known()
        unknown = [item for item in items if item.nodeid not in known.seconds]
        watch = coverage.Coverage(data_file=None, include=files)
        watch.start()
        for item, following in zip(unknown, [*unknown[1:], None], strict=True):
            watch.switch_context(item.nodeid)
            before = time.process_time()
            passes = self._passes(item, following)
            known.seconds[item.nodeid] = time.process_time() - before if passes else -1.0
        watch.stop()
        for path in files:
            for line, names in watch.get_data().contexts_by_lineno(path).items():
                for name in names:
                    known.lines.setdefault(name, []).append((path, line))
        if self.measures is not None:
            self.measures.write_bytes(pickle.dumps(known))
        for item in items:
            taken = known.seconds[item.nodeid]
            if 0 <= taken <= SLOWEST:
                self.seconds[item] = taken
                for place in known.lines.get(item.nodeid, ()):
                    self.tests_of_line[place].add(item)
            else:
                why = "it fails without any fault" if taken < 0 else f"it takes {taken:.0f} s"
                self._say(f"left out, because {why}: {item.nodeid}")
        self._say(
            f"{len(unknown)} of {len(items)} tests were measured in {time.monotonic() - start:.0f} s; those that are"
            f" run take {sum(self.seconds.values()):.0f} s of processor time together"
        )

    def _known(self) -> Measures:
        """Return what is known of the tests, which is nothing if the code has changed since."""
        code = b"".join(path.read_bytes() for path in self.files)
        now = Measures(hashlib.sha256(code).hexdigest(), {}, {})
        if self.measures is None or not self.measures.exists():
            return now
        kept: Measures = pickle.loads(self.measures.read_bytes())
        return kept if kept.code == now.code else now

    def _chosen(self, mutant: Mutant) -> list[pytest.Item]:
        """Return the tests to run: one case of each test first, the quick ones before the slow ones."""
        found = {item for line in mutant.lines for item in self.tests_of_line.get((str(mutant.path), line), ())}
        cases: Counter[str] = Counter()
        ranked = []
        for item in sorted(found, key=lambda item: (self.seconds[item], item.nodeid)):
            test = item.nodeid.partition("[")[0]
            ranked.append((cases[test], self.seconds[item], item.nodeid, item))
            cases[test] += 1
        chosen: list[pytest.Item] = []
        total = 0.0
        for _, taken, _, item in sorted(ranked, key=lambda entry: entry[:3]):
            if not chosen or total + taken <= self.budget:
                chosen.append(item)
                total += taken
        return chosen

    def _run_mutants(self) -> None:
        start, running = time.monotonic(), dict[int, Mutant]()
        for mutant in self.mutants:
            tests = self._chosen(mutant)
            if not tests:
                self._told(mutant, NOT_RUN)
                continue
            if len(running) == self.jobs:
                self._wait(running)
            child = os.fork()
            if child == 0:
                self._be_child(mutant, tests)
            running[child] = mutant
        while running:
            self._wait(running)
        self._say(f"{len(self.mutants)} mutants took {time.monotonic() - start:.0f} s")

    def _wait(self, running: dict[int, Mutant]) -> None:
        child, status = os.wait()
        ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        is_late = ended_by in (signal.SIGPROF, signal.SIGALRM)
        self._told(running.pop(child), TIMED_OUT if is_late else KILLED if status else SURVIVED)

    def _told(self, mutant: Mutant, outcome: str) -> None:
        self.outcomes[mutant] = outcome
        if outcome in (SURVIVED, NOT_RUN):
            before, after = mutant.difference()
            self._say(f"{len(self.outcomes)}. {mutant.name} {outcome}\n    - {before}\n    + {after}")

    def _be_child(self, mutant: Mutant, tests: Sequence[pytest.Item]) -> None:
        """Run the tests with the fault in place, and end with 1 at the first that fails."""
        code = 1
        try:
            resource.setrlimit(resource.RLIMIT_AS, (_size() + MEMORY,) * 2)
            self._put_in_place(mutant)
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            for item, following in zip(tests, [*tests[1:], None], strict=True):
                limit = 5 + 10 * self.seconds[item]
                signal.setitimer(signal.ITIMER_PROF, limit)
                signal.alarm(int(20 * limit))
                if not self._passes(item, following):
                    break
            else:
                code = 0
        finally:
            os._exit(code)

    def _put_in_place(self, mutant: Mutant) -> None:
        """Give the functions of the module the code that they have in the mutant."""
        whole = compile(mutant.source, str(mutant.path), "exec", dont_inherit=True)
        codes = {(code.co_qualname, code.co_firstlineno): code for code in _codes_in(whole)}
        for function in self.functions[str(mutant.path)]:
            code = codes.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
            if code is not None and len(code.co_freevars) == len(function.__code__.co_freevars):
                function.__code__ = code


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes_in(constant)


def _size() -> int:
    """Return the memory that this process may address now, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def drawn(mutants: list[Mutant], count: str, seed: int) -> list[Mutant]:
    """Return ``count`` mutants that are programs, drawn by ``seed``, in their order."""
    order = list(range(len(mutants)))
    random.Random(seed).shuffle(order)
    wanted = len(order) if count == "all" else int(count)
    kept: list[int] = []
    for index in order:
        if len(kept) == wanted:
            break
        if _is_program(mutants[index].source):
            kept.append(index)
    return [mutants[index] for index in sorted(kept)]


def _is_program(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def summary(outcomes: dict[Mutant, str]) -> tuple[list[str], float]:
    """Return a line for each package and one for all, and the share of all that is killed."""
    lines, share = [], 0.0
    for package in (*PACKAGES, "all"):
        counts = Counter(told for mutant, told in outcomes.items() if package in (mutant.name.partition("/")[0], "all"))
        if total := counts.total():
            share = (counts[KILLED] + counts[TIMED_OUT]) / total
            each = ", ".join(f"{counts[kind]} {kind}" for kind in (KILLED, TIMED_OUT, SURVIVED, NOT_RUN))
            lines.append(f"{package}: {total} mutants, {each}: {share:.1%} killed")
    return lines, share


def main() -> int:
    """Make, draw and run mutants; return 1 if too few are killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", default="400", help="how many mutants, or all (400)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (0)")
    parser.add_argument("--packages", default=",".join(PACKAGES), help=f"which of {', '.join(PACKAGES)}")
    parser.add_argument("--budget", type=float, default=20.0, help="s of tests that a mutant gets at most (20)")
    parser.add_argument("--jobs", type=int, default=1, help="how many mutants run at a time (1)")
    parser.add_argument("--output", type=Path, help="a file for the list, too")
    parser.add_argument("--measures", type=Path, help="a file that keeps what is known of the tests")
    parser.add_argument("--mutants", help="names of mutants, with commas between, in place of a draw")
    parser.add_argument("--tests", nargs="+", default=None, help="files of tests, in place of all that may see a fault")
    options = parser.parse_args()
    packages = options.packages.split(",")
    if unknown := set(packages) - set(PACKAGES):
        parser.error(f"no package is called {', '.join(sorted(unknown))}")
    if options.count != "all" and not options.count.isdecimal():
        parser.error(f"--count is {options.count}; give a whole number or all")
    found = (path for package in packages for path in sorted((ROOT / "neurodeploy" / package).rglob("*.py")))
    paths = [path for path in found if path.name != COMPILED]
    mutants = [mutant for path in paths for mutant in make_mutants(path, ROOT)]
    if options.mutants:
        by_name = {mutant.name: mutant for mutant in mutants}
        names = options.mutants.split(",")
        if missing := [name for name in names if name not in by_name]:
            parser.error(f"no mutant is called {', '.join(missing)}")
        chosen = [by_name[name] for name in names]
    else:
        chosen = drawn(mutants, options.count, options.seed)
    output = os.fdopen(os.dup(1), "w")
    print(f"{len(mutants)} mutants of {len(paths)} files; {len(chosen)} are run", file=output, flush=True)
    runner = Runner(chosen, paths, options, output)
    arguments = ["-o", "addopts=", "-m", "not slow and not gpu", "-p", "no:terminal", "-p", "no:cacheprovider"]
    arguments += ["-p", "no:xdist", "-o", "timeout=0", "-o", "tmp_path_retention_policy=none"]
    with tempfile.TemporaryDirectory(prefix="nd-mutate-") as folder:
        code = pytest.main([*arguments, f"--basetemp={folder}/tests", *(options.tests or TESTS)], plugins=[runner])
    if len(runner.outcomes) < len(chosen):
        print(f"The tests could not be run; pytest ended with {code!r}.", file=sys.stderr)
        return 2
    lines, share = summary(runner.outcomes)
    print("\n".join(lines), file=output, flush=True)
    if options.output is not None:
        told = []
        for mutant, outcome in runner.outcomes.items():
            if outcome in (SURVIVED, NOT_RUN):
                before, after = mutant.difference()
                told.append(f"{mutant.name} {outcome}\n    - {before}\n    + {after}")
        options.output.write_text("\n".join([*lines, "", *told, ""]))
    return 0 if share >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
