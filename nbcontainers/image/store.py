"""Which image a text means."""

from __future__ import annotations

import re

from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.image import layout
from nbcontainers.image.image import HOST, MINI, Image, missing, of_descriptor
from nbcontainers.oci import reference as references
from nbcontainers.oci.image import REF_NAME
from nbcontainers.oci.reference import Reference

_ID = re.compile(r"(?:sha256:)?([0-9a-f]{3,64})")


def resolve(engine: Engine, reference: str) -> Image:
    """The image of that name, name:tag, name@digest, id or unambiguous start of an id.

    A short name is looked for as localhost/NAME and then as Docker reads it; names win over ids. `host` and `mini`
    always exist: `mini` is put together when it is first asked for. Raises NotFound with the closest names,
    InvalidArgument for what can be no name, and for an id that could mean several images.
    """
    index = layout.read_index(engine)
    known = index.memo.get(reference)
    if isinstance(known, Image) and known.engine is engine:
        return known
    image = _find(engine, index, reference)
    if not image.is_host:
        index.memo[reference] = image
    return image


def _find(engine: Engine, index: layout.Index, text: str) -> Image:
    wanted = _candidates(text)
    for one in wanted:
        if image := _named(engine, index, one):
            return image
    if isinstance(text, str) and (match := _ID.fullmatch(text)):
        if image := _by_id(engine, index, text, match[1]):
            return image
    if not wanted:
        references.parse(text)  # raises, and says what is wrong with it
    raise missing(text, close_names(engine, text))


def _candidates(text: str) -> list[Reference]:
    try:
        return references.candidates(text)
    except InvalidArgument:
        return []  # an id, perhaps


def _named(engine: Engine, index: layout.Index, wanted: Reference) -> Image | None:
    if wanted.digest:
        return _by_digest(engine, index, wanted)
    name = str(wanted)
    if one := index.names.get(name):
        return of_descriptor(engine, one, name)
    if name == HOST:
        from nbcontainers.image import host

        return host.image(engine)
    if name == MINI:
        from nbcontainers.image import mini

        return mini.build(engine)
    return None


def _by_digest(engine: Engine, index: layout.Index, wanted: Reference) -> Image | None:
    """name@digest: the digest decides, the repository must fit."""
    for name, one in index.names.items():
        if references.parse(name).repository == wanted.repository:
            image = of_descriptor(engine, one, name)
            chosen_from = one.get("annotations", {}).get(layout.INDEX_NOTE)
            if wanted.digest in (one["digest"], image.id, chosen_from):
                return image
    return None


def _by_id(engine: Engine, index: layout.Index, text: str, digits: str) -> Image | None:
    """By the start of the config's or the manifest's digest. Of several with one config any will do."""
    found = [
        image
        for image in images(engine)
        if any(digest.removeprefix("sha256:").startswith(digits) for digest in (image.id, image.digest))
    ]
    ids = sorted({image.id for image in found})
    if len(ids) > 1:
        some = ", ".join(one[7:19] for one in ids)
        raise InvalidArgument(f"{text!r} could mean {len(ids)} images: {some}", hint="type more of its digits")
    return found[0] if found else None


def alike(engine: Engine, text: str, image: Image) -> list[Image]:
    """What `text`, which meant `image`, means besides: by an id, all manifests of its config (one a compression)."""
    match = _ID.fullmatch(text)
    if not match or not image.id.removeprefix("sha256:").startswith(match[1]):
        return [image]
    return list({one.digest: one for one in [image, *images(engine)] if one.id == image.id}.values())


def images(engine: Engine) -> list[Image]:
    """Everything in the index, an image once a name; `host` last."""
    from nbcontainers.image import host

    index = layout.read_index(engine)
    found = [of_descriptor(engine, one, one.get("annotations", {}).get(REF_NAME, "")) for one in index.manifests]
    return [*found, host.image(engine)]


def names(engine: Engine) -> list[str]:
    """What a person may type for an image, for completion: short forms, the embedded ones always."""
    familiar = {short(name) for name in layout.read_index(engine).names}
    return sorted(familiar | {"host", "mini"})


def short(name: str) -> str:
    """`mini` for localhost/mini:latest, `nginx:1.21` for docker.io/library/nginx:1.21."""
    try:
        return references.parse(name).familiar.removesuffix(":latest")
    except InvalidArgument:  # a layout filled by somebody else may hold any name
        return name


def close_names(engine: Engine, text: str) -> list[str]:
    from difflib import get_close_matches

    return get_close_matches(text, names(engine), 3, 0.5)
