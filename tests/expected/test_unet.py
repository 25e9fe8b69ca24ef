"""The published network against the published code: every option, every stage."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from terradelta.errors import ConfigError, InputError
from terradelta.expected.conditions import GROUPS, vector_names
from terradelta.expected.inputs import Expected
from terradelta.expected.networks.losses import forest_weighted, mse, similarity
from terradelta.expected.networks.registry import NETWORKS, build_network
from terradelta.expected.networks.unet import UNet
from terradelta.expected.networks.unet_config import Convolution, Stage, UNetConfig
from terradelta.expected.networks.unet_keras import keras_arrays, keras_names, load_keras_arrays
from terradelta.expected.networks.unet_layers import Normalisation, ResidualBlock, SameConv, SameTransposed

_FILE = Path(__file__).with_name("published_networks.py")
_SPEC = importlib.util.spec_from_file_location("published_networks", _FILE)
published: Any = sys.modules.setdefault("published_networks", importlib.util.module_from_spec(_SPEC))  # type: ignore[arg-type]
_SPEC.loader.exec_module(published)  # type: ignore[union-attr]

NARROW = [
    "narrow_t",
    "narrow_t_skips_10110101",
    "narrow_t_no_weather",
    "narrow_t_no_precipitation",
    "variant_r",
]
FULL = ["full_code_default", "full_paper_table1"]
OUTPUT, STAGE, LOSS, LAYER = 3e-5, 1e-4, 1e-6, 1e-5
ALL = slice(None)
CUTS = {
    "strided8": (slice(0, None, 8), slice(0, None, 8)),
    "patch": (slice(224, 288), slice(224, 288)),
    "row0": (0, ALL),
    "row511": (511, ALL),
    "col0": (ALL, 0),
    "col511": (ALL, 511),
}


def _last(x: Tensor) -> NDArray[np.float32]:
    """Channels last, as Keras has them."""
    return x.detach().movedim(1, -1).numpy()


def _first(x: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.moveaxis(x, -1, 1).copy())


def _statistics(y: NDArray[np.float32]) -> NDArray[np.float64]:
    y = y.astype(np.float64)
    axes = (1, 2)
    parts = [y.mean(axes), y.std(axes), y.min(axes), y.max(axes), (y**2).sum(axes)]
    return np.stack(parts, axis=-1)


def _tapped(net: UNet) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, given, out: seen.update({name: out})

    for kind in ("down", "up"):
        for number, stage in enumerate(getattr(net, kind)):
            stage.register_forward_hook(keep(f"{kind}{number}"))
    return seen


def _count(net: nn.Module, *, all_values: bool = False) -> int:
    parts = list(net.parameters())
    if all_values:
        parts += [one for name, one in net.named_buffers() if "running" in name]
    return sum(part.numel() for part in parts)


# forward passes


@pytest.mark.parametrize("name", [*NARROW, *FULL])
def test_forward_is_that_of_the_published_code(shared: Path, name: str) -> None:
    doc, expected = (
        published.document(shared, f"model_{name}"),
        published.arrays(shared, f"model_{name}_output"),
    )
    weights = published.weights_of(doc)
    total = sum(value.sum(dtype=np.float64) for value in weights.values())
    assert total == pytest.approx(doc["weights_sum_f64"], abs=1e-6 * doc["weights_abs_sum_f64"])
    net = published.network(doc, weights)
    assert list(keras_names(net)) == [each for each, _ in doc["weights"]]
    assert (_count(net), _count(net, all_values=True)) == (doc["n_trainable"], doc["n_total"])
    stack, vector, batch = published.published_batch(shared)
    seen = _tapped(net)
    with torch.inference_mode():
        mean = net.published(stack, vector[:, published.kept_of(shared, doc)])
    output = _last(mean)
    for cut, (rows, columns) in CUTS.items():
        np.testing.assert_allclose(output[:, rows, columns], expected[f"output_{cut}"], atol=OUTPUT, rtol=0)
    np.testing.assert_allclose(_statistics(output)[..., :4], expected["output_stats"][..., :4], atol=OUTPUT)
    np.testing.assert_allclose(_statistics(output)[..., 4], expected["output_stats"][..., 4], rtol=1e-5)
    _check_stages(seen, expected)
    _check_losses(mean, batch, doc["losses"])


def _check_stages(seen: dict[str, Tensor], expected: dict[str, NDArray[Any]]) -> None:
    names = {key.split("_")[0] for key in expected if key.startswith(("down", "up"))}
    assert len(names) in (9, 17)
    for name in names:
        y = _last(seen[name])
        step = max(1, y.shape[1] // 8)
        close = {"atol": STAGE * np.abs(y).max(), "rtol": 0}
        np.testing.assert_allclose(y[:, ::step, ::step, :8], expected[f"{name}_strided"], **close)
        corner = expected[f"{name}_corner"]
        np.testing.assert_allclose(y[:, -2:, -2:, : corner.shape[-1]], corner, **close)
        statistics = expected[f"{name}_stats"]
        np.testing.assert_allclose(_statistics(y)[:, : statistics.shape[1], :4], statistics[..., :4], **close)
    np.testing.assert_allclose(_last(seen["down8"])[:, 0, 0], expected["bottleneck"], **close)


def _check_losses(mean: Tensor, batch: Any, losses: dict[str, float]) -> None:
    expected = Expected(mean)
    assert mse(expected, batch).item() == pytest.approx(losses["mse"], abs=LOSS)
    for weight in (0.0, 0.1, 1.0):
        value = losses[f"forestmask_loss_scaler_{weight}"]
        assert forest_weighted(expected, batch, weight).item() == pytest.approx(value, abs=LOSS)
    value = losses["similarity_loss_scaler_1.0_eager"]
    assert similarity(expected, batch).item() == pytest.approx(value, abs=LOSS)


@pytest.mark.parametrize("name", ["narrow_t", "narrow_t_no_weather", "narrow_t_no_precipitation"])
def test_forward_sorts_images_and_conditions_as_published(shared: Path, name: str) -> None:
    doc = published.document(shared, f"model_{name}")
    net = published.network(doc)
    stack, vector, batch = published.published_batch(shared)
    with torch.inference_mode():
        by_hand = net.published(stack, vector[:, published.kept_of(shared, doc)])
        mean, sigma = net(batch.inputs)
    assert sigma is None
    assert torch.equal(mean, by_hand)


def test_missing_pixels_and_conditions_are_zeros() -> None:
    net = UNet(UNetConfig.tiny(8), images=2).eval()
    inputs = published.random_inputs(2, images=2, size=8)
    valid, known = torch.rand(inputs.valid.shape) > 0.3, torch.rand(inputs.known.shape) > 0.3
    holes = inputs._replace(
        images=inputs.images.masked_fill(~valid[:, :, None], torch.nan),
        conditions=inputs.conditions.masked_fill(~known, torch.nan),
    )
    zeros = inputs._replace(images=inputs.images * valid[:, :, None], conditions=inputs.conditions * known)
    with torch.inference_mode():
        assert torch.equal(net(holes._replace(valid=valid, known=known)).mean, net(zeros).mean)
        assert not torch.equal(net(zeros).mean, net(inputs).mean)


# counts, skips, conditions


def test_parameters_are_counted_as_published(shared: Path) -> None:
    counts = published.document(shared, "model_param_counts")["param_counts"]
    ablated = {
        f"narrow_t_no_{name}": UNetConfig.tiny(without=(ours,)) for name, ours in published.GROUPS.items()
    }
    cases = {
        "code_default": UNetConfig.code_default(),
        "paper_table1": UNetConfig.paper(),
        "code_default_no_weather": UNetConfig.code_default(weather=False),
        "narrow_t": UNetConfig.tiny(),
        "narrow_t_no_weather": UNetConfig.tiny(weather=False),
        **ablated,
    }
    assert cases.keys() == counts.keys() - {"variant_r"}
    for name, config in cases.items():
        with torch.device("meta"):
            net = UNet(config)
        assert _count(net) == counts[name]["trainable"], name
        assert _count(net, all_values=True) == counts[name]["total"], name


def test_presets_are_the_published_ones(shared: Path) -> None:
    presets = {"full_code_default": "code_default", "full_paper_table1": "paper", "narrow_t": "tiny"}
    for name, preset in presets.items():
        config = published.config_of(
            published.document(shared, f"model_{name}"), stochastic_depth_as_published=False
        )
        assert getattr(UNetConfig, preset)() == config


def test_every_skip_feeds_the_layer_that_it_fed(shared: Path) -> None:
    for case in published.document(shared, "model_param_counts")["skip_flags_narrow_t"]:
        flags = tuple(flag == "1" for flag in case["unet_skips"][1:])
        with torch.device("meta"):
            net = UNet(UNetConfig.tiny(skips=flags))
        channels = {f"up.{number}": stage.convt.in_channels for number, stage in enumerate(net.up)}
        assert {**channels, "last": net.last.in_channels} == case["in_channels"]
        assert _count(net, all_values=True) == case["total"]


def test_every_subset_of_conditions_is_the_published_one(shared: Path) -> None:
    kept = published.document(shared, "latent_index_sets")["kept_indices"]
    cases = {f"without_{name}": {"without": (ours,)} for name, ours in published.GROUPS.items()}
    cases["all"], cases["no_weather_data"] = {}, {"weather": False}
    cases["no_weather_data_and_ablation_temperature"] = {"weather": False, "without": ("temperature",)}
    assert cases.keys() == kept.keys()
    for name, changes in cases.items():
        net = UNet(UNetConfig.tiny(4, **changes))
        assert [vector_names().index(entry) for entry in net.entries] == kept[name], name
        assert net.requires == {entry.split("[")[0] for entry in net.entries}
    assert UNet(UNetConfig.tiny(4)).requires == set(GROUPS)


# single layers


def _layer(layer: Any, read: dict[str, NDArray[np.float32]], prefix: str) -> Any:
    state = {
        "weight": torch.from_numpy(read[f"{prefix}_kernel"].transpose(3, 2, 0, 1).copy()),
        "bias": torch.from_numpy(read[f"{prefix}_bias"]),
    }
    layer.load_state_dict(state)
    return layer


def test_convolutions_pad_and_crop_as_keras(shared: Path) -> None:
    read = published.arrays(shared, "layers")
    cases = [name.removesuffix("_y") for name in read if name.startswith("conv") and name.endswith("_y")]
    assert len(cases) == 17
    for case in cases:
        kind, _, kernel, stride, *small = case.split("_")
        x = _first(read["x2" if small else "x"])
        size = int(kernel[1:])
        layer = SameTransposed(3, 4, size) if kind == "convt" else SameConv(3, 4, size, int(stride[1:]))
        y = _last(_layer(layer, read, case)(x))
        np.testing.assert_allclose(y, read[f"{case}_y"], atol=LAYER, rtol=0, err_msg=case)


@pytest.mark.parametrize("case", ["n4_2x2", "n1_1x1", "n2_1x1"])
def test_normalisation_learns_as_keras(shared: Path, case: str) -> None:
    read = {
        key.removeprefix(f"bn_{case}_"): value
        for key, value in published.arrays(shared, "layers").items()
        if key.startswith(f"bn_{case}_")
    }
    norm = Normalisation(3)
    norm.load_state_dict(
        {"weight": torch.from_numpy(read["gamma"]), "bias": torch.from_numpy(read["beta"])}, strict=False
    )
    for number, step in enumerate("ab", start=1):
        y = norm(_first(read[f"x{step}"]))
        np.testing.assert_allclose(_last(y), read[f"train_y{step}"], atol=LAYER)
        np.testing.assert_allclose(norm.running_mean, read[f"mean{number}"], atol=LAYER)
        np.testing.assert_allclose(norm.running_var, read[f"var{number}"], atol=LAYER)
    np.testing.assert_allclose(_last(norm.eval()(_first(read["xa"]))), read["infer_ya"], atol=LAYER)


def test_gelu_is_exact(shared: Path) -> None:
    read = published.arrays(shared, "layers")
    y = nn.functional.gelu(torch.from_numpy(read["gelu_x"]))
    np.testing.assert_allclose(y, read["gelu_y"], atol=1e-6)


@pytest.mark.parametrize(("case", "filters"), [("identity", 3), ("project", 5)])
def test_residual_blocks_scale_the_shortcut_only_as_published(shared: Path, case: str, filters: int) -> None:
    prefix = f"res_{case}_"
    read = {
        key.removeprefix(prefix): value
        for key, value in published.arrays(shared, "layers").items()
        if key.startswith(prefix)
    }
    y = read.pop("infer_y_p0.7")
    block = ResidualBlock(3, Stage(filters, 3, "residual"), survival=0.7, as_published=True).eval()
    holder = UNet(UNetConfig.tiny(4))
    holder.front = nn.Sequential(block)
    names = {key: ours for key, ours in keras_names(holder).items() if key.startswith("frontend")}
    state = {
        ours.removeprefix("front.0."): torch.from_numpy(
            value.transpose(3, 2, 0, 1).copy() if value.ndim == 4 else value
        )
        for key, ours in names.items()
        for value in [read[key.removeprefix("frontend.0.")]]
    }
    block.load_state_dict(state, strict=False)
    x = _first(published.arrays(shared, "layers")["x"])
    np.testing.assert_allclose(_last(block(x)), y, atol=LAYER)
    scaled = block(x)
    block.as_published = False
    shortcut = x if block.conv4 is None else block.conv4(x)
    branch = scaled - 0.7 * shortcut
    torch.testing.assert_close(block(x), shortcut + 0.7 * branch)


def test_stochastic_depth_leaves_out_whole_branches() -> None:
    block = ResidualBlock(2, Stage(2, 3, "residual"), survival=0.75).train()
    for weight in (block.conv1.weight, block.conv2.weight, block.conv3.weight):
        nn.init.ones_(weight)
    x = torch.randn(1, 2, 4, 4).expand(2000, -1, -1, -1)
    torch.manual_seed(0)
    left_out = (block(x) == x).flatten(1).all(dim=1).float().mean().item()
    assert left_out == pytest.approx(0.25, abs=0.04)
    config = UNetConfig(
        (Stage(8, 4), Stage(8, 3, "residual"), Stage(8, 2, "residual")),
        (Stage(8, 3, "residual"), Stage(8, 3, "residual")),
        stochastic_depth=0.4,
    )
    net = UNet(config)
    survivals = [each.survival for each in net.modules() if isinstance(each, ResidualBlock)]
    assert survivals == pytest.approx([0.9, 0.8, 0.7, 0.6])


def test_dropout_is_in_the_first_decoder_stages_only() -> None:
    net = UNet(UNetConfig.tiny(32, dropout=0.5, dropout_stages=2))
    found = {name: each.p for name, each in net.named_modules() if isinstance(each, nn.Dropout)}
    assert found == {"up.0.dropout": 0.5, "up.1.dropout": 0.5}


def test_initial_weights_are_glorot_uniform_with_zero_bias() -> None:
    torch.manual_seed(0)
    net = UNet(UNetConfig.code_default(8))
    for layer in (net.down[1].conv, net.up[0].convt):
        fans = (layer.in_channels + layer.out_channels) * layer.kernel_size[0] ** 2
        limit = np.sqrt(6 / fans)
        assert layer.weight.abs().max().item() == pytest.approx(limit, rel=1e-3)
        assert layer.weight.std().item() == pytest.approx(limit / np.sqrt(3), rel=0.01)
        assert not layer.bias.any()


# weights of the published code


def test_weights_go_out_and_in() -> None:
    config = UNetConfig(
        (Stage(6, 3, "residual", 2), Stage(8, 3), Stage(8, 2)),
        (Stage(8, 3, "residual"), Stage(6, 5)),
        front=(Convolution(6),),
        back=(Convolution(4, 1),),
    )
    old, new = UNet(config).eval(), UNet(config).eval()
    for value in old.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 1)
    written = keras_arrays(old)
    assert written["up.1.convt.kernel"].shape == (5, 5, 6, 16)
    load_keras_arrays(new, written)
    assert all(torch.equal(value, new.state_dict()[name]) for name, value in old.state_dict().items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("last.bias"), "lack last.bias"),
        (lambda a: a.update({"up.9.bn.beta": 0}), "hold unknown up.9.bn.beta"),
        (lambda a: a.update({"down.0.conv.kernel": np.zeros((4, 4, 8, 8))}), "down.0.conv.kernel has shape"),
        (lambda a: a.update({"last.bias": [0, np.nan]}), "last.bias holds values that are not finite"),
        (lambda a: a.update({"last.bias": ["a", "b"]}), "last.bias holds no numbers"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    net = UNet(UNetConfig.tiny(8))
    arrays = {name: value.copy() for name, value in keras_arrays(net).items()}
    before = keras_arrays(net)["last.kernel"].copy()
    arrays["last.kernel"] += 1
    change(arrays)
    with pytest.raises(InputError, match=message):
        load_keras_arrays(net, arrays)
    assert np.array_equal(keras_arrays(net)["last.kernel"], before)


# configuration and bad input


def test_configurations_become_plain_values_and_back() -> None:
    import json

    config = UNetConfig.paper(
        64, front=(Convolution(8),), skips=(True, False, True, True), without=["satellite"]
    )
    again = UNetConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)
    assert UNetConfig.from_dict({"preset": "paper", "size": 64}) == UNetConfig.paper(64)
    assert set(NETWORKS) == {"unet", "conditioned"}
    assert build_network("unet", config.to_dict(), images=3).images == 3  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preset": "tiny", "size": 500}, "size is 500; give a power of two"),
        ({"preset": "huge"}, "no preset is called 'huge'"),
        ({"preset": "tiny", "skips": [True] * 8}, "8 skips are given; give 7"),
        ({"preset": "tiny", "kernels": 3}, "a network has no 'kernels'"),
        ({"preset": "tiny", "dropout": 1}, "dropout is 1"),
        ({"preset": "tiny", "stochastic_depth": "0.1"}, "stochastic_depth is '0.1'"),
        ({"preset": "tiny", "without": ["rain"]}, "without names 'rain'"),
        ({"preset": "tiny", "front": [{"kernel": 3}]}, "a part of front has no filters"),
        ({"preset": "tiny", "front": [3]}, "front holds 3"),
        ({"preset": "tiny", "back": [{"filters": 0}]}, "filters is 0"),
        ({"encoder": [{"filters": 8}] * 3}, "no encoder or no decoder"),
        ({"encoder": [{"filters": 8}] * 3, "decoder": [{"filters": 8}]}, "the decoder has 1 stages; give 2"),
        ({"encoder": [{"filters": 8}], "decoder": []}, "the encoder has 1 stages"),
        ({"encoder": [{"filters": 8, "kind": "t"}] * 2, "decoder": [{"filters": 8}]}, "no stage is 't'"),
        ({"encoder": [{"filters": 8, "blocks": 2}] * 2, "decoder": [{"filters": 8}]}, "a plain stage has 2"),
        ({"encoder": [{"filters": 8, "kernel": 1}] * 2, "decoder": [{"filters": 8}]}, "kernel is 1"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        UNetConfig.from_dict(values)


def test_unknown_networks_are_refused() -> None:
    with pytest.raises(ConfigError, match="no network is called 'vit'"):
        build_network("vit", {})
    with pytest.raises(ConfigError, match="images is 0"):
        UNet(UNetConfig.tiny(4), images=0)


def test_inputs_of_another_shape_are_refused() -> None:
    net = UNet(UNetConfig.tiny(8), images=2)
    with pytest.raises(InputError, match=r"reads \(batch, 5, 8, 8\)"):
        net(published.random_inputs(1, images=2, size=16))
    with pytest.raises(InputError, match="2 previous images"):
        net(published.random_inputs(1, images=3, size=8))
    inputs = published.random_inputs(1, images=2, size=8)
    with pytest.raises(InputError, match="conditions have shape"):
        net(inputs._replace(conditions=inputs.conditions[:, :2], known=inputs.known[:, :2]))
    with pytest.raises(InputError, match="the conditions have shape"):
        net.published(torch.zeros(1, 5, 8, 8), torch.zeros(1, 45))
