"""The experiment against peers on a small simulated series with a made-up weight set."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import ndimage

from terradelta.errors import InputError
from terradelta.evaluate.opera.methods import METHODS, Case, Images, score_all
from terradelta.evaluate.opera.patches import Patch
from terradelta.evaluate.opera.protocol import Protocol, disc_mask, large_change, protocol_of
from terradelta.evaluate.peers import Plan, Task, TransformerPeer, measure, run, simulated_series
from terradelta.evaluate.peers import experiment as peers_experiment
from terradelta.evaluate.peers.cost import Cost
from terradelta.evaluate.peers.methods import transformer_peers
from terradelta.expected import RobustParameters
from terradelta.expected.peers import PeerNetwork, Transformer, TransformerConfig
from terradelta.expected.peers.transformer import logit
from terradelta.sar import to_db, to_linear
from terradelta.types import Size

SHAPE = {
    "patch_size": 4, "input_size": 16, "data_dim": 32, "d_model": 8, "nhead": 2, "num_encoder_layers": 1,
    "dim_feedforward": 8, "max_seq_len": 10, "dropout": 0.0, "activation": "relu",
}  # fmt: skip
THEIRS = {
    "layers.": "transformer_encoder.layers.", "attend.": "self_attn.in_proj_", "gather": "self_attn.out_proj",
    "widen": "linear1", "narrow": "linear2", "first": "norm1", "second": "norm2",
}  # fmt: skip
HEADS = {
    "mean.": "mean_out.",
    "log_variance.": "logvar_out.",
    "place": "spatial_pos_embed",
    "date": "temporal_pos_embed",
}


def published_name(name: str) -> str:
    for ours, theirs in THEIRS.items() if name.startswith("layers.") else HEADS.items():
        name = name.replace(ours, theirs)
    return name


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """An unpacked wheel with two weight sets of random weights."""
    folder = tmp_path_factory.mktemp("package")
    for seed, name in enumerate(("first", "second")):
        torch.manual_seed(seed)
        network = PeerNetwork(TransformerConfig.from_published(SHAPE))
        place = folder / "distmetrics/model_data" / name
        place.mkdir(parents=True)
        (place / "config.json").write_text(json.dumps(SHAPE))
        weights = {published_name(key): value for key, value in network.state_dict().items()}
        torch.save(weights, place / "weights.pth")
    return folder


@pytest.fixture(scope="module")
def small():
    return simulated_series(3, places=1, size=64)


def test_the_simulated_series_is_what_the_protocol_asks_for(small):
    stable, changed = small.patches
    protocol = small.protocol
    assert (
        (protocol.stable, protocol.changed)
        == ((stable.name,), changed.name)
        == (("simulated-3",), "simulated-4")
    )
    for patch in small.patches:
        assert patch.linear.shape == (30, 2, 64, 64) and np.isfinite(patch.linear).all()
        steps = np.diff(np.array(patch.days, "datetime64[D]")) / np.timedelta64(1, "D")
        assert (steps == 12).all()
        assert patch.rain in patch.wet and patch.days.index(patch.rain) in protocol.targets
    for target in protocol.targets:
        mask = disc_mask(protocol, stable.size, 0, 0, target, stable.allowed)
        assert ndimage.label(mask)[1] == protocol.discs and not (mask & ~stable.allowed).any()


def test_a_quarter_is_felled_on_the_day_of_the_first_target(small):
    patch = small.patches[1]
    changed, unchanged = large_change(patch, small.protocol)
    assert changed.mean() == 0.25 and (changed ^ unchanged).all()
    quiet = simulated_series(4, places=1, size=64).patches[0]
    before, after = slice(0, 20), slice(20, 30)
    np.testing.assert_array_equal(patch.linear[before], quiet.linear[before])
    np.testing.assert_array_equal(patch.linear[after][..., unchanged], quiet.linear[after][..., unchanged])
    drop = to_db(patch.linear[after]) - to_db(quiet.linear[after])
    # thermal noise keeps a little of what the felling takes
    assert -2.2 < np.median(drop[:, 0][:, changed]) < -1.9
    assert -3.1 < np.median(drop[:, 1][:, changed]) < -2.4


def test_a_patch_may_have_wet_dates_of_its_own():
    linear = np.ones((2, 2, 4, 4), np.float32)
    days = ("2020-01-01", "2020-01-13")
    plain, own = (
        Patch("a", days, ("VV", "VH"), linear),
        Patch("a", days, ("VV", "VH"), linear, days[1:], days[1]),
    )
    assert protocol_of(plain, Protocol()) == Protocol()
    assert (protocol_of(own, Protocol()).wet, protocol_of(own, Protocol()).rain) == (days[1:], days[1])


def test_discs_keep_to_the_allowed_ground():
    allowed = np.zeros((80, 80), bool)
    allowed[:, :45] = True
    mask = disc_mask(Protocol(), Size(80, 80), 0, 0, 20, allowed)
    assert mask.any() and not mask[:, 45:].any()


def test_only_the_methods_asked_for_are_computed(monkeypatch):
    linear = np.random.default_rng(0).gamma(8, 1 / 80, (11, 2, 20, 20)).astype(np.float32)
    decibel = to_db(linear)
    images = Images(linear, decibel, decibel)
    case = Case(images.at(10), images.at(list(range(10))), 8.0)
    every = score_all(case, RobustParameters())
    assert list(every) == list(METHODS)
    monkeypatch.setattr("terradelta.evaluate.opera.methods.robust_difference", None)
    few = score_all(case, RobustParameters(), only=("omnibus", "z-raw"))
    assert list(few) == ["z-raw", "omnibus"]
    for key, score in few.items():
        np.testing.assert_array_equal(score, every[key])


def test_the_peer_scores_the_larger_deviation_and_remembers_what_it_expects(monkeypatch):
    torch.manual_seed(0)
    transformer = Transformer(PeerNetwork(TransformerConfig.from_published(SHAPE)), "t")
    decibel = np.random.default_rng(1).normal(-12, 1, (4, 2, 23, 20)).astype(np.float32)
    target, history = decibel[-1], decibel[:-1]
    peer = TransformerPeer(transformer, 7)
    mean, sigma = transformer.expect(to_linear(history), stride=7)
    apart = logit(to_linear(target)) - mean
    np.testing.assert_allclose(peer.strength(target, history), np.maximum(*np.abs(apart / sigma)), rtol=1e-5)
    other = peer.without_median()
    monkeypatch.setattr(transformer, "expect", None)
    apart -= np.nanmedian(apart, axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(other.strength(target, history), np.maximum(*np.abs(apart / sigma)), rtol=1e-5)
    assert (peer.label, other.key) == ("t, stride 7", "t-7-median")


def test_the_whole_experiment_writes_its_three_files(package, tmp_path, monkeypatch):
    asked = []

    def cheap(task, size):
        asked.append((task.key, size))
        return Cost(1.1, 2.0, 0.55, 30.0, 0.5)

    monkeypatch.setattr(peers_experiment, "measure", cheap)
    plan = Plan(
        methods=("last-raw", "mean10-median"), strides=(16, 7), best=1, places=1, size=102, cost_size=32
    )
    text = run(tmp_path / "out", wheel=package, plan=plan, seed=3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "peers.json",
        "peers.md",
        "peers.png",
    ]
    assert (tmp_path / "out/peers.md").read_text() == text
    figures = json.loads((tmp_path / "out/peers.json").read_text())
    methods = figures["series"]["simulated"]["methods"]
    sets = [key for key in methods if key.startswith(("first", "second"))]
    assert sets[:4] == ["first-16", "first-16-median", "second-16", "second-16-median"]
    best = "first" if "first-7" in methods else "second"
    assert sets[4:] == [f"{best}-7", f"{best}-7-median", f"{best}-7-reflect", f"{best}-7-reflect-median"]
    lost = {key: one["means"]["lost"] for key, one in methods.items()}
    assert lost["first-16"] == pytest.approx(1 - 96**2 / 102**2) and lost[f"{best}-7"] == pytest.approx(
        1 - 100**2 / 102**2
    )
    assert lost[f"{best}-7-reflect"] == lost["last-raw"] == 0
    assert [key for key, size in asked] == [
        "last-raw",
        "mean10-median",
        "first-16",
        "second-16",
        f"{best}-7",
        f"{best}-7-reflect",
    ]
    assert figures["costs"]["first-16"]["newest"] == pytest.approx(0.6)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 2 + 4 + 4 and len({row.count("|") for row in rows}) == 1
    assert (tmp_path / "out/peers.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_wheel_the_others_are_judged(tmp_path):
    plan = Plan(methods=("last-raw",), places=1, size=96, cost_size=0)
    text = run(tmp_path, plan=plan)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3 and "s / Mpx" not in text


def test_a_wrong_wheel_is_refused_before_anything_runs(tmp_path, package):
    with pytest.raises(InputError, match="pip download distmetrics"):
        run(tmp_path / "out", wheel=tmp_path / "nothing.whl")
    with pytest.raises(InputError, match="there are first, second"):
        transformer_peers(package, ["third"], 16)
    assert not (tmp_path / "out").exists()


def test_a_method_is_measured_in_a_process_of_its_own():
    cost = measure(Task("last-smooth"), 48)
    assert cost.seconds > 0 and cost.despeckling > 0 and 0 <= cost.memory < 500
    with pytest.raises(InputError, match="no method is called 'x'; there are robust"):
        measure(Task("x"))
