"""All tags of a repository, page by page, and an end also where the registry knows none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from nbcontainers.errors import RegistryError
from nbcontainers.oci.image import MAX_DOCUMENT
from nbcontainers.oci.reference import is_tag
from nbcontainers.registry import failure
from nbcontainers.registry.endpoint import Endpoint
from nbcontainers.registry.redirect import place

PAGE = 1000
"""Tags we ask for at once: ECR refuses more."""
MOST = 1_000_000
_NEXT = re.compile(r"""<([^<>]*)>\s*;[^,]*?\brel\s*=\s*"?next"?""", re.IGNORECASE)


def each(endpoint: Endpoint) -> Iterator[str]:
    """The tags. `Link: <…>; rel="next"` leads on; a full page without one is asked for what follows its last tag.

    Raises RegistryError, also for pages without end.
    """
    path = f"{endpoint.source.path}/tags/list"
    url = endpoint.url(f"{path}?n={PAGE}")
    seen: set[str] = set()
    while url:
        page, link = _page(endpoint, url)
        new = [tag for tag in dict.fromkeys(page) if tag not in seen]
        seen.update(new)
        yield from new
        if len(seen) > MOST or (link and not new):
            raise RegistryError(f"{endpoint.name} has tags without end: its pages go round in a circle")
        more = len(page) == PAGE and bool(new) and page == sorted(page)
        last = endpoint.url(f"{path}?{urlencode({'n': PAGE, 'last': page[-1]})}") if more else ""
        url = link or last


def _page(endpoint: Endpoint, url: str) -> tuple[list[str], str]:
    """One page, and the address of the next one or nothing."""
    with endpoint.ask("GET", url, f"repository {endpoint.name}") as answer:
        content = answer.read(MAX_DOCUMENT)
        links = ", ".join(answer.headers.get_all("Link") or [])
    if failure.is_html(answer.media_type, content):
        raise failure.not_a_registry(endpoint.source.host, "a web page", 200)
    try:
        document: Any = json.loads(content)
        tags = document.get("tags") or []
        if not isinstance(tags, list) or not all(isinstance(tag, str) and is_tag(tag) for tag in tags):
            raise ValueError
    except (ValueError, AttributeError, RecursionError):
        raise failure.not_a_registry(endpoint.source.host, f"the tags of {endpoint.name} are no list", 200) from None
    match = _NEXT.search(links)
    return tags, _following(endpoint, url, match[1]) if match else ""


def _following(endpoint: Endpoint, url: str, link: str) -> str:
    after = endpoint.target(url, link)
    if place(after) != place(url):
        raise RegistryError(f"{endpoint.source.host} continues {endpoint.name}'s tags on another host")
    return after
