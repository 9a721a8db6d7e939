"""Docker archives from before 1.10: `repositories`, and a folder a layer with `json`, `layer.tar` and its parent's id.

moby's image/spec/v1.md. The image config of today is made of the chain of those; its DiffIDs are hashed here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError
from nbcontainers.image import layout
from nbcontainers.image.members import Counted, Members, document
from nbcontainers.layer import codec
from nbcontainers.layer.tar import Budget
from nbcontainers.oci.image import (
    LAYER,
    Descriptor,
    ImageConfig,
    descriptor,
    encode,
    is_text_map,
    read_config,
    read_document,
)

_DEEPEST = 127
_KEPT = ("architecture", "os", "config", "author", "created")


Parts = tuple[bytes, ImageConfig, list[Descriptor], list[str]]


def read(engine: Engine, members: Members, left_out: Callable[[ImageConfig], bool]) -> Iterator[Parts]:
    """The config's content, the config, the layers and the names of each image. Its layers are in the store then."""
    for top, names in _tops(members).items():
        chain = _chain(members, top)
        config: dict[str, Any] = {key: chain[-1][1][key] for key in _KEPT if key in chain[-1][1]}
        if left_out(cast(ImageConfig, config)):
            continue
        layers = [_layer(engine, members, id) for id, _ in chain]
        config["rootfs"] = {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}
        content = encode(config | {"history": [_step(one) for _, one in chain]})
        yield content, read_config(content, len(layers), f"the config of {top[:12]}"), layers, names


def _tops(members: Members) -> dict[str, list[str]]:
    """The id of each named image, and its names."""
    found: dict[str, list[str]] = {}
    for repository, tags in read_document(document(members, "repositories"), "repositories").items():
        if not is_text_map(tags):
            raise ImageError("repositories is of another form than Docker's")
        for tag, id in cast(dict[str, str], tags).items():
            found.setdefault(id, []).append(f"{repository}:{tag}")
    return found


def _chain(members: Members, top: str) -> list[tuple[str, dict[str, Any]]]:
    """The layers of an image, bottom first: id and JSON."""
    found: list[tuple[str, dict[str, Any]]] = []
    id: Any = top
    while id:
        if not isinstance(id, str) or len(found) >= _DEEPEST:
            raise ImageError(f"the chain of parents of {top[:12]} has no end")
        found.append((id, read_document(document(members, f"{id}/json"), f"{id}/json")))
        id = found[-1][1].get("parent")
    return found[::-1]


def _layer(engine: Engine, members: Members, id: str) -> Descriptor:
    """It may be compressed; it is kept plain."""
    source, budget = Counted(members.open(f"{id}/layer.tar")), Budget()

    def pieces() -> Iterator[bytes]:
        count = 0
        for piece in codec.chunks(source):
            count += len(piece)
            budget.check_bytes(count, source.at)
            yield piece

    digest, size = layout.put(engine, pieces())
    return descriptor(LAYER, digest, size)


def _step(one: dict[str, Any]) -> dict[str, Any]:
    made_by = one.get("container_config")
    command = (made_by.get("Cmd") if isinstance(made_by, dict) else None) or []
    text = " ".join(map(str, command)) if isinstance(command, list) else str(command)
    return {"created": one.get("created"), "created_by": text, "comment": one.get("comment") or ""}
