"""The experiment on a real series with real weather: alarms of networks that are told it, and of others."""

from __future__ import annotations

from terradelta.evaluate.weather.experiment import run
from terradelta.evaluate.weather.lessons import LESSONS
from terradelta.evaluate.weather.protocol import WeatherProtocol

__all__ = ["LESSONS", "WeatherProtocol", "run"]
