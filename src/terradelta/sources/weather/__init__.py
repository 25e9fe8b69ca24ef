"""Daily weather of files in the usual formats: temperature, precipitation, snow depth."""

from __future__ import annotations

from terradelta.sources.weather.opening import ENDINGS, holds_weather
from terradelta.sources.weather.reading import read_weather

__all__ = ["ENDINGS", "holds_weather", "read_weather"]
