import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from terradelta.errors import InputError, SourceError
from terradelta.expected.conditions import FEATURES, GROUPS
from terradelta.expected.preparation import Preparation, prepare
from terradelta.expected.samples.feeding import RandomOrder, SampleDataset, batch_of, collate
from terradelta.expected.samples.files import SampleFile, write_samples
from terradelta.expected.samples.plans import plan_samples
from terradelta.expected.samples.records import RecordSamples
from terradelta.expected.samples.sample import record_of_sample
from terradelta.expected.statistics import Statistics
from terradelta.simulate import place
from terradelta.tfrecord.published import write_raw

_SPEC = importlib.util.spec_from_file_location("sample_maker", Path(__file__).with_name("sample_maker.py"))
maker: Any = importlib.util.module_from_spec(_SPEC)  # type: ignore[arg-type]
_SPEC.loader.exec_module(maker)  # type: ignore[union-attr]

STATISTICS = Statistics(-12.0, 9.0, 300.0, 50.0, 20.0)


def same(one, other):
    for left, right in zip(
        torch.utils._pytree.tree_leaves(one), torch.utils._pytree.tree_leaves(other), strict=True
    ):
        if isinstance(left, torch.Tensor):
            torch.testing.assert_close(left, right, rtol=0, atol=0, equal_nan=True)
        else:
            assert left == right


def test_batch_is_the_normalised_sample():
    sample = maker.sample_of(0)
    batch = batch_of(sample, STATISTICS)
    np.testing.assert_allclose(batch.inputs.images[0], np.clip((sample.images + 12) / 12, -1, 1), atol=1e-6)
    np.testing.assert_allclose(batch.target[0], np.clip((sample.target + 12) / 12, -1, 1), atol=1e-6)
    np.testing.assert_allclose(batch.inputs.static[0, 0], sample.dem / 300, atol=1e-6)
    np.testing.assert_array_equal(batch.forest[0], sample.forest)
    assert batch.inputs.valid.all()
    assert batch.valid.all()
    assert batch.names == ("sample 0",)
    assert [tuple(part.shape) for part in batch.inputs] == [
        (1, 4, 2, 16, 16), (1, 4, 16, 16), (1, 1, 16, 16), (1, 4, 16, 16), (1, 5, 13), (1, 5, 13)
    ]  # fmt: skip


def test_holes_are_zero_and_not_valid():
    sample = maker.sample_of(0)
    sample.images[2, 1, 3, 4] = np.nan
    sample.target[0, 5, 6] = np.nan
    sample.dem[0, 0] = np.nan
    batch = batch_of(sample, STATISTICS)
    assert not batch.inputs.valid[0, 2, 3, 4]
    assert not batch.inputs.images[0, 2, :, 3, 4].any()
    assert int((~batch.inputs.valid).sum()) == 1
    assert not batch.valid[0, 5, 6]
    assert not batch.target[0, :, 5, 6].any()
    assert int((~batch.valid).sum()) == 1
    assert batch.inputs.static[0, 0, 0, 0] == 0


@pytest.mark.parametrize("group", GROUPS)
def test_left_out_conditions_are_zero_and_unknown(group):
    whole = SampleDataset([maker.sample_of(0)], STATISTICS)[0].inputs
    less = SampleDataset([maker.sample_of(0)], STATISTICS, without=[group])[0].inputs
    gone = torch.tensor([name in GROUPS[group] for name in FEATURES])
    assert not less.known[..., gone].any()
    assert not less.conditions[..., gone].any()
    assert torch.equal(less.conditions[..., ~gone], whole.conditions[..., ~gone])
    assert whole.known.all()


def test_no_weather_leaves_the_geometry():
    inputs = SampleDataset([maker.sample_of(0)], STATISTICS, weather=False)[0].inputs
    known = [name for name, there in zip(FEATURES, inputs.known[0, 0], strict=True) if there]
    assert known == ["heading", "incidence", "S1A", "S1B", "S1C", "S1D", "age"]


def test_preparation_is_done_and_its_state_given():
    sample = maker.sample_of(0)
    preparation = Preparation(state="median")
    expected = prepare(sample.images, sample.target, preparation)
    batch = batch_of(sample, STATISTICS, preparation)
    np.testing.assert_allclose(batch.target[0], STATISTICS.images(expected.target), atol=1e-6)
    np.testing.assert_allclose(batch.inputs.state[0], expected.state(12.0), atol=1e-6)
    assert batch.inputs.state.any()


@pytest.mark.parametrize("part", ["images", "target", "dem"])
def test_infinite_values_stop_and_name_the_sample(part):
    sample = maker.sample_of(7)
    getattr(sample, part)[..., 0, 0] = -np.inf
    with pytest.raises(InputError, match=f"sample 7: {part} holds .* infinite values"):
        batch_of(sample, STATISTICS)


def test_stored_change_is_the_target():
    changed = np.full((2, 16, 16), -12.0, np.float32)
    batch = SampleDataset([maker.sample_of(0, changed=changed)], STATISTICS, change="stored")[0]
    assert not batch.target.any()
    with pytest.raises(InputError, match="sample 0 has no simulated change"):
        SampleDataset([maker.sample_of(0)], STATISTICS, change="stored")[0]


def test_samples_of_other_shapes_are_not_put_together():
    batches = [batch_of(maker.sample_of(seed, previous=seed + 2), STATISTICS) for seed in range(2)]
    with pytest.raises(InputError, match="samples sample 0 and sample 1 differ in shape"):
        collate(batches)


def test_all_sources_feed_the_same(tmp_path):
    cube = place(seed=0, size=48, years=0.3, changes=0, optical_days=0)
    plan = plan_samples(cube, count=4, size=16)
    direct = SampleDataset((cube, plan), STATISTICS)
    write_samples(tmp_path / "a.zarr", direct.samples, precision="float32")
    stored = SampleDataset(SampleFile(tmp_path / "a.zarr"), STATISTICS)
    write_raw(tmp_path / "1.tfrecord", [record_of_sample(sample) for sample in direct.samples[:3]])
    write_raw(tmp_path / "2.tfrecord", [record_of_sample(sample) for sample in direct.samples[3:]])
    records = SampleDataset([tmp_path / "1.tfrecord", tmp_path / "2.tfrecord"], STATISTICS)
    assert len(direct) == len(stored) == len(records) == 4
    for index in (0, 1, 3, 2, 0):
        same(stored[index], direct[index])
        batch = records[index]
        assert batch.names[0].endswith(f"record {index % 3 + 1}")
        same(batch.target, direct[index].target)
        # scalars of the target are float32 in the published format
        torch.testing.assert_close(
            batch.inputs.conditions, direct[index].inputs.conditions, rtol=0, atol=1e-6
        )
    order = list(RandomOrder(records, seed=2))
    assert order in ([0, 1, 2, 3], [3, 0, 1, 2])


@pytest.mark.enable_socket  # worker processes hand tensors over through a local socket
def test_workers_read_the_file_for_themselves(tmp_path):
    write_samples(tmp_path / "a.zarr", [maker.sample_of(seed) for seed in range(5)])
    data = SampleDataset(str(tmp_path / "a.zarr"), STATISTICS)
    data[0]
    alone, together = (
        list(
            DataLoader(
                data, batch_size=2, sampler=RandomOrder(data, 3), collate_fn=collate, num_workers=workers
            )
        )
        for workers in (0, 2)
    )
    assert [len(batch.names) for batch in alone] == [2, 2, 1]
    for one, other in zip(alone, together, strict=True):
        same(one, other)


def test_random_order_depends_on_seed_and_epoch():
    order = RandomOrder(range(50), seed=1)
    first = list(order)
    assert sorted(first) == list(range(50))
    assert first != list(range(50))
    order.set_epoch(1)
    assert list(order) != first
    assert list(RandomOrder(range(50), seed=2)) != first
    order.set_epoch(0)
    assert list(order) == first


def turn(tensor, axes, swapped):
    tensor = tensor.flip(axes)
    return tensor.transpose(-1, -2) if swapped else tensor


def test_crops_are_parts_and_what_is_remembered_is_the_same():
    torch.manual_seed(0)
    sample = maker.sample_of(0)
    plain = SampleDataset([sample], STATISTICS)[0]
    data = SampleDataset([sample], STATISTICS, crop=8, remember=10**9)
    starts = range(plain.target.shape[-1] - 7)
    for _ in range(5):
        batch = data[0]
        cut = [
            np.s_[..., row : row + 8, column : column + 8]
            for row in starts
            for column in starts
            if torch.equal(batch.target, plain.target[..., row : row + 8, column : column + 8])
        ]
        assert cut
        assert torch.equal(batch.inputs.images, plain.inputs.images[cut[0]])
        assert torch.equal(batch.inputs.conditions, plain.inputs.conditions)
    data.samples = None
    assert data[0].target.shape[-2:] == (8, 8)


def test_mirrored_samples_stay_whole():
    torch.manual_seed(0)
    data = SampleDataset([maker.sample_of(0)], STATISTICS, augment=True)
    plain = SampleDataset([maker.sample_of(0)], STATISTICS)[0]
    turned = [
        axes
        for batch in [data[0] for _ in range(12)]
        for axes in ([], [-1], [-2], [-1, -2])
        for swapped in (False, True)
        if torch.equal(batch.target, turn(plain.target, axes, swapped))
        and torch.equal(batch.inputs.images, turn(plain.inputs.images, axes, swapped))
        and torch.equal(batch.inputs.static, turn(plain.inputs.static, axes, swapped))
    ]
    assert len(turned) == 12
    assert len({tuple(axes) for axes in turned}) > 2


def test_damaged_records_are_refused_or_left_out(tmp_path):
    file = tmp_path / "a.tfrecord"
    write_raw(file, [record_of_sample(maker.sample_of(number)) for number in range(3)], compression="none")
    first, _, last = RecordSamples([file])
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.tfrecord"):
        RecordSamples([file])
    rest = RecordSamples([file], damaged="skip")
    assert len(rest) == 2
    for one, other in zip(rest, (first, last), strict=True):
        np.testing.assert_array_equal(one.target, other.target)


def test_what_is_no_source_is_refused():
    with pytest.raises(InputError, match="int is no source of samples"):
        SampleDataset(3, STATISTICS)
    with pytest.raises(InputError, match="no samples to feed"):
        SampleDataset([], STATISTICS)
