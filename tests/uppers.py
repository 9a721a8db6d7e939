"""Folders as overlayfs leaves them, made by hand."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

OPAQUE = "user.overlay.opaque"


def grow(folder: Path, tree: dict[str, Any]) -> Path:
    """str: a file; None: a whiteout; a dict: a folder, opaque if it has the key "!"; Path: a link. All of one time."""
    folder.mkdir()
    for name, what in tree.items():
        path = folder / name
        if name == "!":
            os.setxattr(folder, OPAQUE, b"y")
        elif isinstance(what, dict):
            grow(path, what)
        elif what is None:
            os.mknod(path, stat.S_IFCHR | 0o600, 0)
        elif isinstance(what, Path):
            path.symlink_to(what)
        else:
            path.write_text(what)
        if not isinstance(what, dict) and name != "!":
            os.utime(path, (1, 1), follow_symlinks=False)
    return folder
