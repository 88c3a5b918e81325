"""Fine-tuning: what is trained is what the tuned file compiles to, training helps, and a kill changes nothing."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from neurodeploy.backends.emulator.backend import Emulator  # noqa: E402
from neurodeploy.backends.run import run  # noqa: E402
from neurodeploy.coding.data import Data  # noqa: E402
from neurodeploy.coding.scoring import scores  # noqa: E402
from neurodeploy.compiler import compile  # noqa: E402
from neurodeploy.errors import DeployError  # noqa: E402
from neurodeploy.families.finetuning.traces import model_rows  # noqa: E402
from neurodeploy.families.loihi.finetuning.integer import IntegerNetwork  # noqa: E402
from neurodeploy.families.loihi.finetuning.latents import Latents  # noqa: E402
from neurodeploy.families.loihi.finetuning.trainable import make_latents  # noqa: E402
from neurodeploy.finetuning import training as training_module  # noqa: E402
from neurodeploy.finetuning.finetune import begin, finetune  # noqa: E402
from neurodeploy.finetuning.options import Epoch, Training  # noqa: E402
from neurodeploy.importers.lower import read_network  # noqa: E402
from neurodeploy.ir.decision import parse_decision, with_decision  # noqa: E402
from neurodeploy.ir.network import Network, Population, Projection  # noqa: E402
from neurodeploy.ir.plan import load_plan, save_plan  # noqa: E402
from neurodeploy.ir.program import Program  # noqa: E402
from neurodeploy.ir.rule import NeuronRule  # noqa: E402
from neurodeploy.ir.run_options import RunOptions  # noqa: E402
from neurodeploy.ir.synapses import Linear  # noqa: E402
from neurodeploy.shipped import shipped_folder  # noqa: E402
from tests.conftest import SAME_STEP, chain_edges, cuba, lif, save_nir  # noqa: E402

N_STEPS, N_SAMPLES, N_CLASSES = 12, 96, 4
BITS = (4, "ternary", "binary")
SHORT = Training(epochs=4, patience=4, batch=24)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def dense(path: Path, rng: np.random.Generator) -> Path:
    nodes = {
        "input": nir.Input({"input": np.array([10])}),
        "fc1": nir.Affine(rng.normal(0, 0.4, (16, 10)), rng.normal(0, 0.02, 16)),
        "lif1": lif((16,)),
        "fc2": nir.Linear(rng.normal(0, 0.4, (N_CLASSES, 16))),
        "lif2": lif((N_CLASSES,)),
        "output": nir.Output({"output": np.array([N_CLASSES])}),
    }
    return save_nir(path, nodes, chain_edges(*nodes), SAME_STEP)


def recurrent(path: Path, rng: np.random.Generator) -> Path:
    nodes = {
        "input": nir.Input({"input": np.array([10])}),
        "fc1": nir.Affine(rng.normal(0, 0.4, (16, 10)), rng.normal(0, 0.02, 16)),
        "lif1": cuba((16,)),
        "back": nir.Linear(rng.normal(0, 0.2, (16, 16))),
        "fc2": nir.Linear(rng.normal(0, 0.4, (N_CLASSES, 16))),
        "lif2": lif((N_CLASSES,)),
        "output": nir.Output({"output": np.array([N_CLASSES])}),
    }
    edges = [*chain_edges(*(name for name in nodes if name != "back")), ("lif1", "back"), ("back", "lif1")]
    return save_nir(path, nodes, edges, SAME_STEP)


def conv(path: Path, rng: np.random.Generator) -> Path:
    kernel = rng.normal(0, 0.4, (3, 1, 3, 3))
    nodes = {
        "input": nir.Input({"input": np.array([1, 4, 5])}),
        "conv": nir.Conv2d((4, 5), kernel, 1, 1, 1, 1, rng.normal(0, 0.02, 3)),
        "lif1": lif((3, 4, 5)),
        "pool": nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "conv2": nir.Conv2d((2, 2), rng.normal(0, 0.8, (4, 3, 2, 2)), 1, 0, 1, 1, np.zeros(4)),
        "lif2": lif((4, 1, 1)),
        "flatten": nir.Flatten({"input": np.array([4, 1, 1])}, 0, -1),
        "fc": nir.Affine(rng.normal(0, 0.5, (N_CLASSES, 4)), rng.normal(0, 0.02, N_CLASSES)),
        "lif3": lif((N_CLASSES,)),
        "output": nir.Output({"output": np.array([N_CLASSES])}),
    }
    return save_nir(path, nodes, chain_edges(*nodes), SAME_STEP)


KINDS = {"dense": dense, "recurrent": recurrent, "conv": conv}


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path: Path, rng: np.random.Generator) -> Path:
    return KINDS[request.param](tmp_path / "model.nir", rng)


def samples(network: Network, seed: int = 0) -> Data:
    """Four patterns of rates, which classes stand for, and spikes drawn from them."""
    rng = np.random.default_rng(seed)
    ((name, shape),) = network.inputs.items()
    rates = np.random.default_rng(9).uniform(0, 0.7, (N_CLASSES, *shape))
    labels = np.arange(N_SAMPLES) % N_CLASSES
    x = (rng.random((N_STEPS, N_SAMPLES, *shape)) < rates[labels]).astype(np.uint8)
    return Data({name: x}, labels, "random")


@pytest.mark.parametrize("bits", BITS)
def test_forward_pass_at_the_start_is_the_emulator(model: Path, bits: Any) -> None:
    network = read_network(model)[0]
    began = begin(network, "loihi2", None, bits)
    latents = make_latents(began)
    program = latents.program(began.program)
    inputs = samples(network).x
    emulated = Emulator().run(program, inputs, RunOptions(record=("spikes", "u", "v")))
    tensors = {name: torch.as_tensor(values).float() for name, values in inputs.items()}
    with torch.no_grad():
        traces = IntegerNetwork(began.program).run(tensors, latents.codes(), latents.registers())
    for name, trace in model_rows(began.program, traces, N_STEPS).items():
        for key, ours in (("spikes", trace.fired), ("u", trace.u), ("v", trace.v)):
            theirs = emulated.nodes[name][key]
            np.testing.assert_array_equal(ours.numpy().reshape(theirs.shape), theirs, err_msg=f"{name} {key}")


@pytest.mark.parametrize("bits", [2, 4, 8, "ternary"])
def test_training_starts_at_the_compiled_codes(model: Path, bits: Any) -> None:
    network = read_network(model)[0]
    began = begin(network, "loihi2", None, bits)
    program = make_latents(began).program(began.program)
    same_codes(program, began.program)


def test_every_weight_has_a_gradient(model: Path) -> None:
    network = read_network(model)[0]
    began = begin(network, "loihi2", None, 4)
    latents = make_latents(began)
    data = samples(network)
    tensors = {name: torch.as_tensor(values).float() for name, values in data.x.items()}
    traces = IntegerNetwork(began.program).run(tensors, latents.codes(), latents.registers())
    logits = traces[network.outputs[0]].fired.sum(0)
    torch.nn.functional.cross_entropy(logits, torch.as_tensor(data.labels)).backward()
    for latent in latents.parameters():
        assert latent.grad is not None and bool(latent.grad.isfinite().all())
        assert float((latent.grad != 0).double().mean()) > 0.5


@pytest.mark.parametrize("bits", BITS)
def test_loss_falls(model: Path, bits: Any) -> None:
    how = replace(SHORT, imitation=0.0, epochs=8, patience=8)
    tuned = finetune(model, samples(read_network(model)[0]), "loihi2", weight_bits=bits, training=how)
    losses = [epoch.loss for epoch in tuned.epochs[1:]]
    assert min(losses[4:]) < losses[0]
    assert tuned.best.score >= tuned.epochs[0].score
    assert tuned.steps_per_second > 0


@pytest.mark.parametrize("bits", BITS)
def test_tuned_file_compiles_with_the_tuned_plan_to_the_codes_that_were_trained(
    model: Path, bits: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    kept: dict[str, Program] = {}

    def program(self: Latents, before: Program) -> Program:
        kept["codes"] = in_codes(self, before)
        return kept["codes"]

    in_codes = Latents.program
    monkeypatch.setattr(Latents, "program", program)
    output, plan = tmp_path / "tuned.nir", tmp_path / "tuned.yaml"
    data = samples(read_network(model)[0])
    tuned = finetune(model, data, "loihi2", weight_bits=bits, training=SHORT, output=output)
    save_plan(tuned.plan, plan)
    network = read_network(output)[0]
    assert network.digest() == tuned.network.digest() != read_network(model)[0].digest()
    same_codes(kept["codes"], tuned.program)
    same_codes(kept["codes"], compile(output, "loihi2", plan=load_plan(plan)))


def same_codes(one: Program, two: Program) -> None:
    for ours, theirs in zip(one.projections, two.projections, strict=True):
        assert (ours.name, ours.exponent, ours.delay) == (theirs.name, theirs.exponent, theirs.delay)
        np.testing.assert_array_equal(ours.weight, theirs.weight, err_msg=ours.name)
    for mine, other in zip(one.populations, two.populations, strict=True):
        assert mine.bias_exponent == other.bias_exponent
        for key, values in mine.arrays().items():
            np.testing.assert_array_equal(values, other.arrays()[key], err_msg=f"{mine.name} {key}")


def test_pool_before_a_convolution_is_trained_and_pool_behind_one_is_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    network = read_network(conv(tmp_path / "model.nir", rng))[0]
    began = begin(network, "loihi2", None, 4)
    latents = make_latents(began)
    assert [weight.node for weight in latents.weights] == ["conv", "conv2", "fc"] and not latents.fixed


def test_same_seed_gives_the_same_network_and_another_seed_another(model: Path) -> None:
    data = samples(read_network(model)[0])
    one, two = (finetune(model, data, "loihi2", weight_bits=4, training=SHORT) for _ in range(2))
    other = finetune(model, data, "loihi2", weight_bits=4, training=replace(SHORT, seed=1))
    assert one.network.digest() == two.network.digest()
    assert [e.loss for e in one.epochs[1:]] == [e.loss for e in two.epochs[1:]] != [e.loss for e in other.epochs[1:]]


class KilledError(Exception):
    pass


def test_killed_training_goes_on_to_the_same_result(model: Path, tmp_path: Path) -> None:
    data = samples(read_network(model)[0])
    checkpoint = tmp_path / "training.ckpt"

    def kill(epoch: Epoch) -> None:
        if epoch.number == 3:
            raise KilledError

    with pytest.raises(KilledError):
        finetune(model, data, "loihi2", weight_bits=4, training=SHORT, checkpoint=checkpoint, report=kill)
    resumed = finetune(model, data, "loihi2", weight_bits=4, training=SHORT, checkpoint=checkpoint)
    assert [epoch.number for epoch in resumed.epochs] == [3, 4]
    whole = finetune(model, data, "loihi2", weight_bits=4, training=SHORT)
    assert resumed.network.digest() == whole.network.digest()


def test_checkpoint_of_other_options_is_refused(tmp_path: Path, rng: np.random.Generator) -> None:
    model, checkpoint = dense(tmp_path / "model.nir", rng), tmp_path / "training.ckpt"
    data = samples(read_network(model)[0])
    finetune(model, data, "loihi2", weight_bits=4, training=SHORT, checkpoint=checkpoint)
    with pytest.raises(DeployError, match="another model, other data or other options"):
        finetune(model, data, "loihi2", weight_bits="ternary", training=SHORT, checkpoint=checkpoint)


def test_training_ends_when_patience_does(tmp_path: Path, rng: np.random.Generator, monkeypatch: Any) -> None:
    model = dense(tmp_path / "model.nir", rng)
    monkeypatch.setattr(training_module.Trainer, "_step", lambda self, batch: 1.0)
    how = replace(SHORT, epochs=50, patience=3)
    tuned = finetune(model, samples(read_network(model)[0]), "loihi2", weight_bits=4, training=how)
    assert [epoch.number for epoch in tuned.epochs] == [0, 1, 2, 3]
    assert tuned.best.number == 0


@pytest.mark.parametrize(
    ("labels", "message"),
    [(None, "no labels"), (np.arange(N_SAMPLES), "labels run from 0 to 95, but output")],
)
def test_data_without_fitting_labels_is_refused(
    labels: Any, message: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    model = dense(tmp_path / "model.nir", rng)
    data = replace(samples(read_network(model)[0]), labels=labels)
    with pytest.raises(DeployError, match=message):
        finetune(model, data, "loihi2", training=SHORT)


def digits(name: str, bits: Any, how: Training, folder: Path) -> tuple[float, float]:
    """Return the accuracies of the float reference and of the tuned program on the images that nobody trained on.

    Training starts at a calibrated plan. Corrections and gains per channel help codes that training hardly moves; they
    stand in the way of ternary weights, most of which it moves.
    """
    from neurodeploy.backends.reference.backend import Reference
    from neurodeploy.coding.data_file import load_data
    from neurodeploy.coding.scoring import decide
    from neurodeploy.compiler import compile_with_plan

    home = shipped_folder("models") / name
    model, network = home / "model.nir", read_network(home / "model.nir")[0]
    test = load_data(home / "test.npz", network.inputs)
    calibrated: dict[str, Any] = {"scale": "mse", "rounding": "learned", "correct": (), "per_channel": False}
    if bits != "ternary":
        calibrated |= {"correct": ("bias", "threshold"), "per_channel": True}
    start = compile_with_plan(model, "loihi2", weight_bits=bits, calibrate=home / "calibrate.npz", **calibrated)
    data = drawing(name, network, len(next(iter(test.x.values()))), folder)
    tuned = finetune(model, data, "loihi2", plan=start.plan, weight_bits=bits, training=how)
    recordings = Reference().run(network, test.x, RunOptions()), Emulator().run(tuned.program, test.x, RunOptions())
    reference, emulator = (float((decide(recording) == test.labels).mean()) for recording in recordings)
    return reference, emulator


def drawing(name: str, network: Network, steps: int, folder: Path) -> Any:
    """Return the training images as the model was shown them: rates drawn anew, or rows with two shifted copies."""
    from neurodeploy.coding.data_file import load_data
    from neurodeploy.coding.encoding import Encoding

    models = shipped_folder("models")
    sys.path.insert(0, str(models))
    from digits import load_split

    split = load_split()
    ((source, shape),) = network.inputs.items()
    if name == "digits-rows":
        spec = importlib.util.spec_from_file_location("digits_rows", models / name / "train.py")
        assert spec is not None and spec.loader is not None
        recipe = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(recipe)
        rng = np.random.default_rng(5)
        images = np.concatenate([split.train_images, *(recipe.shift(split.train_images, rng) for _ in range(2))])
        return Data({source: recipe.encode(images, rng)}, np.tile(split.train_labels, 3), "training split")
    np.savez(folder / "train.npz", x=split.train_images.reshape(-1, *shape), y=split.train_labels)
    return lambda epoch: load_data(
        folder / "train.npz", network.inputs, encode=Encoding("rate", steps, 1.0), seed=epoch
    )


@pytest.mark.parametrize(("bits", "points"), [(4, 0.5), ("ternary", 2.0)])
def test_few_epochs_bring_digits_fc_near_the_reference(bits: Any, points: float, tmp_path: Path) -> None:
    reference, emulator = digits("digits-fc", bits, Training(epochs=6), tmp_path)
    assert 100 * (reference - emulator) <= points


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("name", "bits", "epochs", "points"),
    [
        ("digits-fc", 4, 20, 0.5),
        ("digits-fc", "ternary", 20, 2.0),
        ("digits-conv", 4, 20, 0.5),
        ("digits-conv", "ternary", 40, 2.0),
        ("digits-rows", 4, 25, 0.5),
        ("digits-rows", "ternary", 90, 2.0),
    ],
)
def test_fine_tuning_brings_digits_near_the_reference(
    name: str, bits: Any, epochs: int, points: float, tmp_path: Path
) -> None:
    reference, emulator = digits(name, bits, Training(epochs=epochs, patience=epochs), tmp_path)
    assert 100 * (reference - emulator) <= points, f"{reference:.4f} in float, {emulator:.4f} tuned"


@pytest.mark.parametrize("decision", ["max,output=lif2.v", "last,output=lif2.v", "count,groups=2,output=lif2"])
def test_training_answers_by_the_rule_that_decides(tmp_path: Path, rng: np.random.Generator, decision: str) -> None:
    """The trainer's own answer to a batch is what the emulator's recording decides."""
    model = dense(tmp_path / "model.nir", rng)
    network = read_network(model)[0]
    data = samples(network)
    if "groups" in decision:
        data = replace(data, labels=data.labels % 2)  # type: ignore[operator]
    tuned = finetune(model, data, "loihi2", decide=decision, training=replace(SHORT, epochs=1))
    assert tuned.best.score >= tuned.epochs[0].score
    assert str(tuned.program.decision) == decision
    began = begin(with_decision(network, decision), "loihi2", None, None)
    trainer = training_module.Trainer(
        began, make_latents(began, "cpu"), lambda _: data, SHORT, parse_decision(decision)
    )
    recording = run(began.program, data.x, backend="emulator", decide=decision)
    with torch.no_grad():
        logits = trainer.logits(data.x).numpy()
    found = scores(recording, parse_decision(decision))
    assert logits.argmax(1).tolist() == found.argmax(1).tolist()


def test_what_has_no_slope_or_no_rule_is_not_trained_for(tmp_path: Path, rng: np.random.Generator) -> None:
    model = dense(tmp_path / "model.nir", rng)
    data = samples(read_network(model)[0])
    with pytest.raises(DeployError, match="training cannot use the earliest spike"):
        finetune(model, data, "loihi2", decide="first", training=SHORT)
    two = replace(data, labels=data.labels % 2)  # type: ignore[operator]
    with pytest.raises(DeployError, match=r"decide count,output=lif2 or decide count,groups=2,output=lif2"):
        finetune(model, two, "loihi2", training=SHORT)


def test_biases_of_currents_that_spikes_clear_stay_with_their_source() -> None:
    rule = NeuronRule(reset_currents=True)
    population = Population("a", (3,), rule, np.float32(0.0), np.float32(1.0), np.float32(0.5))
    weight = np.random.default_rng(1).normal(0, 1, (3, 5)).astype(np.float32)
    op = Linear(weight, np.array([0.1, -0.2, 0.3], np.float32), name="fc")
    network = Network({"in": (5,)}, (population,), (Projection("in", "a", (op,)),), ("a",), 1e-3, "snntorch")
    began = begin(network, "loihi2")
    latents = make_latents(began)
    assert [w.node for w in latents.weights] == ["fc"]
    assert not latents.biases
    program, _ = began.compiled(latents.tuned(network), latents.program(began.program), ("fc",))
    for ours, theirs in zip(program.projections, began.program.projections, strict=True):
        np.testing.assert_array_equal(ours.weight, theirs.weight)
    np.testing.assert_array_equal(program.population("a").bias_mantissa, 0)
