"""What every network of the project keeps to, whatever it is for."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from terradelta.errors import InputError
from terradelta.expected.conditions import FEATURES
from terradelta.expected.inputs import Expected, Inputs
from terradelta.expected.networks.conditioned import ConditionedUNet, ConditionedUNetConfig
from terradelta.expected.networks.registry import build_network
from terradelta.expected.networks.unet import UNet
from terradelta.expected.networks.unet_config import Convolution, Stage, UNetConfig
from terradelta.learning.files import fill, load_model, save_model
from terradelta.urban.network import ERCNN


class NetworkContract:
    """The contract; a subclass says how to make a network, what it reads, and how it is kept."""

    size = (16, 16)
    any_size = False
    precision = 0.05
    """Largest difference that bfloat16 makes, as a share of the spread of the output."""

    # the adapter

    def make(self) -> nn.Module:
        raise NotImplementedError

    def draw(self, batch: int, size: tuple[int, int], seed: int = 0) -> tuple[Any, ...]:
        """Arguments of a forward pass, with some data missing."""
        raise NotImplementedError

    def refilled(self, given: tuple[Any, ...], value: float) -> tuple[Any, ...]:
        """The same with another value where data are missing."""
        raise NotImplementedError

    def outputs(self, result: Any) -> list[Tensor]:
        return [each for each in result if each is not None] if isinstance(result, tuple) else [result]

    def keep(self, net: nn.Module, folder: Path) -> nn.Module:
        """Save and load again."""
        raise NotImplementedError

    def some(self, given: tuple[Any, ...], places: slice) -> tuple[Any, ...]:
        return tuple(
            each._make(part[places] for part in each) if isinstance(each, tuple) else each[places]
            for each in given
        )

    # the contract

    def ready(self) -> nn.Module:
        """A network in inference mode whose numbers are not those of the start."""
        torch.manual_seed(1)
        net = self.make()
        with torch.no_grad():
            for part in (*net.parameters(), *net.buffers()):
                if part.is_floating_point():
                    part.add_(0.2 * (torch.rand_like(part) - 0.5))
        return net.eval()

    def run(self, net: nn.Module, given: tuple[Any, ...]) -> list[Tensor]:
        with torch.inference_mode():
            return self.outputs(net(*given))

    @pytest.mark.parametrize("batch", [1, 3])
    def test_every_parameter_gets_a_finite_gradient(self, batch: int) -> None:
        net = self.ready().train()
        outputs = self.outputs(net(*self.draw(batch, self.size)))
        torch.stack([each.square().mean() for each in outputs]).sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
        assert any(parameter.grad.any() for parameter in net.parameters())  # type: ignore[union-attr]

    def test_shapes_are_those_of_the_input(self) -> None:
        for batch in (1, 2):
            for each in self.run(self.ready(), self.draw(batch, self.size)):
                assert each.shape[0] == batch
                assert tuple(each.shape[-2:]) == self.size
                assert each.isfinite().all()

    def test_samples_do_not_see_each_other(self) -> None:
        net, given = self.ready(), self.draw(3, self.size)
        whole = self.run(net, given)
        for number in range(3):
            place = slice(number, number + 1)
            for one, all_ in zip(self.run(net, self.some(given, place)), whole, strict=True):
                torch.testing.assert_close(one, all_[place], atol=1e-5, rtol=1e-4)

    def test_inference_is_the_same_each_time_and_changes_nothing(self) -> None:
        net, given = self.ready(), self.draw(2, self.size)
        before = copy.deepcopy(net.state_dict())
        first, second = self.run(net, given), self.run(net, given)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())

    @pytest.mark.parametrize("value", [7.0, torch.nan, torch.inf])
    def test_what_is_missing_never_reaches_the_result(self, value: float) -> None:
        net, given = self.ready(), self.draw(2, self.size)
        for one, other in zip(self.run(net, given), self.run(net, self.refilled(given, value)), strict=True):
            assert torch.equal(one, other)

    def test_what_is_there_reaches_the_result(self) -> None:
        net = self.ready()
        one, other = (self.run(net, self.draw(2, self.size, seed)) for seed in (0, 1))
        assert not torch.equal(one[0], other[0])

    @pytest.mark.parametrize("size", [(13, 18), (8, 40)])
    def test_any_size_or_a_clear_error(self, size: tuple[int, int]) -> None:
        net, given = self.ready(), self.draw(1, size)
        if not self.any_size:
            with pytest.raises(InputError, match=str(self.size[0])):
                net(*given)
            return
        for each in self.run(net, given):
            assert tuple(each.shape[-2:]) == size
            assert each.isfinite().all()

    def test_saved_and_loaded_it_is_the_same(self, tmp_path: Path) -> None:
        net, given = self.ready(), self.draw(2, self.size)
        again = self.keep(net, tmp_path / "net")
        assert not again.training
        for one, other in zip(self.run(net, given), self.run(again, given), strict=True):
            assert torch.equal(one, other)

    def test_precision_is_the_callers_choice(self) -> None:
        net, given = self.ready(), self.draw(2, self.size)
        exact = self.run(net, given)
        with torch.autocast("cpu", torch.bfloat16):
            rough = self.run(net, given)
        for one, other in zip(exact, rough, strict=True):
            assert one.dtype == torch.float32
            assert (one - other.float()).abs().max() < self.precision * one.abs().max()
        double = self.run(net.double(), self.double(given))
        for one, other in zip(exact, double, strict=True):
            assert other.dtype == torch.float64
            torch.testing.assert_close(one.double(), other, atol=1e-4, rtol=1e-3)

    def double(self, given: tuple[Any, ...]) -> tuple[Any, ...]:
        def wide(part: Tensor) -> Tensor:
            return part.double() if part.is_floating_point() else part

        return tuple(each._make(map(wide, each)) if isinstance(each, tuple) else wide(each) for each in given)


class ExpectedContract(NetworkContract):
    """Networks of the expected image."""

    name = ""

    def draw(self, batch: int, size: tuple[int, int], seed: int = 0) -> tuple[Any, ...]:
        torch.manual_seed(seed)
        inputs = Inputs(
            images=torch.rand(batch, 3, 2, *size) - 0.5,
            valid=torch.rand(batch, 3, *size) > 0.2,
            static=torch.rand(batch, 1, *size),
            state=torch.zeros(batch, 4, *size),
            conditions=torch.rand(batch, 4, len(FEATURES)),
            known=torch.rand(batch, 4, len(FEATURES)) > 0.2,
        )
        inputs.valid[0, 1] = False
        images = torch.where(inputs.valid[:, :, None], inputs.images, 0.0)
        return (inputs._replace(images=images, conditions=inputs.conditions * inputs.known),)

    def refilled(self, given: tuple[Any, ...], value: float) -> tuple[Any, ...]:
        inputs: Inputs = given[0]
        images = torch.where(inputs.valid[:, :, None], inputs.images, value)
        conditions = torch.where(inputs.known, inputs.conditions, -value)
        return (inputs._replace(images=images, conditions=conditions),)

    def keep(self, net: nn.Module, folder: Path) -> nn.Module:
        config: dict[str, Any] = net.config.to_dict()  # type: ignore[union-attr,operator,assignment]
        save_model(folder, net.state_dict(), {"format": "test", "format_version": 1, "config": config})
        tensors, description = load_model(folder, format="test")
        again = build_network(self.name, description["config"], images=3)
        fill(again, tensors, folder, self.name)
        return again.eval()

    def test_a_standard_deviation_is_more_than_zero(self) -> None:
        with torch.inference_mode():
            result = self.ready()(*self.draw(2, self.size))
        assert isinstance(result, Expected)
        assert result.mean.shape == (2, 2, *self.size)
        if result.sigma is not None:
            assert (result.sigma > 0).all()


class TestUNet(ExpectedContract):
    name = "unet"

    def make(self) -> nn.Module:
        return UNet(UNetConfig.tiny(16), images=3)


class TestUNetWithEveryOption(TestUNet):
    def make(self) -> nn.Module:
        config = UNetConfig(
            (Stage(6, 7, "residual", 2), Stage(8, 3), Stage(8, 5, "residual"), Stage(8, 2)),
            (Stage(8, 3, "residual"), Stage(8, 3), Stage(6, 4, "residual", multiplier=2)),
            front=(Convolution(6, 4),),
            back=(Convolution(4),),
            skips=(True, False),
            stochastic_depth=0.1,
            without=("satellite",),
        )
        return UNet(config, images=3)


class TestConditionedUNet(ExpectedContract):
    name = "conditioned"
    any_size = True

    def make(self) -> nn.Module:
        return ConditionedUNet(ConditionedUNetConfig(width=8), images=3)


class TestERCNN(NetworkContract):
    any_size = True

    def make(self) -> nn.Module:
        return ERCNN("ers12ls5")

    def draw(self, batch: int, size: tuple[int, int], seed: int = 0) -> tuple[Any, ...]:
        torch.manual_seed(seed)
        return torch.rand(batch, 4, 9, *size), torch.tensor([3, 4, 2])[:batch]

    def refilled(self, given: tuple[Any, ...], value: float) -> tuple[Any, ...]:
        x, length = given[0].clone(), given[1]
        for number, count in enumerate(length):
            x[number, count:] = value
        return x, length

    def keep(self, net: nn.Module, folder: Path) -> nn.Module:
        assert isinstance(net, ERCNN)
        net.save_pretrained(folder)
        return ERCNN.from_pretrained(folder)
