"""Sentinel-1, Sentinel-2 and the Copernicus DEM from Sentinel Hub, cut to the cube's grid by the service."""

from __future__ import annotations

from terradelta.sources.remote.sentinel_hub.deployments import DEPLOYMENTS, Deployment, Patience
from terradelta.sources.remote.sentinel_hub.source import SentinelHubSource

__all__ = ["DEPLOYMENTS", "Deployment", "Patience", "SentinelHubSource"]
