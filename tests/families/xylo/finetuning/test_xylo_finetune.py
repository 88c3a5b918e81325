"""Fine-tuning for Xylo: what is trained is what runs on the chip and what the tuned file compiles to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from neurodeploy.backends.emulator.backend import Emulator  # noqa: E402
from neurodeploy.cli.main import cli  # noqa: E402
from neurodeploy.coding.data import Data  # noqa: E402
from neurodeploy.compiler import compile, compile_with_plan  # noqa: E402
from neurodeploy.families.finetuning.traces import model_rows  # noqa: E402
from neurodeploy.families.xylo.finetuning.integer import IntegerNetwork  # noqa: E402
from neurodeploy.families.xylo.finetuning.latents import Latents  # noqa: E402
from neurodeploy.families.xylo.finetuning.trainable import make_latents  # noqa: E402
from neurodeploy.finetuning.finetune import begin, finetune  # noqa: E402
from neurodeploy.finetuning.options import Training  # noqa: E402
from neurodeploy.importers.lower import read_network  # noqa: E402
from neurodeploy.ir.network import Network, Projection  # noqa: E402
from neurodeploy.ir.plan import Plan, PopulationPlan, load_plan, save_plan  # noqa: E402
from neurodeploy.ir.program import Program  # noqa: E402
from neurodeploy.ir.run_options import RunOptions  # noqa: E402
from neurodeploy.ir.synapses import Conv2d, Flatten, Linear, Pool2d  # noqa: E402
from tests.conftest import chain_edges, cuba, save_nir  # noqa: E402
from tests.families.xylo.networks import NETWORKS, population  # noqa: E402

CHIP = "xylo-audio3"
N_STEPS, N_SAMPLES, N_CLASSES = 20, 48, 4
SHORT = Training(epochs=3, patience=3, batch=16)


def named(network: Network) -> Network:
    """Return a network whose operations have names."""
    projections = tuple(
        replace(p, ops=tuple(replace(op, name=f"fc{k}") for op in p.ops)) for k, p in enumerate(network.projections)
    )
    return replace(network, projections=projections)


def convolving() -> Network:
    """Return a convolution whose channels differ in scale, and layers behind it."""
    rng = np.random.default_rng(2)
    kernel = rng.normal(0.1, 0.4, (2, 1, 3, 3)) * np.array([1.0, 0.3]).reshape(2, 1, 1, 1)
    ops = (
        (Conv2d(kernel, padding=(1, 1), name="conv"), Flatten()),
        (Linear(rng.normal(0.05, 0.2, (N_CLASSES, 24)), name="fc"),),
    )
    layers = (population("a", 24, 0.8, 0.9), population("b", N_CLASSES, 0.8, 0.9, most=1))
    projections = (Projection("input", "a", ops[0]), Projection("a", "b", ops[1]))
    return Network({"input": (1, 3, 4)}, layers, projections, ("b",), 1e-3, "test")


KINDS: dict[str, Callable[[], Network]] = {name: lambda make=make: named(make()) for name, make in NETWORKS.items()}
KINDS["convolution"] = convolving


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=KINDS)
def network(request: pytest.FixtureRequest) -> Network:
    return KINDS[request.param]()


def samples(network: Network) -> Data:
    """Return patterns of rates, which classes stand for, and counts drawn from them."""
    rng = np.random.default_rng(0)
    ((name, shape),) = network.inputs.items()
    n_classes = network.population(network.outputs[0]).size
    labels = np.arange(N_SAMPLES) % n_classes
    rates = np.random.default_rng(9).uniform(0, 0.9, (n_classes, *shape))
    x = rng.poisson(rates[labels], (N_STEPS, N_SAMPLES, *shape)).astype(np.uint8)
    return Data({name: x}, labels, "random")


def traces(program: Program, latents: Latents, data: Data) -> Any:
    tensors = {name: torch.as_tensor(values).float() for name, values in data.x.items()}
    return IntegerNetwork(program).run(tensors, latents.codes(), latents.registers())


def same_codes(one: Program, two: Program) -> None:
    """Compare all but provenance and, of an integrator, the volts of its v, which each compilation fits anew."""
    for ours, theirs in zip(one.projections, two.projections, strict=True):
        assert (ours.name, ours.exponent, ours.delay) == (theirs.name, theirs.exponent, theirs.delay)
        np.testing.assert_array_equal(ours.weight, theirs.weight, err_msg=ours.name)
    for mine, other in zip(one.populations, two.populations, strict=True):
        entries = [p.entry() for p in (mine, other)]
        assert all(entries[0][key] == entries[1][key] for key in entries[0] if mine.fires or not key.startswith("unit"))
        for key, values in mine.arrays().items():
            np.testing.assert_array_equal(values, other.arrays()[key], err_msg=f"{mine.name} {key}")


def test_training_starts_at_the_compiled_codes(network: Network) -> None:
    began = begin(network, CHIP)
    latents = make_latents(began)
    assert latents.weights
    same_codes(latents.program(began.program), began.program)


def test_forward_pass_is_the_emulator_also_after_weights_moved(network: Network) -> None:
    began = begin(network, CHIP)
    latents, data = make_latents(began), samples(network)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for latent in latents.parameters():
            latent += 0.1 * torch.randn(latent.shape, generator=generator)
        latents.clamp_()
        found = model_rows(began.program, traces(began.program, latents, data), N_STEPS)
    program = latents.program(began.program)
    emulated = Emulator().run(program, data.x, RunOptions(record=("spikes", "u", "v"), nodes=tuple(found))).nodes
    for name, trace in found.items():
        for key, ours in (("spikes", trace.fired), ("u", trace.u), ("v", trace.v)):
            if key in emulated[name]:
                theirs = emulated[name][key]
                np.testing.assert_array_equal(ours.numpy().reshape(theirs.shape), theirs, err_msg=f"{name} {key}")


def test_weights_have_a_gradient(network: Network) -> None:
    began = begin(network, CHIP)
    latents, data = make_latents(began), samples(network)
    trace = traces(began.program, latents, data)[network.outputs[0]]
    output = network.population(network.outputs[0])
    logits = trace.fired.sum(0) if output.rule.fires else trace.v.mean(0) / began.register_units[output.name].max()
    torch.nn.functional.cross_entropy(logits, torch.as_tensor(data.labels)).backward()
    for latent in latents.parameters():
        assert latent.grad is not None and bool(latent.grad.isfinite().all())
        assert float((latent.grad != 0).double().mean()) > 0.3


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[Program]:
    """Programs in the codes that were trained, as training leaves them."""
    found: list[Program] = []
    in_codes = Latents.program

    def program(self: Latents, before: Program) -> Program:
        found.append(in_codes(self, before))
        return found[-1]

    monkeypatch.setattr(Latents, "program", program)
    return found


def test_tuned_network_compiles_with_its_plan_to_the_codes_that_were_trained(
    network: Network, kept: list[Program], tmp_path: Path
) -> None:
    output = network.population(network.outputs[0])
    decide = None if output.rule.fires else f"sum,output={output.name}"
    tuned = finetune(network, samples(network), CHIP, training=replace(SHORT, rate=0.1), decide=decide)
    save_plan(tuned.plan, tmp_path / "plan.yaml")
    again = compile(tuned.network, CHIP, plan=load_plan(tmp_path / "plan.yaml"))
    same_codes(kept[0], tuned.program)
    same_codes(kept[0], again)
    assert tuned.best.score >= tuned.epochs[0].score


def test_tuned_file_compiles_with_its_plan_to_the_codes_that_were_trained(kept: list[Program], tmp_path: Path) -> None:
    model, output, plan = save(tmp_path / "model.nir"), tmp_path / "tuned.nir", tmp_path / "plan.yaml"
    before = read_network(model)[0]
    how = Training(epochs=4, patience=4, batch=16, imitation=0.0)
    tuned = finetune(model, samples(before), CHIP, plan=coarse(before), training=how, output=output)
    save_plan(tuned.plan, plan)
    network = read_network(output)[0]
    assert network.digest() == tuned.network.digest() != before.digest()
    assert tuned.best.number > 0
    same_codes(kept[0], compile(output, CHIP, plan=load_plan(plan)))


def coarse(network: Network) -> Plan:
    """Return scales with which the largest weights are some 4 codes."""
    populations = {}
    for name, own in compile_with_plan(network, CHIP).plan.populations.items():
        assert own.codes_per_volt is not None
        populations[name] = PopulationPlan(codes_per_volt=own.codes_per_volt / 32, channel_gain=own.channel_gain)
    return Plan(target=CHIP, populations=populations, projections={})


def test_training_from_coarse_scales_gives_back_what_they_lose() -> None:
    network = KINDS["two layers"]()
    how = Training(epochs=6, patience=6, batch=16, imitation=0.0)
    tuned = finetune(network, samples(network), CHIP, plan=coarse(network), training=how)
    assert all(np.abs(p.weight).max() < 16 for p in tuned.program.projections)
    assert tuned.best.number > 0
    assert tuned.best.score > tuned.epochs[0].score
    assert tuned.epochs[-1].loss < tuned.epochs[1].loss


def test_pool_that_sums_weights_is_not_trained() -> None:
    rng = np.random.default_rng(2)
    conv = Conv2d(rng.normal(0.3, 0.4, (2, 1, 3, 3)), padding=(1, 1), name="conv")
    ops = (conv, Pool2d((2, 2), (2, 2), mean=True), Flatten())
    layers = (population("a", 8, 0.8, 0.9), population("b", N_CLASSES, 0.8, 0.9, most=1))
    last = Projection("a", "b", (Linear(rng.normal(0.05, 0.2, (N_CLASSES, 8)), name="fc"),))
    network = Network({"input": (1, 4, 4)}, layers, (Projection("input", "a", ops), last), ("b",), 1e-3, "test")
    latents = make_latents(begin(network, CHIP))
    assert ([weight.node for weight in latents.weights], latents.fixed) == (["fc"], ("conv",))


def test_weights_that_are_cut_to_the_range_of_codes_start_there() -> None:
    network = KINDS["two layers"]()
    units = compile_with_plan(network, CHIP).plan.populations["layer0"].codes_per_volt
    assert units is not None
    plan = Plan(target=CHIP, populations={"layer0": PopulationPlan(codes_per_volt=8 * units)}, projections={})
    began = begin(network, CHIP, plan)
    latents = make_latents(began)
    assert np.abs(began.program.projections[0].weight).max() >= 127
    same_codes(latents.program(began.program), began.program)


def save(path: Path) -> Path:
    """Write a network of the chip's neurons as NIR."""
    rng = np.random.default_rng(4)
    nodes = {
        "input": nir.Input({"input": np.array([6])}),
        "fc1": nir.Linear(rng.normal(0.2, 0.4, (12, 6))),
        "hidden": cuba((12,)),
        "fc2": nir.Linear(rng.normal(0.1, 0.4, (N_CLASSES, 12))),
        "out": cuba((N_CLASSES,)),
        "output": nir.Output({"output": np.array([N_CLASSES])}),
    }
    return save_nir(path, nodes, chain_edges(*nodes), {"reset": "subtract", "reset_delay": False})


def test_command_writes_a_model_and_the_plan_that_compiles_it(tmp_path: Path) -> None:
    model, data, tuned, plan = (tmp_path / name for name in ("model.nir", "train.npz", "tuned.nir", "tuned.yaml"))
    labels = np.arange(40) % N_CLASSES
    rates = np.random.default_rng(1).uniform(0, 1, (N_CLASSES, 6))
    np.savez(data, x=rates[labels].astype(np.float32), y=labels)
    given = ["finetune", str(save(model)), "--data", str(data), "--encode", "rate,steps=12,scale=1", "--target", CHIP]
    given += ["--epochs", "2", "--rate", "0.1", "-o", str(tuned), "--plan-output", str(plan)]
    done = CliRunner().invoke(cli, given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "trained: fc1, fc2" in done.output
    program = compile(tuned, CHIP, plan=load_plan(plan))
    latents = make_latents(begin(read_network(tuned)[0], CHIP, load_plan(plan)))
    same_codes(latents.program(program), program)
