"""ADD from a URL: fetched into a folder of its own, checked, its time what the server says (Dockerfile reference, «ADD»)."""

from __future__ import annotations

import email.utils
import hashlib
import os
import posixpath
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from nbcontainers.errors import BuildError
from nbcontainers.version import VERSION

URLS = ("http://", "https://")
_TIMEOUT_S = 30
_PIECE = 1 << 18


def is_remote(source: str) -> bool:
    """Whether ADD fetches it; git repositories are builder/git.py's."""
    return source.startswith(URLS)


def fetch(url: str, folder: Path, checksum: str, destination: str, check: Callable[[], None]) -> str:
    """Fetch a URL into the folder; the file's name there. Mode 0600, its time that of Last-Modified, else 1970.

    `check` is called between pieces and may raise. BuildError where it cannot be had or is not what `checksum` says.
    """
    name = _name(url, destination)
    hashed = hashlib.sha256()
    asked = Request(url, headers={"User-Agent": f"nbcontainers/{VERSION}", "Accept-Encoding": "identity"})
    try:
        with urlopen(asked, timeout=_TIMEOUT_S) as answer, open(folder / name, "xb") as file:
            while piece := answer.read(_PIECE):
                check()
                hashed.update(piece)
                file.write(piece)
            changed = _time(answer.headers.get("Last-Modified"))
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise BuildError(
            f"{url} cannot be fetched: {reason}", hint="is the address right, and can this host reach it?"
        ) from None
    if checksum and checksum != f"sha256:{hashed.hexdigest()}":
        raise BuildError(
            f"{url} is sha256:{hashed.hexdigest()}, not {checksum}", hint="mend --checksum if you trust what came"
        )
    os.chmod(folder / name, 0o600)
    os.utime(folder / name, (changed, changed))
    return name


def _name(url: str, destination: str) -> str:
    """The file's name: the last part of the URL's path."""
    name = posixpath.basename(unquote(urlsplit(url).path))
    if name in ("", ".", "..") or "\0" in name:
        if destination.endswith("/"):
            raise BuildError(
                f"{url} names no file", hint="write where it goes with the file's name, as /data/page.html"
            )
        return "file"
    return name


def _time(text: str | None) -> float:
    try:
        return email.utils.parsedate_to_datetime(text or "").timestamp()
    except ValueError:
        return 0.0
