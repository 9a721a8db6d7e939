"""A file from the web, by http or https, through the proxies of the environment."""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from nbcontainers.errors import ImageError
from nbcontainers.version import VERSION

URLS = ("http://", "https://")
_TIMEOUT_S = 30
_PIECE = 1 << 18


def is_url(text: str) -> bool:
    return text.startswith(URLS)


def fetch(url: str, write: Callable[[bytes], object]) -> Message:
    """Give all its bytes to `write`; the headers. ImageError where it cannot be had, or not all of it."""
    asked = Request(url, headers={"User-Agent": f"nbcontainers/{VERSION}", "Accept-Encoding": "identity"})
    try:
        with urlopen(asked, timeout=_TIMEOUT_S) as answer:
            count = _read(answer, write)
            headers: Message = answer.headers
    except HTTPError as error:
        raise _failed(url, f"the server says {error.code} {error.reason}".rstrip()) from None
    except (OSError, HTTPException, ValueError) as error:
        raise _failed(url, getattr(error, "reason", None) or error) from None
    said = headers.get("Content-Length")
    if said is not None and said != str(count):  # read(n) of http.client does not tell
        raise _failed(url, f"it ended after {count} of {said} bytes")
    return headers


def _read(answer: Any, write: Callable[[bytes], object]) -> int:
    count = 0
    while piece := answer.read(_PIECE):
        write(piece)
        count += len(piece)
    return count


def _failed(url: str, reason: object) -> ImageError:
    return ImageError(f"{url} cannot be fetched: {reason}", hint="is the address right, and can this host reach it?")
