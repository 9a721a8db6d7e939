"""Manifests and indexes: asked for by HEAD and GET, believed only where digest, size and type agree."""

from __future__ import annotations

import json
from typing import Any

from nbcontainers.errors import RegistryError
from nbcontainers.oci import digest as digests
from nbcontainers.oci.image import INDEXES, MANIFESTS, MAX_DOCUMENT, Descriptor, descriptor
from nbcontainers.oci.reference import is_tag
from nbcontainers.registry import failure
from nbcontainers.registry.endpoint import Endpoint

ACCEPT = ", ".join((*MANIFESTS, *INDEXES))
_TYPELESS = ("", "application/json", "application/octet-stream", "text/plain", "binary/octet-stream")
"""What a server of plain files says of everything."""
_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+"


def head(endpoint: Endpoint, name: str) -> Descriptor:
    """The descriptor of a tag or digest by HEAD; a registry that does not tell it that way is asked for the whole."""
    doing = _named(endpoint, name)
    with endpoint.ask("HEAD", _path(endpoint, name), doing, headers={"Accept": ACCEPT}) as answer:
        digest, size = answer.headers.get("Docker-Content-Digest"), answer.headers.get("Content-Length") or ""
        kind = answer.media_type
        if not digests.is_digest(digest) or not size.isdecimal() or kind not in MANIFESTS + INDEXES:
            answer.close()
            return get(endpoint, name)[0]
        if digests.is_digest(name) and digest != name:
            raise _lie(endpoint, f"answers a request for {name} with {digest}")
        return descriptor(kind, str(digest), int(size[:18]))


def get(endpoint: Endpoint, name: str, expected: Descriptor | None = None) -> tuple[Descriptor, bytes]:
    """The document with its descriptor. Raises RegistryError for one that is not what was asked for."""
    doing = _named(endpoint, name)
    limit = min(MAX_DOCUMENT, expected["size"]) if expected else MAX_DOCUMENT
    with endpoint.ask("GET", _path(endpoint, name), doing, headers={"Accept": ACCEPT}) as answer:
        if expected and answer.length is not None and answer.length != expected["size"]:
            raise _lie(endpoint, f"sends {answer.length} bytes for {name}, whose descriptor says {expected['size']}")
        content = answer.read(limit)
        said, kind = answer.headers.get("Docker-Content-Digest"), answer.media_type
    wanted = expected["digest"] if expected else name
    found = digests.of(content, wanted if digests.is_digest(wanted) else "")
    if digests.is_digest(wanted) and found != wanted:
        if failure.is_html(kind, content):
            raise failure.not_a_registry(endpoint.source.host, "a web page")
        raise _lie(endpoint, f"sends something else for {wanted}: its digest is {found}")
    if expected and len(content) != expected["size"]:
        raise _lie(endpoint, f"sends {len(content)} bytes for {name}, whose descriptor says {expected['size']}")
    media_type = _media_type(endpoint, content, kind)
    if said and digests.is_digest(said) and digests.of(content, said) != said:
        raise _lie(endpoint, f"says that {name} has the digest {said}, but it is {found}")
    if expected and expected.get("mediaType") not in (None, media_type):
        raise _lie(endpoint, f"serves {name} as {media_type}, which its descriptor calls {expected['mediaType']}")
    return descriptor(media_type, found, len(content)), content


def put(endpoint: Endpoint, content: bytes, media_type: str, name: str) -> str:
    """Store a document; returns its digest."""
    digest = digests.of(content, name if digests.is_digest(name) else "")
    doing = _named(endpoint, name)
    headers = {"Content-Type": media_type}
    with endpoint.ask("PUT", _path(endpoint, name), doing, headers=headers, body=content, fine=(201,)) as answer:
        said = answer.headers.get("Docker-Content-Digest")
    if said and digests.is_digest(said) and said != digests.of(content, said):
        raise _lie(endpoint, f"stored {said} where we sent {digest}")
    return digest


def _path(endpoint: Endpoint, name: str) -> str:
    if not is_tag(name) and not digests.is_digest(name):
        raise RegistryError(f"{failure.clean(name)!r} is neither a tag nor a digest")
    return f"{endpoint.source.path}/manifests/{name}"


def _named(endpoint: Endpoint, name: str) -> str:
    return f"{endpoint.name}{'@' if digests.is_digest(name) else ':'}{name}"


def _media_type(endpoint: Endpoint, content: bytes, kind: str) -> str:
    """What the document is. The header, its own `mediaType` and its keys must tell the same (CVE-2021-41190)."""
    host = endpoint.source.host
    if failure.is_html(kind, content):
        raise failure.not_a_registry(host, "a web page", 200)
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError):
        raise failure.not_a_registry(host, "what it sends as a manifest is not JSON", 200) from None
    if not isinstance(document, dict):
        raise failure.not_a_registry(host, "what it sends as a manifest is no JSON object", 200)
    if kind.startswith(_SCHEMA1) or document.get("schemaVersion") == 1:
        raise RegistryError(
            f"{endpoint.name} is an image of Docker's schema 1, which is too old to be read",
            hint="have its owner push it again with a Docker of this decade, or use another tag",
        )
    own = document.get("mediaType")
    media_type = own if own is not None and kind in _TYPELESS else kind
    if media_type not in MANIFESTS + INDEXES:
        raise RegistryError(f"{endpoint.name} is no image: its type is {failure.clean(str(media_type)) or 'not told'}")
    if own is not None and own != media_type:
        raise _lie(endpoint, f"serves as {media_type} what calls itself {failure.clean(str(own))} (CVE-2021-41190)")
    foreign = ("layers", "config") if media_type in INDEXES else ("manifests",)
    if any(key in document for key in foreign):
        raise _lie(endpoint, "serves a document that is both a manifest and an index (CVE-2021-41190)")
    return str(media_type)


def _lie(endpoint: Endpoint, what: str) -> RegistryError:
    hint = "the registry is damaged or lies: do not use this image"
    return RegistryError(f"{endpoint.source.host} {what}", hint=hint)
