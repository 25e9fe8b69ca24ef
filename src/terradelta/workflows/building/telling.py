"""A plan and its outcome in words: what there is per source and orbit, how large, what came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from terradelta.sources.remote.offers import Offer
from terradelta.sources.room import readable
from terradelta.workflows.building.plan import BuildPlan
from terradelta.workflows.building.run import Built

__all__ = ["outcome_line", "plan_lines"]

_HEAD = ("source", "product", "orbit", "satellites", "images", "new", "first", "last", "to fetch")


def plan_lines(plan: BuildPlan) -> list[str]:
    """Give a plan as the lines of a table: images per source, product and orbit, layers, sizes.

    Parameters
    ----------
    plan : BuildPlan
        What a build would bring.
    """
    y, x = plan.request.grid.shape
    size = abs(plan.request.grid.resolution.x)
    lines = [f"{plan.cube}: {y} x {x} pixels of {size:g} in {plan.request.grid.crs}, {plan.request.period}"]
    lines += _table([_HEAD, *_rows(plan)]) if plan.offers else ["  no images"]
    lines += [f"  layer {one.name}: {one.source} {one.product}" for one in plan.layers]
    lines += [f"  weather: {file}" for file in plan.weather]
    fetched = readable(plan.fetched_bytes) if plan.fetched_bytes else "an unknown amount"
    return [*lines, f"  {_count(len(plan.new), 'image')} to fetch, {fetched}; the cube grows by about "
            f"{readable(plan.cube_bytes)}"]  # fmt: skip


def _rows(plan: BuildPlan) -> Iterator[tuple[str, ...]]:
    groups: dict[tuple[str, str, str], list[Offer]] = {}
    for offer in plan.offers:
        groups.setdefault((offer.source, offer.product, _orbit(offer)), []).append(offer)
    new = {one.key for one in plan.new}
    for (source, product, orbit), offers in sorted(groups.items()):
        coming = [one for one in offers if one.key in new]
        platforms = " ".join(sorted({one.flight.platform for one in offers}))
        days = [str(one.time)[:10] for one in offers]
        volume = sum(one.nbytes for one in coming)
        yield (
            source, product, orbit, platforms, str(len(offers)), str(len(coming)), min(days), max(days),
            readable(volume) if volume else "",
        )  # fmt: skip


def _orbit(offer: Offer) -> str:
    flight = offer.flight
    if offer.group != "sar":
        return ""
    return " ".join(filter(None, (f"{flight.relative_orbit:3d}" if flight.relative_orbit else "",
                                  flight.orbit_direction)))  # fmt: skip


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows]  # fmt: skip


def _count(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number} {what}s"


def outcome_line(built: Built) -> str:
    """Give the one line that sums up a build."""
    found = built.collected
    if found is None:
        return f"{built.plan.cube}: nothing written, this was a dry run"
    parts = [f"{_count(found.outcomes['added'], 'image')} added", f"{found.outcomes['there']} there already"]
    parts += [f"{found.outcomes['empty']} empty"] if found.outcomes["empty"] else []
    parts += [f"{found.outcomes['failed']} did not come"] if found.outcomes["failed"] else []
    parts += [f"layers {', '.join(found.layers)}"] if found.layers else []
    parts += [f"{built.weather_days} days of weather"] if built.weather_days else []
    return f"{built.plan.cube}: {', '.join(parts)}"
