"""Files of the frameworks' own exporters, each option off its default: read to every spike, or asked about, or refused.

Nobody is asked in vain: the answers that make a file right are those that its question asks for, and what no answer
restores is refused with the way out. No reading that passes is wrong.

The five frameworks run here. spyx needs jax, and has an environment of its own: ``tools/golden_frameworks.py`` ran it.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from neurodeploy.backends.reference.backend import Reference
from neurodeploy.errors import DeployError
from neurodeploy.importers.dialects import MODULES
from neurodeploy.importers.losses import LOSSES, Loss
from neurodeploy.importers.lower import read_network
from neurodeploy.ir.run_options import RunOptions
from tests.conftest import ROOT

torch = pytest.importorskip("torch", reason="torch is not installed")

T, B, N_IN, N_HIDDEN, N_OUT = 40, 3, 6, 8, 5
IMAGE = (2, 6, 6)
Exported = tuple[Any, np.ndarray]
"""The graph of the framework's own exporter, and what the framework itself gives, ``[T, B, *shape]``."""


@dataclass(frozen=True)
class Case:
    """One model. dialect: its framework's, perhaps with answers for single nodes. export: makes it.

    answers: what is true of it, beside the defaults. lost: a key that no answer restores. shape: of one step's input.
    worth: of a spike of the output. option: which one is off, where the table has several under one key.
    """

    dialect: str
    export: Callable[[np.ndarray], Exported]
    answers: dict[str, str] = field(default_factory=dict)
    lost: str | None = None
    shape: tuple[int, ...] = (N_IN,)
    worth: float = 1.0
    option: str = ""


def layer(n_in: int, n_out: int, gain: float) -> Any:
    """A layer of weights that make neurons fire."""
    linear = torch.nn.Linear(n_in, n_out)
    linear.weight.data *= gain
    return linear


def stepwise(model: Any, x: np.ndarray) -> np.ndarray:
    """Return what a model that holds its own state gives, step by step."""
    return np.stack([model(torch.tensor(row)).detach().numpy() for row in x])


def snntorch(
    kind: str, scale: float = 3.0, beta: tuple[float, float] = (0.7, 0.95), **options: Any
) -> Callable[[np.ndarray], Exported]:
    def export(x: np.ndarray) -> Exported:
        import snntorch as snn
        from snntorch import utils
        from snntorch.export_nir import export_to_nir

        layers: list[Any] = []
        for n_in, n_out in ((N_IN, N_HIDDEN), (N_HIDDEN, N_OUT)):
            given: dict[str, Any] = {"beta": torch.linspace(*beta, n_out), "threshold": torch.linspace(0.8, 1.2, n_out)}
            if "Synaptic" in kind:
                given["alpha"] = torch.linspace(0.3, 0.6, n_out)
            if kind.startswith("R"):
                given["linear_features"] = n_out
            layers += [layer(n_in, n_out, scale), getattr(snn, kind)(**{**given, "init_hidden": True, **options})]
        model = torch.nn.Sequential(*layers)
        utils.reset(model)
        expected = stepwise(model, x)
        utils.reset(model)
        return export_to_nir(model, torch.zeros(1, N_IN), ignore_dims=[0]), expected

    return export


def snntorch_image(**options: Any) -> Callable[[np.ndarray], Exported]:
    """A convolution and a pool of 3 x 3, whose padding changes no shape."""

    def export(x: np.ndarray) -> Exported:
        import snntorch as snn
        from snntorch import utils
        from snntorch.export_nir import export_to_nir

        conv = {key: value for key, value in options.items() if key == "padding_mode"}
        pool = {key: value for key, value in options.items() if key not in conv}
        shape = (3, 6, 6)
        leaky = snn.Leaky(beta=torch.full(shape, 0.8), threshold=torch.full(shape, 0.5), init_hidden=True)
        last = snn.Leaky(beta=torch.full((N_OUT,), 0.9), threshold=torch.ones(N_OUT), init_hidden=True)
        layers = (
            torch.nn.Conv2d(2, 3, 3, padding=1, **conv), leaky, torch.nn.AvgPool2d(3, 3, **pool), torch.nn.Flatten(),
            layer(12, N_OUT, 6.0), last,
        )  # fmt: skip
        model = torch.nn.Sequential(*layers)
        utils.reset(model)
        expected = stepwise(model, x)
        utils.reset(model)
        return export_to_nir(model, torch.zeros(1, *IMAGE), ignore_dims=[0]), expected

    return export


def norse(
    kind: str, scale: float = 8.0, dt: float = 1e-3, to_nir: dict[str, float] | None = None, **options: Any
) -> Callable[[np.ndarray], Exported]:
    def export(x: np.ndarray) -> Exported:
        import norse.torch as norse
        from norse.torch.functional import iaf, lif, lif_box, reset
        from norse.torch.utils.export_nir import to_nir as export_norse

        parameters = {
            "LIFCell": lif.LIFParameters,
            "LIFBoxCell": lif_box.LIFBoxParameters,
            "IAFCell": iaf.IAFParameters,
        }
        layers: list[Any] = []
        for n_in, n_out in ((N_IN, N_HIDDEN), (N_HIDDEN, N_OUT)):
            given: dict[str, Any] = {"v_th": torch.linspace(0.25, 0.35, n_out)}
            if kind != "IAFCell":
                given |= {"tau_mem_inv": torch.linspace(80, 120, n_out), "v_leak": torch.zeros(n_out)}
            given |= {key: torch.full((n_out,), v) for key, v in options.items() if isinstance(v, float)}
            if options.get("reset_method") == "subtract":
                given["reset_method"] = reset.reset_subtract
            cell = getattr(norse, kind)
            layers.append(layer(n_in, n_out, scale))
            layers.append(cell(parameters[kind](**given), **({} if kind == "IAFCell" else {"dt": dt})))
            if kind == "LIFCell":
                layers[-1].p = layers[-1].p._replace(tau_syn_inv=torch.full((n_out,), 200.0))
        model, state, rows = norse.SequentialState(*layers), None, []
        for row in x:
            out, state = model(torch.tensor(row), state)
            rows.append(out.detach().numpy())
        return export_norse(model, torch.zeros(N_IN), **(to_nir or {})), np.stack(rows)

    return export


def norse_image(**options: Any) -> Callable[[np.ndarray], Exported]:
    """A convolution whose padding changes no shape."""

    def export(x: np.ndarray) -> Exported:
        import norse.torch as norse
        from norse.torch.functional import lif_box
        from norse.torch.utils.export_nir import to_nir as export_norse

        shape = (3, *IMAGE[1:])
        values = {"v_th": torch.full(shape, 0.3), "tau_mem_inv": torch.full(shape, 100.0), "v_leak": torch.zeros(shape)}
        conv = torch.nn.Conv2d(2, 3, 3, padding=1, **options)
        conv.weight.data *= 8.0
        model, state, rows = norse.SequentialState(conv, norse.LIFBoxCell(lif_box.LIFBoxParameters(**values))), None, []
        for row in x:
            out, state = model(torch.tensor(row), state)
            rows.append(out.detach().numpy())
        return export_norse(model, torch.zeros(IMAGE)), np.stack(rows)

    return export


def sinabs_image(**options: Any) -> Callable[[np.ndarray], Exported]:
    """A pool, whose padding changes the neurons' shape, or a convolution, whose padding does not."""

    def export(x: np.ndarray) -> Exported:
        import sinabs.layers as sl
        from sinabs.nir import to_nir

        pools = "ceil_mode" in options
        first = sl.SumPool2d(4, **options) if pools else torch.nn.Conv2d(2, 3, 3, padding=1, **options)
        model = torch.nn.Sequential(first, sl.IAFSqueeze(batch_size=B))
        steps = torch.tensor(x).transpose(0, 1).flatten(0, 1)
        out = model(steps).detach().numpy()
        return to_nir(model, torch.zeros(len(steps), *IMAGE)), out.reshape(B, T, *out.shape[1:]).swapaxes(0, 1)

    return export


def sinabs(kind: str, scale: float = 5.0, **options: Any) -> Callable[[np.ndarray], Exported]:
    def export(x: np.ndarray) -> Exported:
        import sinabs as package
        import sinabs.layers as sl
        from sinabs import activation
        from sinabs.nir import to_nir

        made = {
            key: eval(value, {**vars(activation)}) if isinstance(value, str) else value
            for key, value in options.items()
        }
        gain = scale * (4 if kind == "LIF" and made.get("norm_input", True) else 1)
        layers: list[Any] = []
        for n_in, n_out in ((N_IN, N_HIDDEN), (N_HIDDEN, N_OUT)):
            given: dict[str, Any] = {} if kind == "ExpLeak" else {"spike_threshold": torch.linspace(0.9, 1.1, n_out)}
            if kind != "IAF":
                given["tau_mem"] = torch.linspace(10, 30, n_out)
            if "tau_syn" in made and kind != "IAF":
                given["tau_syn"] = torch.full((n_out,), made["tau_syn"])
            layers += [layer(n_in, n_out, gain), getattr(sl, kind)(**{**made, **given})]
        model = torch.nn.Sequential(*layers)
        expected = model(torch.tensor(x).transpose(0, 1)).transpose(0, 1).detach().numpy()
        package.reset_states(model)
        return to_nir(model, torch.zeros(1, 1, N_IN)), expected

    return export


def rockpool(
    kind: str = "LIFTorch", scale: float = 1.5, bias: Any = 0.0, **options: Any
) -> Callable[[np.ndarray], Exported]:
    def export(x: np.ndarray) -> Exported:
        import rockpool.nn.modules as rm
        from rockpool.nn.combinators import Sequential

        layers: list[Any] = []
        for n_in, n_out in ((N_IN, N_HIDDEN), (N_HIDDEN, N_OUT)):
            linear = rm.LinearTorch((n_in, n_out), has_bias=False)
            linear.weight.data *= scale
            given: dict[str, Any] = {
                "tau_mem": torch.linspace(0.01, 0.03, n_out), "threshold": torch.linspace(0.8, 1.2, n_out),
                "bias": torch.linspace(0.0, bias, n_out), "dt": 1e-3,
            }  # fmt: skip
            if kind == "LIFTorch":
                given["tau_syn"] = torch.full((n_out,), 0.01)
            layers += [linear, getattr(rm, kind)((n_out,), **{**given, **options})]
        model = Sequential(*layers)
        expected = model(torch.tensor(x).transpose(0, 1))[0].transpose(0, 1).detach().numpy()
        model.reset_state()
        return rm.to_nir(model, torch.zeros(N_IN)), expected

    return export


def spikingjelly(
    kind: str, scale: float = 6.0, dt: float | None = None, **options: Any
) -> Callable[[np.ndarray], Exported]:
    def export(x: np.ndarray) -> Exported:
        from spikingjelly.activation_based import functional, neuron, nir_exchange

        layers: list[Any] = []
        for n_in, n_out in ((N_IN, N_HIDDEN), (N_HIDDEN, N_OUT)):
            layers += [layer(n_in, n_out, scale), getattr(neuron, kind)(**options)]
        model = torch.nn.Sequential(*layers)
        functional.reset_net(model)
        expected = stepwise(model, x)
        functional.reset_net(model)
        return nir_exchange.export_to_nir(model, torch.zeros(1, N_IN), **({} if dt is None else {"dt": dt})), expected

    return export


def quarters(v: Any) -> Any:
    """Quantise a state."""
    return torch.round(v * 4) / 4


OTHER = {"layers": "other"}


def _cases() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    late = {"reset_delay": "false"}
    for kind in ("Leaky", "Synaptic", "RLeaky", "RSynaptic"):
        cases |= {
            f"snntorch-{kind}": Case("snntorch", snntorch(kind)),
            f"snntorch-{kind}-zero": Case("snntorch", snntorch(kind, reset_mechanism="zero"), {"reset": "zero"}),
            f"snntorch-{kind}-none": Case("snntorch", snntorch(kind, 0.7, reset_mechanism="none"), {"reset": "none"}),
            f"snntorch-{kind}-inhibition": Case(
                "snntorch", snntorch(kind, inhibition=True), {"inhibition": "true"}, "inhibition"
            ),
            f"snntorch-{kind}-quant": Case(
                "snntorch", snntorch(kind, state_quant=quarters), {"state_quant": "true"}, "state_quant"
            ),
        }
        if kind == "RSynaptic":  # snnTorch's own forward fails without reset_delay
            continue
        cases |= {
            f"snntorch-{kind}-same-step": Case("snntorch", snntorch(kind, reset_delay=False), late),
            f"snntorch-{kind}-same-step-zero": Case(
                "snntorch", snntorch(kind, reset_delay=False, reset_mechanism="zero"), {"reset": "zero", **late}
            ),
        }
    cases |= {
        "snntorch-graded": Case("snntorch", snntorch("Leaky", graded_spikes_factor=0.5), {"graded": "0.5"}, worth=0.5),
        "snntorch-beta-above-1": Case("snntorch", snntorch("Leaky", 0.5, beta=(0.9, 1.02))),
        "snntorch-image": Case("snntorch", snntorch_image(), shape=IMAGE),
        "snntorch-image-circular": Case(
            "snntorch", snntorch_image(padding_mode="circular"), OTHER, "layers", IMAGE, option="padding_mode"
        ),
        "snntorch-image-pool-padding": Case(
            "snntorch", snntorch_image(padding=1), OTHER, "layers", IMAGE, option="padding"
        ),
        "snntorch-image-divisor": Case(
            "snntorch", snntorch_image(divisor_override=3), OTHER, "layers", IMAGE, option="divisor_override"
        ),
    }
    slow = {"dt": "0.0001"}
    for kind in ("LIFCell", "LIFBoxCell"):
        cases |= {
            f"norse-{kind}": Case("norse", norse(kind)),
            f"norse-{kind}-v-reset": Case("norse", norse(kind, v_reset=-0.2), {"v_reset": "-0.2"}),
            f"norse-{kind}-v-leak": Case("norse", norse(kind, v_leak=0.1)),
            f"norse-{kind}-dt": Case("norse", norse(kind, 30.0, dt=1e-4), slow),
            f"norse-{kind}-export-1": Case("norse", norse(kind, to_nir={"dt": 1.0}), {"tau_scale": "1"}),
            f"norse-{kind}-export-1e-4": Case(
                "norse", norse(kind, 30.0, dt=1e-4, to_nir={"dt": 1e-4}), {**slow, "tau_scale": "10000"}
            ),
            f"norse-{kind}-slow": Case("norse", norse(kind, 50.0, tau_mem_inv=10.0)),
        }
    cases |= {
        "norse-LIFBoxCell-subtract": Case("norse", norse("LIFBoxCell", reset_method="subtract"), {"reset": "subtract"}),
        "norse-image": Case("norse", norse_image(), shape=IMAGE),
        "norse-image-circular": Case(
            "norse", norse_image(padding_mode="circular"), OTHER, "layers", IMAGE, option="padding_mode"
        ),
        "norse-IAFCell": Case("norse", norse("IAFCell", 2.0)),
        "norse-IAFCell-v-reset": Case("norse", norse("IAFCell", 2.0, v_reset=-0.3), {"v_reset": "-0.3"}),
    }
    for kind in ("IAF", "LIF"):
        cases |= {
            f"sinabs-{kind}": Case("sinabs", sinabs(kind)),
            f"sinabs-{kind}-single": Case("sinabs", sinabs(kind, spike_fn="SingleSpike"), {"max_spikes": "1"}),
            f"sinabs-{kind}-max": Case("sinabs", sinabs(kind, spike_fn="MaxSpike(2)"), {"max_spikes": "2"}),
            f"sinabs-{kind}-zero": Case("sinabs", sinabs(kind, reset_fn="MembraneReset()"), {"reset": "zero"}),
            f"sinabs-{kind}-value": Case(
                "sinabs", sinabs(kind, reset_fn="MembraneReset(-0.2)"), {"reset": "value", "v_reset": "-0.2"}, "v_reset"
            ),
            f"sinabs-{kind}-subtract-value": Case(
                "sinabs", sinabs(kind, reset_fn="MembraneSubtract(0.5)"), {"subtract_value": "0.5"}, "subtract_value"
            ),
            f"sinabs-{kind}-floor": Case("sinabs", sinabs(kind, min_v_mem=-0.3), {"min_v_mem": "-0.3"}),
            f"sinabs-{kind}-tau-syn": Case("sinabs", sinabs(kind, tau_syn=3.0), {"tau_syn": "3"}),
        }
    cases |= {
        "sinabs-image": Case("sinabs", sinabs_image(), shape=IMAGE),
        "sinabs-image-circular": Case(
            "sinabs", sinabs_image(padding_mode="circular"), OTHER, "layers", IMAGE, option="padding_mode"
        ),
        "sinabs-image-ceil": Case("sinabs", sinabs_image(ceil_mode=True), OTHER, "layers", IMAGE, option="ceil_mode"),
        "sinabs-LIF-unscaled": Case("sinabs", sinabs("LIF", 2.0, norm_input=False), {"norm_input": "false"}),
        "sinabs-LIF-unscaled-tau-syn": Case(
            "sinabs", sinabs("LIF", 2.0, norm_input=False, tau_syn=3.0), {"norm_input": "false", "tau_syn": "3"}
        ),
        "sinabs-ExpLeak": Case("sinabs", sinabs("ExpLeak")),
        "sinabs-ExpLeak-scaled": Case("sinabs", sinabs("ExpLeak", norm_input=True), {"norm_input": "true"}),
        "sinabs-ExpLeak-floor": Case("sinabs", sinabs("ExpLeak", min_v_mem=-0.1), {"min_v_mem": "-0.1"}, "min_v_mem"),
        "rockpool-LIF": Case("rockpool", rockpool()),
        "rockpool-LIF-bias": Case("rockpool", rockpool(bias=0.2), {"bias": "@"}),
        "rockpool-LIF-spikes": Case("rockpool", rockpool(scale=4.0, max_spikes_per_dt=1), {"max_spikes": "1"}),
        "rockpool-LIF-recurrent": Case("rockpool", rockpool(has_rec=True), {"w_rec": "there"}, "w_rec"),
        "rockpool-LIF-noise": Case("rockpool", rockpool(noise_std=5.0), {"noise_std": "5"}, "noise_std"),
        "rockpool-LIF-dt": Case("rockpool", rockpool(scale=0.5, dt=1e-4)),
        "rockpool-LIFNeuron": Case("rockpool", rockpool("LIFNeuronTorch")),
        "rockpool-LIFNeuron-bias": Case("rockpool", rockpool("LIFNeuronTorch", bias=0.2), {"bias": "@"}),
        "rockpool-LIFNeuron-spikes": Case(
            "rockpool", rockpool("LIFNeuronTorch", 4.0, max_spikes_per_dt=1), {"max_spikes": "1"}
        ),
        "rockpool-LIFNeuron-dt": Case("rockpool", rockpool("LIFNeuronTorch", dt=2e-3)),
    }
    for kind, given in (("IFNode", {}), ("LIFNode", {"tau": 4.0}), ("ParametricLIFNode", {"init_tau": 3.0}),
                        ("CUBALIFNode", {"c_decay": 0.4, "v_decay": 0.8})):  # fmt: skip
        hidden = kind in ("LIFNode", "ParametricLIFNode")
        cases |= {
            f"spikingjelly-{kind}": Case("spikingjelly", spikingjelly(kind, **given)),
            f"spikingjelly-{kind}-dt": Case(
                "spikingjelly", spikingjelly(kind, dt=1e-3, **given), {"dt": "1e-3"} if hidden else {}
            ),
            f"spikingjelly-{kind}-dt-odd": Case(
                "spikingjelly", spikingjelly(kind, dt=1 / 30, **given), {"dt": repr(1 / 30)} if hidden else {}
            ),
            f"spikingjelly-{kind}-v-reset": Case("spikingjelly", spikingjelly(kind, v_reset=-0.2, **given)),
            f"spikingjelly-{kind}-threshold": Case("spikingjelly", spikingjelly(kind, v_threshold=0.6, **given)),
        }
        if hidden:
            cases[f"spikingjelly-{kind}-unscaled"] = Case(
                "spikingjelly", spikingjelly(kind, 3.0, dt=1e-3, decay_input=False, **given)
            )
    return cases


CASES = _cases()


def write(graph: Any, path: Path) -> None:
    """Write a graph as its exporter made it; tensors that it left in, and single values, become arrays."""
    if any(node.__class__.__name__ in ("Conv2d", "Flatten") for node in graph.nodes.values()):
        graph.infer_types()
    for node in graph.nodes.values():
        for key, value in vars(node).items():
            if hasattr(value, "detach"):
                setattr(node, key, value.detach().numpy())
    nir.write(str(path), graph)


@pytest.fixture
def exported(case: Case, tmp_path: Path) -> tuple[Path, np.ndarray, np.ndarray]:
    """The case's file, the input, and what the framework gives."""
    framework = case.dialect.partition(",")[0]
    pytest.importorskip(framework, reason=f"{framework} is not installed")
    x = (np.random.default_rng(11).random((T, B, *case.shape)) < 0.4).astype(np.float32)
    torch.manual_seed(4)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        graph, expected = case.export(x)
        write(graph, tmp_path / "own.nir")
    return tmp_path / "own.nir", x, expected / case.worth


def answered(path: Path, case: Case, answers: dict[str, str]) -> Any:
    """Read a file, with each question answered by what is true of the model, and by the default where that is true."""
    option = case.dialect
    for _ in range(3):
        try:
            return read_network(path, option)[0]
        except DeployError as error:
            asked = re.search(r"--dialect (\S+)", error.fix)
            if "the file does not say its" not in error.what or asked is None:
                raise
            for item in asked.group(1).split(",")[1:]:
                key, _, default = item.partition("=")
                option += f",{key}={answers.get(key.rpartition(':')[2], default)}"
    raise AssertionError(f"it still asks: {option}")


def gives(network: Any, x: np.ndarray) -> np.ndarray:
    """Return what a network's output gives, spikes or values."""
    inputs = {name: x.reshape(*x.shape[:2], *shape) for name, shape in network.inputs.items()}
    observed = Reference().run(network, inputs, RunOptions()).nodes[network.outputs[0]]
    return np.asarray(observed.get("spikes", observed.get("value")))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_own_files_are_read_right_or_asked_about(
    case: Case, exported: tuple[Path, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    path, x, expected = exported
    assert expected.any()
    answers = dict(case.answers)
    if answers.get("bias") == "@":
        pytest.importorskip("rockpool")
        ends = {"1_": N_HIDDEN, "3_": N_OUT}
        for name, n in ends.items():
            np.save(tmp_path / f"{name}.npy", np.linspace(0.0, 0.2, n, dtype=np.float32))
        answers["bias"] = "0"
        kind = (
            "LIFTorch" if "LIFTorch" in str(sorted(nir.read(str(path), type_check=False).nodes)) else "LIFNeuronTorch"
        )
        case = Case(
            case.dialect + "".join(f",{name}{kind}:bias=@{tmp_path / f'{name}.npy'}" for name in ends), case.export
        )
    check_unasked(path, x, expected)
    if case.lost is not None:
        with pytest.raises(DeployError, match="the file does not hold") as caught:
            answered(path, case, answers)
        assert "neurodeploy export" in caught.value.fix
        return
    assert_gives(answered(path, case, answers), x, expected)


SWEPT = ROOT / "tests" / "golden" / "spyx-sweep.npz"
"""spyx's files, each option off its default, with what spyx gave."""


def spyx_cases() -> dict[str, Any]:
    """Return what is true of each of spyx's files."""
    with np.load(SWEPT) as archive:
        return dict(json.loads(str(archive["meta"]))["cases"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", spyx_cases())
def test_spyxs_own_files_are_read_right_or_asked_about(name: str, tmp_path: Path) -> None:
    told, path = spyx_cases()[name], tmp_path / "own.nir"
    with np.load(SWEPT) as archive:
        model, x, expected = (archive[f"{name}/{key}"] for key in ("model", "x", "expected"))
    path.write_bytes(model.tobytes())
    case = Case("spyx", lambda _: (None, expected))
    check_unasked(path, x, expected)
    if told["lost"] or told["is_refused"]:
        with pytest.raises(DeployError, match=r"the file does not (hold|say)") as caught:
            answered(path, case, told["answers"])
        assert re.search("Train|Put", caught.value.fix)
        return
    assert_gives(answered(path, case, told["answers"]), x, expected)


ENTRIES = [
    (name, loss, option) for name, losses in LOSSES.items() for loss in losses for option in loss.option.split(", ")
]


@pytest.mark.parametrize(("name", "loss", "option"), ENTRIES, ids=lambda value: getattr(value, "key", value))
def test_every_entry_of_the_table_has_a_file_off_its_default(name: str, loss: Loss, option: str) -> None:
    """The second word of a case's name is its module, which tells entries apart that have one key."""
    modules = {MODULES.get((name, kind), kind) for kind in loss.kinds}
    several = sum(other.key == loss.key for other in LOSSES[name]) > 1

    def is_off(case: str, answers: dict[str, str], which: str) -> bool:
        if answers.get(loss.key, loss.default) == loss.default:
            return False
        if several and case.split("-")[1] not in modules:
            return False
        return "," not in loss.option or which == option

    told = {
        **{case: (of.answers, of.option) for case, of in CASES.items() if of.dialect == name},
        **{f"spyx-{case}": (of["answers"], of["option"]) for case, of in spyx_cases().items() if name == "spyx"},
    }
    assert any(is_off(case, *of) for case, of in told.items()), f"no file with another {option}"


def test_the_sweep_has_sixty_files_and_more() -> None:
    assert len(CASES) + len(spyx_cases()) >= 60
    assert len(spyx_cases()) >= 39


def check_unasked(path: Path, x: np.ndarray, expected: np.ndarray) -> None:
    """Check that a file that is read without any question is read right."""
    try:
        network = read_network(path)[0]
    except DeployError:
        return
    assert_gives(network, x, expected)


def assert_gives(network: Any, x: np.ndarray, expected: np.ndarray) -> None:
    """Check a network's output: spikes exactly, values but for rounding."""
    got = gives(network, x).reshape(expected.shape)
    if got.dtype.kind == "f":
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(got, expected)
