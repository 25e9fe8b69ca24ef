"""STAC catalogues as sources: any API, any static catalogue, with what is known about three providers."""

from __future__ import annotations

from terradelta.sources.remote.stac.profile import ProductProfile, Profile, load_profile, profile_names
from terradelta.sources.remote.stac.source import StacSource

__all__ = ["ProductProfile", "Profile", "StacSource", "load_profile", "profile_names"]
