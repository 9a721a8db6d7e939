"""ADD from a URL: fetched into a folder of its own, checked, its time what the server says (Dockerfile reference, «ADD»)."""

from __future__ import annotations

import email.utils
import hashlib
import os
import posixpath
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from nbcontainers.errors import BuildError, ImageError
from nbcontainers.image import download

URLS = ("http://", "https://")


def is_remote(source: str) -> bool:
    """Whether ADD fetches it; git repositories are builder/git.py's."""
    return source.startswith(URLS)


def fetch(url: str, folder: Path, checksum: str, destination: str, check: Callable[[], None]) -> str:
    """Fetch a URL into the folder; the file's name there. Mode 0600, its time that of Last-Modified, else 1970.

    `check` is called between pieces and may raise. BuildError where it cannot be had or is not what `checksum` says.
    """
    name = _name(url, destination)
    hashed = hashlib.sha256()
    with open(folder / name, "xb") as file:

        def write(piece: bytes) -> None:
            check()
            hashed.update(piece)
            file.write(piece)

        try:
            changed = _time(download.fetch(url, write).get("Last-Modified"))
        except ImageError as error:
            raise BuildError(error.message, hint=error.hint) from None
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
