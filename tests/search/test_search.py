"""The search of widths: what a budget says, that it is kept, and that a killed search ends as one that was not."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path

import nir
import numpy as np
import pytest

from neurodeploy.analysis.calibration_data import run_reference
from neurodeploy.backends.run import run
from neurodeploy.coding.data import Data
from neurodeploy.coding.scoring import decide
from neurodeploy.compiler import compile_with_plan
from neurodeploy.errors import BackendError, DeployError
from neurodeploy.families.options import CompileOptions
from neurodeploy.families.target_file import load_target
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.plan import Plan, ProjectionPlan
from neurodeploy.ir.program import Program
from neurodeploy.report.pareto import front_lines, plot_data, render_pareto_page, write_pareto_page
from neurodeploy.search.bits import WIDTHS, SearchOptions, SearchResult, find_front, run_search
from neurodeploy.search.budget import Budget, choose_profile, parse_budget
from neurodeploy.search.measuring import Measurer
from neurodeploy.search.orders import most_by_sensitivity, search_by_sensitivity
from neurodeploy.search.trials import StateFile, Trial, Widths
from tests.conftest import ROOT, ZERO, chain_edges, lif, save_nir, spikes

pytest.importorskip("torch", reason="the float reference needs torch")


def trial(widths: tuple[int | str, ...], size: float, lost: float) -> Trial:
    return Trial(widths, size, None, 0, 100, lost, 1.0, 1.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8-6-4, reset to zero."""
    rng = np.random.default_rng(0)
    nodes = {
        "input": nir.Input({"input": np.array([8])}),
        "fc1": nir.Linear(rng.normal(0, 0.6, (6, 8)).astype(np.float32)),
        "lif1": lif((6,)),
        "fc2": nir.Linear(rng.normal(0, 0.8, (4, 6)).astype(np.float32)),
        "lif2": lif((4,), 0.8),
        "output": nir.Output({"output": np.array([4])}),
    }
    edges = chain_edges("input", "fc1", "lif1", "fc2", "lif2", "output")
    return save_nir(tmp_path_factory.mktemp("search") / "fc.nir", nodes, edges, ZERO)


@pytest.fixture(scope="module")
def data(model: Path) -> Data:
    """Spikes with the float model's own decisions as labels."""
    x = {"input": spikes(np.random.default_rng(1), 12, 60, 8)}
    return Data(x, decide(run(model, x)), "made")


@pytest.fixture(scope="module")
def small(model: Path, data: Data) -> SearchResult:
    return run_search(model, "loihi1", data, budget="accuracy=5")


def same_program(a: Program, b: Program) -> bool:
    populations = all(
        np.array_equal(one.threshold_code, two.threshold_code) and np.array_equal(one.bias_mantissa, two.bias_mantissa)
        for one, two in zip(a.populations, b.populations, strict=True)
    )
    projections = all(
        np.array_equal(one.weight, two.weight) and one.exponent == two.exponent and one.weight_bits == two.weight_bits
        for one, two in zip(a.projections, b.projections, strict=True)
    )
    return populations and projections


def test_a_budget_is_read_as_written() -> None:
    assert parse_budget("accuracy=0.5, minimise=memory") == Budget(accuracy=0.5)
    assert parse_budget("agreement=0.98,minimise=energy,profile=sanafe") == Budget(
        agreement=0.98, minimise="energy", profile="sanafe"
    )
    assert parse_budget(str(parse_budget("accuracy=1,agreement_all=0.3"))) == Budget(accuracy=1, agreement_all=0.3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accurracy=1", "'accurracy=1' is not KEY=VALUE(?s:.*)Use the keys accuracy, agreement"),
        ("", "does not say what to keep"),
        ("minimise=memory", "does not say what to keep"),
        ("accuracy=nan", "accuracy is 'nan', but it must be a number from 0 to 100"),
        ("agreement=98", "agreement is '98', but it must be a number from 0 to 1"),
        ("accuracy=1,accuracy=2", "given twice"),
        ("accuracy=x,minimise=area", "accuracy is 'x'.*minimise is 'area', but it must be memory or energy"),
        ("accuracy=1,profile=sanafe", "energy is not minimised"),
    ],
)
def test_a_budget_that_says_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(DeployError, match=message):
        parse_budget(text)


def test_energy_is_minimised_only_where_the_target_has_a_published_profile() -> None:
    with pytest.raises(DeployError, match="no energy per event of Intel Loihi 2 is published"):
        choose_profile(Budget(agreement=0.5, minimise="energy"), load_target("loihi2"))
    with pytest.raises(DeployError, match=r"no energy profile 'x'(?s:.*)sanafe"):
        choose_profile(Budget(agreement=0.5, minimise="energy", profile="x"), load_target("loihi1"))
    assert choose_profile(Budget(agreement=0.5), load_target("loihi2")) is None


def test_a_deep_network_takes_few_trials_and_spends_its_budget() -> None:
    weights = [100.0 * (1 + place % 5) for place in range(30)]
    each = {8: 0.0, 6: 0.1, 4: 0.3, 3: 1.0, 2: 8.0, "ternary": 6.0, "binary": 9.0}
    seen = {}

    def measure(widths: Widths) -> Trial:
        stored = (width if isinstance(width, int) else 2 for width in widths)
        seen[widths] = trial(
            widths, sum(w * b for w, b in zip(weights, stored, strict=True)), sum(each[w] for w in widths)
        )
        return seen[widths]

    budget = Budget(accuracy=12)
    search_by_sensitivity(measure, measure((8,) * 30), WIDTHS, budget)
    best = min((one for one in seen.values() if budget.keeps(one)), key=budget.cost)
    assert budget.losses(best)[0] > 11
    assert best.weight_bytes < sum(4 * w for w in weights)
    assert len(seen) <= most_by_sensitivity(30, WIDTHS)


def test_the_front_holds_what_nothing_beats() -> None:
    a, b, c, d = trial((8,), 8, 0), trial((4,), 4, 1), trial((6,), 6, 1), trial((2,), 2, 30)
    assert find_front((a, b, c, d), Budget(accuracy=1)) == (d, b, a)


def test_the_front_of_a_search_is_one(small: SearchResult) -> None:
    costs = [small.budget.cost(one) for one in small.front]
    losses = [small.budget.losses(one)[0] for one in small.front]
    assert costs == sorted(set(costs))
    assert losses == sorted(set(losses), reverse=True)
    for one in small.trials:
        assert any(
            small.budget.cost(other) <= small.budget.cost(one)
            and small.budget.losses(other)[0] <= small.budget.losses(one)[0]
            for other in small.front
        )


def test_the_best_keeps_the_budget_when_its_program_is_run(small: SearchResult, data: Data) -> None:
    recording = run(small.compiled.program, data.x, backend="emulator")
    lost = 100.0 * float((decide(recording) != data.labels).mean())
    assert lost == pytest.approx(small.best.lost_points)
    assert lost <= 5 + 1e-9
    assert small.best.weight_bytes < small.trials[0].weight_bytes


def test_no_widths_of_a_small_network_are_cheaper(small: SearchResult) -> None:
    calibration = run_reference(small.subject.network, small.subject.data)
    measure = Measurer(small.subject, calibration, None, StateFile(None, {}), lambda done: None)
    every = [measure(widths) for widths in product(WIDTHS, WIDTHS)]
    kept = [one.weight_bytes for one in every if one is not None and small.budget.keeps(one)]
    assert small.best.weight_bytes == min(kept)
    assert len(small.trials) < len(every)


def test_the_plan_gives_the_same_program(model: Path, data: Data, small: SearchResult) -> None:
    again = compile_with_plan(model, "loihi1", plan=small.plan, calibrate=data)
    assert same_program(small.compiled.program, again.program)
    assert [small.plan.projections[name].bits for name in small.subject.names] == list(small.best.widths)


def test_a_search_is_deterministic(model: Path, data: Data, small: SearchResult) -> None:
    again = run_search(model, "loihi1", data, budget="accuracy=5")
    assert again.trials == small.trials and again.best == small.best
    assert again.plan.digest() == small.plan.digest()
    assert render_pareto_page(again) == render_pareto_page(small)


def test_bits_that_the_plan_states_are_left_alone(model: Path, data: Data) -> None:
    plan = Plan(projections={"lif1 -> lif2": ProjectionPlan(bits=5)})
    found = run_search(model, "loihi1", data, budget="accuracy=30", plan=plan)
    assert found.subject.names == ("input -> lif1",)
    assert found.plan.projections["lif1 -> lif2"].bits == 5
    with pytest.raises(DeployError, match="nothing to search"):
        run_search(model, "loihi1", data, budget="accuracy=30", plan=found.plan)


def test_what_cannot_be_kept_is_refused(model: Path, data: Data) -> None:
    with pytest.raises(DeployError, match="even 8 bits in every projection that is searched exceed the budget"):
        run_search(model, "loihi1", data, budget="agreement=1,agreement_all=1")
    with pytest.raises(DeployError, match="the data has no labels"):
        run_search(model, "loihi1", Data(data.x, None, "x.npz"), budget="accuracy=1")
    with pytest.raises(DeployError, match="labels run from 0 to 9"):
        run_search(model, "loihi1", Data(data.x, np.arange(60) % 10, "x.npz"), budget="accuracy=1")
    with pytest.raises(DeployError, match=r"'sense', but there is no such method(?s:.*)optuna, sensitivity"):
        SearchOptions(method="sense")


def test_agreement_needs_no_labels_and_energy_is_told(model: Path, data: Data) -> None:
    found = run_search(model, "loihi1", Data(data.x, None, "x.npz"), budget="agreement_all=0.5,minimise=energy")
    assert found.best.agreement_all >= 0.5
    assert found.best.correct is None
    assert found.best.energy == min(one.energy for one in found.trials if one.agreement_all >= 0.5)


KILLED = """
import os, signal, sys
from pathlib import Path
from neurodeploy.search.bits import SearchOptions, run_search

def progress(label, done, total):
    if done == 7:
        os.kill(os.getpid(), signal.SIGKILL)

search = SearchOptions(state=Path(sys.argv[3]), progress=progress)
run_search(sys.argv[1], "loihi1", sys.argv[2], budget="accuracy=1", search=search)
"""


def test_a_killed_search_goes_on_and_ends_as_one_that_was_not(model: Path, data: Data, tmp_path: Path) -> None:
    calibrate = tmp_path / "calibrate.npz"
    np.savez(calibrate, x=data.x["input"], y=data.labels)
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    expected = run_search(model, "loihi1", calibrate, budget="accuracy=1", search=SearchOptions(state=whole))
    ended = subprocess.run([sys.executable, "-c", KILLED, model, calibrate, cut], check=False, cwd=ROOT)
    assert len(expected.trials) > 7 + 1
    assert ended.returncode == -signal.SIGKILL
    begun = cut.read_bytes()
    assert begun.count(b"\n") == 1 + 7
    cut.write_bytes(begun[:-20])  # a kill within a write
    found = run_search(model, "loihi1", calibrate, budget="accuracy=1", search=SearchOptions(state=cut))
    assert found.trials == expected.trials
    assert found.plan.digest() == expected.plan.digest()
    assert cut.read_bytes() == whole.read_bytes()


def test_a_finished_search_measures_nothing_anew(
    model: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = SearchOptions(state=tmp_path / "state.jsonl")
    first = run_search(model, "loihi1", data, budget="accuracy=5", search=search)
    monkeypatch.setattr("neurodeploy.search.measuring.Measurer._measure", None)
    assert run_search(model, "loihi1", data, budget="accuracy=5", search=search).trials == first.trials


def test_the_state_of_another_search_is_refused(model: Path, data: Data, tmp_path: Path) -> None:
    state = tmp_path / "state.jsonl"
    search = SearchOptions(state=state)
    run_search(model, "loihi1", data, budget="accuracy=5", search=search)
    for budget, options, message in (
        ("accuracy=4", {}, "budget differ"),
        ("accuracy=5", {"per_channel": False}, "options differ"),
    ):
        with pytest.raises(DeployError, match=message):
            run_search(model, "loihi1", data, budget=budget, search=search, **options)
    with pytest.raises(DeployError, match="data differ"):
        run_search(model, "loihi1", data.first(20), budget="accuracy=5", search=search)
    for content in ("my diary", "my diary\n", '{"format": "other"}\n', state.read_text() + "{}\n"):
        state.write_text(content)
        with pytest.raises(DeployError, match="not the state of a search"):
            run_search(model, "loihi1", data, budget="accuracy=5", search=search)
        assert state.read_text() == content
    with pytest.raises(DeployError, match="does not exist"):
        run_search(model, "loihi1", data, budget="accuracy=5", search=SearchOptions(state=tmp_path / "no" / "f"))


def test_widths_that_the_compiler_refuses_are_passed_over(
    model: Path, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neurodeploy.search import measuring

    compile_network = measuring.compile_network

    def refuse_two(*args: object) -> object:
        if any(own.bits == 2 for own in args[4].projections.values()):  # type: ignore[attr-defined]
            raise DeployError("two is <too> few", where="here", fix="none")
        return compile_network(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(measuring, "compile_network", refuse_two)
    search = SearchOptions(state=tmp_path / "state.jsonl")
    first = run_search(model, "loihi1", data, budget="accuracy=100", search=search)
    again = run_search(model, "loihi1", data, budget="accuracy=100", search=search)
    assert first.refusals[2, 8] == "two is <too> few"
    assert all(2 not in one.widths for one in first.trials)
    assert (again.trials, again.refusals) == (first.trials, first.refusals)
    assert "two is &lt;too&gt; few" in render_pareto_page(first)


def test_the_front_is_printed_with_what_was_measured(small: SearchResult) -> None:
    lines = front_lines(small)
    assert lines[0] == "bits of: input -> lif1, lif1 -> lif2"
    assert re.match(r"\s+bits +bytes +energy +accuracy \(95 % interval\) +points lost +output agreement", lines[1])
    best = next(line for line in lines if line.startswith("best"))
    assert " ".join(map(str, small.best.widths)) in best
    assert any("60 samples of made" in line for line in lines)


def test_the_page_stands_alone(small: SearchResult, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_pareto_page(small, path)
    page = path.read_text()
    content = re.search(r'id="pareto-data">(.*?)</script>', page)
    assert content is not None
    assert json.loads(content[1]) == json.loads(json.dumps(plot_data(small)))
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="http', page)


def test_optuna_is_asked_for_where_it_is_missing(model: Path, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(BackendError, match=r"optuna is not installed(?s:.*)neurodeploy\[search\]"):
        run_search(model, "loihi1", data, budget="accuracy=5", search=SearchOptions(method="optuna"))


@pytest.mark.filterwarnings("default")
def test_optuna_keeps_the_budget_and_goes_on(model: Path, data: Data, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed: pip install 'neurodeploy[search]'")
    state = tmp_path / "state.jsonl"
    search = SearchOptions(method="optuna", trials=30, state=state)
    found = run_search(model, "loihi1", data, budget="accuracy=5", search=search)
    lines = state.read_bytes().splitlines(keepends=True)
    state.write_bytes(b"".join(lines[:10]))
    again = run_search(model, "loihi1", data, budget="accuracy=5", search=search)
    assert found.budget.keeps(found.best)
    assert again.trials == found.trials
    assert state.read_bytes() == b"".join(lines)


def test_options_of_compile_are_used(model: Path, data: Data) -> None:
    found = run_search(model, "loihi1", data, budget="accuracy=5", per_channel=True)
    assert found.subject.options == CompileOptions(per_channel=True).settled(True)
    assert found.plan.populations["lif1"].channel_gain is not None
    assert found.subject.network.digest() == read_network(model)[0].digest()
    assert found.compiled.program.provenance["model_sha256"]


def test_a_budget_of_accuracy_asks_what_decides(model: Path, data: Data) -> None:
    two = Data(data.x, data.labels % 2, "made")  # type: ignore[operator]
    with pytest.raises(
        DeployError, match=r"nothing says how a sample is decided(?s:.*)decide count,groups=2,output=lif2"
    ):
        run_search(model, "loihi1", two, budget="accuracy=5")
    chosen = run_search(model, "loihi1", two, budget="accuracy=100", decide="count,groups=2")
    assert chosen.reference_correct == int((decide(run(model, two.x, decide="count,groups=2")) == two.labels).sum())
    assert str(chosen.compiled.program.decision) == "count,groups=2,output=lif2"


def test_a_state_of_more_bytes_than_a_text_may_have_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "state", "wb") as stream:
        stream.truncate(2**26 + 1)
    with pytest.raises(DeployError, match="the state of a search needs 67,108,865 bytes, but the limit is 67,108,864"):
        StateFile(tmp_path / "state", {}).load()
