"""Teaching the networks of urban monitoring: windows with synthetic labels, then weak labels of a place."""

from __future__ import annotations

__all__: list[str] = []
