"""Everything a file system tells of a tree, as JSON: `python listing.py FOLDER`, to compare two unpackers."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from typing import Any


def listing(root: str) -> dict[str, dict[str, Any]]:
    """path: mode, owner, mtime, size, content, link target, device, xattrs, and the first path of the same inode."""
    found: dict[str, dict[str, Any]] = {}
    inodes: dict[tuple[int, int], str] = {}
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in ["", *sorted(folders + files)]:
            path = os.path.join(folder, name) if name else folder
            if name and path in found:
                continue
            status = os.lstat(path)
            relative = os.path.relpath(path, root)
            facts: dict[str, Any] = {"mode": oct(status.st_mode), "uid": status.st_uid, "gid": status.st_gid}
            facts["mtime"] = status.st_mtime_ns
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    facts["content"] = hashlib.sha256(file.read()).hexdigest()
                if status.st_nlink > 1:
                    facts["same"] = inodes.setdefault((status.st_dev, status.st_ino), relative)
            elif stat.S_ISLNK(status.st_mode):
                facts["target"] = os.readlink(path)
            elif not stat.S_ISDIR(status.st_mode):
                facts["device"] = status.st_rdev
            names = [name for name in os.listxattr(path, follow_symlinks=False) if ".overlay." not in name]
            facts["xattrs"] = {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in names}
            found[relative] = facts
    return found


if __name__ == "__main__":
    json.dump(listing(sys.argv[1]), sys.stdout)
