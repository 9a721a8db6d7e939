"""Unpacked layers on disk: root/snapshots/CHAINID/fs in overlay form, and layer.json with what is known of it.

`image/unpacking.py` makes them. A snapshot is there as a whole or not at all, and its parents always are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nbcontainers.linux import tree


def path(snapshots: Path, chain_id: str) -> Path:
    """The overlay lower folder of a layer."""
    return snapshots / chain_id.rpartition(":")[2] / "fs"


def facts(snapshots: Path, chain_id: str) -> dict[str, Any]:
    """What is known of an unpacked layer: `size` (bytes of its files), `entries`, `opaque_root`, …"""
    found: dict[str, Any] = json.loads((path(snapshots, chain_id).parent / "layer.json").read_bytes())
    return found


def discard(folders: list[str]) -> None:
    """Remove folders, whatever is in them; they may be gone already. Runs where their files are ours."""
    for folder in folders:
        tree.remove(folder)
