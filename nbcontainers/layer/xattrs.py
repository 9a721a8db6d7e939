"""Extended attributes of files in layers: which ones a layer carries, and reading them (xattr(7))."""

from __future__ import annotations

import errno
import os

OVERLAY = (b"trusted.overlay.", b"user.overlay.")
"""What overlayfs writes for itself: it means nothing elsewhere, and must never come out of a layer."""
_PACKED = (b"user.", b"security.capability", b"system.posix_acl_")
_NONE = (errno.ENOTSUP, errno.ENODATA)


def read(place: int | bytes) -> dict[bytes, bytes]:
    """All but overlayfs' own of an open file, or of a path (links not followed)."""
    follow = {} if isinstance(place, int) else {"follow_symlinks": False}
    try:
        names = os.listxattr(place, **follow)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        return {}
    found = {}
    for name in map(os.fsencode, names):
        if not name.startswith(OVERLAY):
            try:
                found[name] = os.getxattr(place, name, **follow)
            except OSError as error:
                if error.errno not in _NONE:  # it went meanwhile
                    raise
    return found


def packed(place: int | bytes) -> dict[bytes, bytes]:
    """Those that travel in a layer: user.*, file capabilities and access lists. A PAX record cannot name `=`."""
    return {name: value for name, value in read(place).items() if name.startswith(_PACKED) and b"=" not in name}
