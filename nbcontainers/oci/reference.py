"""Image references: `registry/repository:tag@digest`, read as Docker reads them.

The grammar is distribution/reference's; the normalisation is Docker's: without a registry it is docker.io, there a
name of one part belongs to `library/`, and without tag and digest the tag is `latest`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from nbcontainers.errors import InvalidArgument
from nbcontainers.oci.digest import is_digest

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HEX64 = re.compile(r"[0-9a-f]{64}")

LOCAL = "localhost"
HUB = "docker.io"


class Reference(NamedTuple):
    """A normalised reference; `tag` or `digest` may be empty, not both."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        return f"{self.domain}/{self.path}"

    @property
    def familiar(self) -> str:
        """The shortest form a person would type: `nginx:1.21`, `mini:latest`, `quay.io/a/b:c`."""
        text = str(self)
        for prefix in (f"{HUB}/library/", f"{HUB}/", f"{LOCAL}/"):
            short = text.removeprefix(prefix)
            if short != text and not _names_registry(short.partition("/")[0], "/" in short):
                return short
        return text

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str, *, default_domain: str = HUB) -> Reference:
    """Read and normalise a reference. InvalidArgument says what is wrong with it.

    `default_domain` is what a name without registry belongs to: docker.io in archives and pulls, localhost for
    names the user gives to images made here.
    """
    if not isinstance(text, str):
        raise InvalidArgument(f"an image is named by text, not by {text!r}", hint="write 'NAME[:TAG]'")
    rest, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise _invalid(text, f"{digest!r} is no digest (sha256: and 64 hexadecimal digits)")
    name, tag = _split_tag(rest)
    domain, path = _split_domain(name, default_domain)
    if tag is not None and not is_tag(tag):
        raise _invalid(text, f"{tag!r} is no tag (letters, digits, '_', '.', '-'; at most 128)")
    _check_name(text, domain, path)
    return Reference(domain, path, tag or ("" if digest else "latest"), digest)


def candidates(text: str) -> list[Reference]:
    """What a name can mean in the store, in the order to try: localhost/NAME first, then Docker's reading."""
    found = [parse(text, default_domain=LOCAL), parse(text)]
    return found if found[0] != found[1] else found[:1]


def is_repository(text: str) -> bool:
    """Whether a name has neither tag nor digest, and so may stand for all images of its repository."""
    return "@" not in text and _split_tag(text)[1] is None


def is_tag(text: str) -> bool:
    """Whether it is of a tag's form: letters, digits, `_`, `.`, `-`; at most 128."""
    return _TAG.fullmatch(text) is not None


def _split_tag(text: str) -> tuple[str, str | None]:
    name, colon, tag = text.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (text, None)


def _split_domain(name: str, default: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if _names_registry(first, bool(slash)):
        domain, path = (HUB if first == "index.docker.io" else first), rest
    else:
        domain, path = default, name
    if domain == HUB and path and "/" not in path:
        path = f"library/{path}"
    return domain, path


def _names_registry(first: str, more: bool) -> bool:
    """Whether the first part of a name is a registry; only where more follows."""
    return more and bool(set(first) & {".", ":"} or first == LOCAL or first.lower() != first)


def _check_name(text: str, domain: str, path: str) -> None:
    if not _PATH.fullmatch(path):
        why = "must be lower case" if _PATH.fullmatch(path.lower()) else "is no repository name"
        raise _invalid(text, f"{path.removeprefix('library/')!r} {why}")
    if not _DOMAIN.fullmatch(domain):
        raise _invalid(text, f"{domain!r} is no registry")
    if len(domain) + 1 + len(path) > 255:
        raise _invalid(text[:40] + "…", "a name has at most 255 characters")
    if _HEX64.fullmatch({HUB: path.removeprefix("library/"), LOCAL: path}.get(domain, "")):
        raise _invalid(text, "64 hexadecimal digits are an id, not a name")


def _invalid(text: str, why: str) -> InvalidArgument:
    return InvalidArgument(f"invalid image reference {text!r}: {why}", hint="write NAME[:TAG], for example nginx:1.25")
