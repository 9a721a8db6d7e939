"""What a check may ask of an image, as dive's CI does: that it wastes no more than so much."""

from __future__ import annotations

from itertools import islice

from nbcontainers.errors import Wasteful
from nbcontainers.image import layerdrawing
from nbcontainers.image.image import on_host
from nbcontainers.image.layerview import Layers
from nbcontainers.option import part, size
from nbcontainers.table import amount, stored


def check(
    layers: Layers,
    lowest_efficiency: str | float | None,
    highest_wasted_bytes: str | int | None,
    highest_wasted_percent: str | float | None,
) -> None:
    """Raises Wasteful, which names every limit that is missed and the worst paths; InvalidArgument for `host`, which has
    no layers to be checked."""
    asked = (lowest_efficiency, highest_wasted_bytes, highest_wasted_percent)
    if layers.image.is_host and any(one is not None for one in asked):
        raise on_host(layers.image, "has no layers that could be checked")
    missed = []
    if lowest_efficiency is not None and layers.efficiency < part(lowest_efficiency):
        missed.append(f"its efficiency is {layers.efficiency:.2%}, at least {part(lowest_efficiency):.2%} are wanted")
    if highest_wasted_bytes is not None and layers.wasted > size(highest_wasted_bytes):
        most = amount(size(highest_wasted_bytes), stored)
        missed.append(f"it wastes {amount(layers.wasted, stored)}, at most {most} are allowed")
    if highest_wasted_percent is not None and layers.wasted_part > part(highest_wasted_percent):
        above = f"{layers.wasted_part:.2%} of what the layers above the lowest hold"
        missed.append(f"it wastes {above}, at most {part(highest_wasted_percent):.2%} are allowed")
    if missed:
        raise _failure(layers, missed)


def _failure(layers: Layers, missed: list[str]) -> Wasteful:
    worst = [line.strip() for line in islice(layerdrawing.waste(layers), 3)]
    return Wasteful(
        f"{layers.name} wastes too much: {'; '.join(missed)}" + "".join(f"\n  {line}" for line in worst),
        hint=f"%image layers {layers.name} shows which layer hides what; remove files in the RUN that made them",
        efficiency=layers.efficiency, wasted_bytes=layers.wasted, wasted_part=layers.wasted_part,
    )  # fmt: skip
