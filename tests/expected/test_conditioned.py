"""The conditioned network: where it starts, what reaches what, and what it is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from terradelta.errors import ConfigError, InputError
from terradelta.expected.conditions import FEATURES, GROUPS
from terradelta.expected.inputs import Inputs
from terradelta.expected.networks import conditioned, summary
from terradelta.expected.networks.conditioned import ConditionedUNet, ConditionedUNetConfig

SMALL = ConditionedUNetConfig(width=4, embedding=8)


def made_up(seed=0, batch=1, time=4, size=(24, 32), static=1):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(batch, time, 2, *size, generator=generator) - 0.5
    valid = torch.rand(batch, time, *size, generator=generator) > 0.2
    conditions = torch.rand(batch, time + 1, len(FEATURES), generator=generator)
    return Inputs(
        images * valid[:, :, None],
        valid,
        torch.rand(batch, static, *size, generator=generator),
        torch.zeros(batch, 4, *size),
        conditions,
        torch.ones(batch, time + 1, len(FEATURES)) > 0,
    )


def shaken(config=SMALL, seed=1, **shape):
    """A network with random weights everywhere, also where training starts from zero."""
    torch.manual_seed(seed)
    net = ConditionedUNet(config, **shape).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return net


def test_before_training_it_is_mean_and_spread_of_the_valid_previous_images():
    inputs = made_up()
    inputs.state[:, 2:] = np.log(1.5)
    expected = ConditionedUNet(SMALL).eval()(inputs)
    images = np.where(inputs.valid[0, :, None].numpy(), inputs.images[0].numpy(), np.nan)
    number = np.isfinite(images).sum(axis=0)
    enough = number > 1
    mean = np.nanmean(np.where(number > 0, images, 0), axis=0)
    np.testing.assert_allclose(expected.mean[0].detach().numpy(), mean, atol=1e-5)
    variance = np.nanvar(np.where(enough, images, 0), axis=0, ddof=1) + 1e-6
    sigma = np.sqrt(variance * (1 + 1 / np.maximum(number, 1)) * 1.5**2 + SMALL.floor**2)
    np.testing.assert_allclose(expected.sigma[0].detach().numpy()[enough], sigma[enough], rtol=1e-3)


def test_what_is_out_of_reach_has_no_influence():
    net, inputs = shaken(), made_up(size=(96, 96))
    before = net(inputs).mean
    images = inputs.images.clone()
    images[..., 40, 40] += 1
    changed = (net(inputs._replace(images=images)).mean - before).abs().amax(dim=(0, 1)).detach().numpy()
    touched = np.argwhere(changed > 0)
    distance = abs(touched - 40).max()
    assert 3 < distance <= net.reach


def test_a_block_gives_what_the_whole_gives_within_its_reach():
    net, inputs = shaken(), made_up(size=(96, 96))
    whole = net(inputs)
    start, edge = 16, 64
    assert start % net.multiple == 0
    part = np.s_[..., start : start + edge, start : start + edge]
    cut = [values[part] for values in inputs[:4]]
    block = net(Inputs(*cut, inputs.conditions, inputs.known))
    reach = net.reach
    inner = np.s_[..., reach : edge - reach, reach : edge - reach]
    for one, other in zip(block, whole, strict=True):
        assert one[inner].numel() > 0
        torch.testing.assert_close(one[inner], other[part][inner], atol=1e-5, rtol=1e-5)


def test_it_takes_any_number_of_previous_images_and_missing_ones_do_not_count():
    net, inputs = shaken(), made_up(time=3)
    nothing = torch.zeros_like(inputs.images[:, :1])
    conditions = torch.cat([torch.rand(1, 1, len(FEATURES)), inputs.conditions], dim=1)
    more = Inputs(
        torch.cat([nothing, inputs.images], dim=1),
        torch.cat([inputs.valid[:, :1] & False, inputs.valid], dim=1),
        inputs.static,
        inputs.state,
        conditions,
        torch.cat([inputs.known[:, :1], inputs.known], dim=1),
    )
    for one, other in zip(net(inputs), net(more), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("width", "time", "batch", "size"), [(16, 10, 1, (70, 83)), (4, 1, 2, (9, 5)), (24, 3, 2, (40, 40))]
)
def test_compiled_it_gives_what_is_learnt_with(width, time, batch, size, monkeypatch):
    inputs = made_up(time=time, batch=batch, size=size)
    inputs.valid[..., 2:5, 1:4] = False
    inputs.images[..., 3, 2] = float("nan")
    inputs.state.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    net = shaken(ConditionedUNetConfig(width=width, embedding=8))
    learning = [part.detach() for part in net(inputs)]
    with torch.no_grad():
        if not summary.available(inputs.images):
            pytest.skip("there is no C++ compiler")
        compiled = net(inputs)
        monkeypatch.setattr(conditioned, "available", lambda _: False)
        plain = net(inputs)
    doubled = Inputs(*(part.double() if part.is_floating_point() else part for part in inputs))
    exact = [part.detach() for part in net.double()(doubled)]
    for one, two, three, true in zip(learning, compiled, plain, exact, strict=True):
        rounding = (one - true).abs().max() + 1e-6 * true.abs().max()
        assert (two - true).abs().max() <= 4 * rounding
        assert (three - true).abs().max() <= 4 * rounding


def test_without_a_compiler_it_goes_on(monkeypatch):
    monkeypatch.setattr(summary, "_library", lambda: None)
    with torch.inference_mode():
        assert not summary.available(torch.zeros(1))
        assert torch.isfinite(shaken()(made_up()).mean).all()


@pytest.mark.parametrize("group", list(GROUPS))
def test_it_is_told_a_condition_unless_that_is_left_out(group):
    inputs = made_up()
    conditions = inputs.conditions.clone()
    conditions[..., [FEATURES.index(name) for name in GROUPS[group]]] += 1
    other = inputs._replace(conditions=conditions)
    told = shaken()
    assert group in told.requires and not torch.equal(told(inputs).mean, told(other).mean)
    deaf = shaken(ConditionedUNetConfig(width=4, embedding=8, without=(group,)))
    assert group not in deaf.requires and torch.equal(deaf(inputs).mean, deaf(other).mean)


def test_an_unknown_condition_is_as_good_as_any_value():
    net, inputs = shaken(), made_up()
    known = inputs.known.clone()
    known[..., 0] = False
    conditions = inputs.conditions.clone()
    conditions[..., 0] = 7
    one = net(inputs._replace(known=known))
    assert torch.equal(one.mean, net(inputs._replace(known=known, conditions=conditions)).mean)
    assert not torch.equal(one.mean, net(inputs).mean)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="3 bands, the network was made for 2"):
        inputs = made_up()
        shaken()(inputs._replace(images=torch.zeros(1, 4, 3, 24, 32)))
    with pytest.raises(InputError, match="0 static layers"):
        shaken()(made_up(static=0))
    with pytest.raises(InputError, match="no previous image"):
        inputs = made_up()
        shaken()(inputs._replace(images=inputs.images[:, :0], valid=inputs.valid[:, :0]))
    with pytest.raises(ConfigError, match="width is 0"):
        ConditionedUNetConfig(width=0)
    with pytest.raises(ConfigError, match="no 'depth'"):
        ConditionedUNetConfig.from_dict({"depth": 3})
    assert ConditionedUNetConfig.from_dict(SMALL.to_dict()) == SMALL
