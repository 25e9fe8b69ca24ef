"""The transformer of others: against a slow version and its own output; weights from its wheel; chips."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pickle
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from terradelta.errors import InputError
from terradelta.expected.peers import PeerNetwork, Transformer, TransformerConfig, weight_sets
from terradelta.expected.peers.network import _our_name
from terradelta.expected.peers.transformer import logit

PUBLISHED = {
    "patch_size": 2, "input_size": 4, "data_dim": 8, "d_model": 6, "nhead": 3, "num_encoder_layers": 2,
    "dim_feedforward": 5, "max_seq_len": 4, "dropout": 0.2, "activation": "relu",
}  # fmt: skip
LARGEST = 1e-5


def published_weights(config: dict, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under the published names."""
    d, f, n = config["d_model"], config["dim_feedforward"], config["data_dim"]
    places = (config["input_size"] // config["patch_size"]) ** 2
    shapes = {
        "spatial_pos_embed": (1, 1, places, d), "temporal_pos_embed": (1, config["max_seq_len"], 1, d),
        "embedding.weight": (d, n), "embedding.bias": (d,),
    }  # fmt: skip
    for number in range(config["num_encoder_layers"]):
        layer = f"transformer_encoder.layers.{number}."
        shapes |= {
            f"{layer}self_attn.in_proj_weight": (3 * d, d), f"{layer}self_attn.in_proj_bias": (3 * d,),
            f"{layer}self_attn.out_proj.weight": (d, d), f"{layer}self_attn.out_proj.bias": (d,),
            f"{layer}linear1.weight": (f, d), f"{layer}linear1.bias": (f,),
            f"{layer}linear2.weight": (d, f), f"{layer}linear2.bias": (d,),
            f"{layer}norm1.weight": (d,), f"{layer}norm1.bias": (d,),
            f"{layer}norm2.weight": (d,), f"{layer}norm2.bias": (d,),
        }  # fmt: skip
    for head in ("mean_out", "logvar_out"):
        shapes |= {f"{head}.0.weight": (f, d), f"{head}.0.bias": (f,)}
        shapes |= {f"{head}.2.weight": (n, f), f"{head}.2.bias": (n,)}
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.5 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def save_set(folder: Path, name: str, *, wrapped: bool = False) -> None:
    place = folder / "distmetrics" / "model_data" / name
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps(PUBLISHED))
    weights = published_weights(PUBLISHED)
    torch.save({"epoch": 3, "model_state_dict": weights} if wrapped else weights, place / "weights.pth")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    save_set(folder, "one")
    save_set(folder, "two", wrapped=True)
    return folder


@pytest.fixture(scope="module")
def wheel(unpacked, tmp_path_factory):
    path = tmp_path_factory.mktemp("wheel") / "distmetrics-9.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        for each in sorted(unpacked.rglob("*")):
            if each.is_file():
                file.write(each, each.relative_to(unpacked).as_posix())
    return path


def slow_layer(tokens, weights, number, heads):
    """One encoder layer, token by token and head by head."""
    w = {
        name.split(f"layers.{number}.")[1]: value.double().numpy()
        for name, value in weights.items()
        if f"layers.{number}." in name
    }
    count, d = tokens.shape
    each = d // heads
    projected = tokens @ w["self_attn.in_proj_weight"].T + w["self_attn.in_proj_bias"]
    q, k, v = projected[:, :d], projected[:, d : 2 * d], projected[:, 2 * d :]
    joined = np.zeros((count, d))
    for head in range(heads):
        own = slice(head * each, (head + 1) * each)
        for i in range(count):
            similar = np.array([q[i, own] @ k[j, own] / np.sqrt(each) for j in range(count)])
            share = np.exp(similar) / np.exp(similar).sum()
            joined[i, own] = sum(share[j] * v[j, own] for j in range(count))
    attended = tokens + joined @ w["self_attn.out_proj.weight"].T + w["self_attn.out_proj.bias"]
    attended = slow_norm(attended, w["norm1.weight"], w["norm1.bias"])
    hidden = np.maximum(attended @ w["linear1.weight"].T + w["linear1.bias"], 0)
    return slow_norm(
        attended + hidden @ w["linear2.weight"].T + w["linear2.bias"], w["norm2.weight"], w["norm2.bias"]
    )


def slow_norm(values, weight, bias):
    mean, variance = values.mean(1, keepdims=True), values.var(1, keepdims=True)
    return (values - mean) / np.sqrt(variance + 1e-5) * weight + bias


def slow_network(chip, weights, config):
    """The whole network on one chip (time, band, y, x), in float64: mean and log-variance (band, y, x)."""
    w = {name: value.double().numpy() for name, value in weights.items()}
    dates, bands, size, _ = chip.shape
    patch = config["patch_size"]
    side, first = size // patch, config["max_seq_len"] - dates
    tokens = []
    for date in range(dates):
        for place in range(side * side):
            y, x = place // side * patch, place % side * patch
            numbers = chip[date, :, y : y + patch, x : x + patch].ravel()
            token = w["embedding.weight"] @ numbers + w["embedding.bias"]
            tokens.append(
                token + w["spatial_pos_embed"][0, 0, place] + w["temporal_pos_embed"][0, first + date, 0]
            )
    tokens = np.array(tokens)
    for number in range(config["num_encoder_layers"]):
        tokens = slow_layer(tokens, weights, number, config["nhead"])
    found = []
    for head in ("mean_out", "logvar_out"):
        hidden = np.maximum(tokens @ w[f"{head}.0.weight"].T + w[f"{head}.0.bias"], 0)
        numbers = (hidden @ w[f"{head}.2.weight"].T + w[f"{head}.2.bias"])[-side * side :]
        image = np.zeros((bands, size, size))
        for place in range(side * side):
            y, x = place // side * patch, place % side * patch
            image[:, y : y + patch, x : x + patch] = numbers[place].reshape(bands, patch, patch)
        found.append(image)
    return found


def slow_image(history, weights, config, stride):
    """All whole chips from the upper left corner on, averaged pixel by pixel."""
    values = np.clip(history.astype(np.float64), 1e-7, 0.99)
    values = np.log(values / (1 - values))
    missing = np.isnan(values).any(axis=(0, 1))
    values[np.isnan(values)] = 0
    _, bands, rows, columns = values.shape
    size = config["input_size"]
    total, count = np.zeros((2, bands, rows, columns)), np.zeros((rows, columns))
    for y in range(0, rows - size + 1, stride):
        for x in range(0, columns - size + 1, stride):
            both = slow_network(values[:, :, y : y + size, x : x + size], weights, config)
            total[:, :, y : y + size, x : x + size] += both
            count[y : y + size, x : x + size] += 1
    with np.errstate(invalid="ignore"):
        mean, log_variance = total / count
    mean[:, missing] = np.nan
    log_variance[:, missing] = np.nan
    return mean, np.exp(log_variance / 2)


def series(dates=3, rows=11, columns=13, seed=0):
    rng = np.random.default_rng(seed)
    return (0.1 * rng.gamma(4, 0.25, (dates, 2, rows, columns))).astype(np.float32)


def small() -> Transformer:
    network = PeerNetwork(TransformerConfig.from_published(PUBLISHED))
    network.load_published(published_weights(PUBLISHED))
    return Transformer(network, "small")


@pytest.mark.parametrize("dates", [1, 3, 4])
def test_the_network_equals_its_slow_version(dates):
    weights = published_weights(PUBLISHED)
    chips = np.random.default_rng(dates).normal(size=(2, dates, 2, 4, 4))
    found = small().network(torch.tensor(chips, dtype=torch.float32))
    for number, chip in enumerate(chips):
        for ours, slow in zip(found, slow_network(chip, weights, PUBLISHED), strict=True):
            np.testing.assert_allclose(ours[number].detach().numpy(), slow, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [4, 3, 1])
@pytest.mark.parametrize("memory", [1, 20_000, 64 * 2**20])
def test_an_image_equals_the_average_of_its_chips_whatever_the_batch(stride, memory):
    history = series()
    history[1, 0, 2, 5] = np.nan
    mean, sigma = small().expect(history, stride=stride, memory=memory)
    slow_mean, slow_sigma = slow_image(history, published_weights(PUBLISHED), PUBLISHED, stride)
    np.testing.assert_allclose(mean, slow_mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sigma, slow_sigma, rtol=1e-4, atol=1e-5)
    assert np.isnan(mean[:, 2, 5]).all() and mean.dtype == np.float32


def test_mirrored_rims_lose_no_pixel_and_leave_the_rest():
    history = series()
    history[0, 1, 6, 6] = np.nan
    one = small()
    published, whole = (one.expect(history, stride=4, edges=edges) for edges in ("published", "reflect"))
    assert np.isnan(published.mean[0]).sum() == 11 * 13 - 8 * 12 + 1
    assert np.argwhere(np.isnan(whole.mean[0])).tolist() == [[6, 6]]
    np.testing.assert_allclose(whole.mean[:, :8, :12], published.mean[:, :8, :12], rtol=1e-5, atol=1e-6)
    padded = np.pad(history, ((0, 0), (0, 0), (0, 1), (0, 3)), mode="reflect")
    slow = slow_image(padded, published_weights(PUBLISHED), PUBLISHED, 4)[0]
    np.testing.assert_allclose(whole.mean, slow[:, :11, :13], rtol=1e-4, atol=1e-5)


def test_an_image_smaller_than_a_chip():
    history = series(rows=3, columns=9)
    one = small()
    assert np.isnan(one.expect(history).mean).all()
    assert np.isfinite(one.expect(history, edges="reflect").sigma).all()


def test_only_the_last_images_count_and_the_distance_is_the_larger_one_of_the_bands():
    history, target = series(dates=7), series(dates=1, seed=1)[0]
    one = small()
    mean, sigma = one.expect(history[-4:], stride=2)
    np.testing.assert_array_equal(one.expect(history, stride=2).mean, mean)
    apart = np.abs(logit(target) - mean) / sigma
    np.testing.assert_array_equal(one.distance(target, history, stride=2), np.maximum(*apart))


def test_the_logit_is_clipped():
    values = logit(np.array([0.0, 1e-9, 0.25, 0.99, 5.0, np.nan]))
    expected = [np.log(1e-7), np.log(1e-7), np.log(1 / 3), np.log(99), np.log(99), np.nan]
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_weights_come_from_wheel_folder_and_installed_package(wheel, unpacked):
    history = series()
    expected = small().expect(history, stride=2).mean
    places = (wheel, wheel.parent, unpacked, unpacked / "distmetrics", unpacked / "distmetrics/model_data")
    for place in places:
        assert weight_sets(place) == ("one", "two")
        for name in ("one", "two"):
            found = Transformer.from_wheel(str(place), name)
            np.testing.assert_array_equal(found.expect(history, stride=2).mean, expected)


def test_what_is_missing_is_named_with_its_cure(wheel, tmp_path):
    with pytest.raises(InputError, match=r"no weight set is called 'x' in .*; there are one, two$"):
        Transformer.from_wheel(wheel, "x")
    cure = "pip download distmetrics --no-deps"
    with pytest.raises(InputError, match=f"nowhere.whl does not exist; .*{cure}"):
        Transformer.from_wheel(tmp_path / "nowhere.whl", "one")
    with pytest.raises(InputError, match=f"holds no weight set of distmetrics; .*{cure}"):
        weight_sets(tmp_path)
    (tmp_path / "text.whl").write_text("no zip")
    with pytest.raises(InputError, match=f"is no wheel; .*{cure}"):
        weight_sets(tmp_path / "text.whl")
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as file:
        file.writestr("other/__init__.py", "")
    with pytest.raises(InputError, match="holds no weight set"):
        weight_sets(tmp_path / "other.whl")


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_damaged_and_dangerous_weights_are_refused(tmp_path):
    save_set(tmp_path, "one")
    place = tmp_path / "distmetrics/model_data/one"
    whole = (place / "weights.pth").read_bytes()
    (place / "weights.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"'one' .* is damaged"):
        Transformer.from_wheel(tmp_path, "one")
    (place / "weights.pth").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(InputError, match="is damaged or no plain weights"):
        Transformer.from_wheel(tmp_path, "one")
    assert not (tmp_path / "sprung").exists()
    (place / "weights.pth").write_bytes(whole)
    (place / "config.json").write_text(json.dumps(PUBLISHED | {"d_model": 12}))
    with pytest.raises(InputError, match="not those of this transformer"):
        Transformer.from_wheel(tmp_path, "one")
    (place / "config.json").write_text(json.dumps({"d_model": 12}))
    with pytest.raises(InputError, match="lacks 'patch_size'"):
        Transformer.from_wheel(tmp_path, "one")


def test_bad_arguments_are_refused():
    one, history = small(), series()
    for stride in (0, 5):
        with pytest.raises(InputError, match=f"stride is {stride}; give 1 to 4"):
            one.expect(history, stride=stride)
    with pytest.raises(InputError, match="edges is 'zero'; give one of published, reflect"):
        one.expect(history, edges="zero")
    for wrong in (history[0], history[:, :1], history[:0]):
        with pytest.raises(InputError, match="VV first"):
            one.expect(wrong)
    with pytest.raises(InputError, match="do not fit"):
        one.distance(history[0, :, :5], history)
    with pytest.raises(InputError, match="patch must divide"):
        TransformerConfig(3, 4, 18, 6, 3, 1, 5, 4)
    with pytest.raises(InputError, match="activation is 'tanh'"):
        TransformerConfig(2, 4, 8, 6, 3, 1, 5, 4, "tanh")


def test_every_published_name_has_its_place():
    names = {_our_name(name) for name in published_weights(PUBLISHED)}
    assert names == set(PeerNetwork(TransformerConfig.from_published(PUBLISHED)).state_dict())


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """The published package's own network and inference, without the rest of the package."""
    named = os.environ.get("TERRADELTA_DISTMETRICS")
    if not named:
        pytest.skip("TERRADELTA_DISTMETRICS does not name the wheel of distmetrics or its unpacked folder")
    place = Path(named)
    if place.is_file():
        with zipfile.ZipFile(place) as file:
            place = tmp_path_factory.mktemp("distmetrics")
            file.extractall(place)
    package = types.ModuleType("distmetrics")
    package.__path__ = [str(place / "distmetrics" if (place / "distmetrics").is_dir() else place)]
    stand_ins = {"distmetrics": package, "distmetrics.mahalanobis": types.ModuleType("mahalanobis")}
    stand_ins["distmetrics.mahalanobis"]._transform_pre_arrs = lambda vv, vh: np.stack([vv, vh], axis=1)
    stand_ins |= _einops() if importlib.util.find_spec("einops") is None else {}
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        modules = [importlib.import_module(f"distmetrics.{name}") for name in ("tf_model", "tf_inference")]
        yield Path(package.__path__[0]), *modules
    finally:
        for name, module in before.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module


def _einops() -> dict[str, types.ModuleType]:
    """As much of einops as the published code needs."""
    einops, private = types.ModuleType("einops"), types.ModuleType("einops._torch_specific")
    private.allow_ops_in_compiled_graph = None
    einops.rearrange = rearrange
    return {"einops": einops, "einops._torch_specific": private}


def rearrange(values, pattern, **lengths):
    """Split axes, change their order, join them."""
    before, after = map(_axes, pattern.split("->"))
    for axes, length in zip(before, values.shape, strict=True):
        known = int(np.prod([lengths[name] for name in axes if name in lengths]))
        lengths |= {name: length // known for name in axes if name not in lengths}
    flat = [name for axes in before for name in axes]
    apart = values.reshape([lengths[name] for name in flat])
    turned = apart.permute([flat.index(name) for axes in after for name in axes])
    return turned.reshape([int(np.prod([lengths[name] for name in axes])) for axes in after])


def _axes(side):
    found, inside = [], None
    for word in side.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(":
            inside = []
        elif word == ")":
            found, inside = [*found, inside], None
        elif inside is not None:
            inside.append(word)
        else:
            found.append([word])
    return found


@pytest.mark.parametrize("stride", [16, 7, 4])
def test_all_published_weight_sets_give_the_published_output(theirs, stride):
    place, tf_model, tf_inference = theirs
    history = series(dates=10, rows=36, columns=33)
    history[3, 1, 20:22, 30] = np.nan
    logits = logit(history)
    names = weight_sets(place)
    assert len(names) == 9
    for name in names:
        config = json.loads((place / "model_data" / name / "config.json").read_text())
        network = tf_model.SpatioTemporalTransformer(**config).eval()
        stored = torch.load(place / "model_data" / name / "weights.pth", "cpu", weights_only=True)
        network.load_state_dict(stored.get("model_state_dict", stored))
        mean, sigma = tf_inference.estimate_normal_params(
            network, list(logits[:, 0]), list(logits[:, 1]), stride=stride, tqdm_enabled=False, device="cpu"
        )
        ours = Transformer.from_wheel(place, name).expect(history, stride=stride)
        np.testing.assert_allclose(ours.mean, mean, rtol=0, atol=LARGEST, err_msg=name)
        np.testing.assert_allclose(ours.sigma, sigma, rtol=LARGEST, atol=0, err_msg=name)
