"""Image: a frozen handle; its properties read the store (content-addressed, so what was read once stays true)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from nbcontainers import view
from nbcontainers.engine import Engine
from nbcontainers.errors import InvalidArgument, NotFound
from nbcontainers.image import layout, snapshot
from nbcontainers.oci import reference as references
from nbcontainers.oci.image import (
    BASE,
    CONFIG,
    MANIFEST,
    Descriptor,
    ImageConfig,
    Manifest,
    chain_ids,
    descriptor,
    read_config,
    read_manifest,
)

HOST, MINI = layout.EMBEDDED


@dataclass(frozen=True, repr=False)
class Image:
    """One image of the store. `digest` is its manifest's, `reference` the name it was found by ("" if it has none).

    The embedded image `host` has neither manifest nor layers; its digest is its config's.
    """

    engine: Engine
    digest: str
    reference: str = ""
    manifest_size: int = 0

    @property
    def is_host(self) -> bool:
        """Whether this is the host's own root file system."""
        return self.reference == HOST

    @property
    def manifest(self) -> Manifest:
        return _manifest(self.engine, self.digest, self.manifest_size)

    @property
    def id(self) -> str:
        """The digest of the config: what Docker calls the image's ID."""
        return self.digest if self.is_host else self.manifest["config"]["digest"]

    @property
    def config(self) -> ImageConfig:
        """The image config (config.md); `config["config"]` holds Env, Cmd, Entrypoint, User, WorkingDir, …"""
        if self.is_host:
            from nbcontainers.image import host

            return host.config()
        return _config(self.engine, self.digest, self.manifest_size)

    @property
    def layers(self) -> list[Descriptor]:
        """Descriptors of the layers' blobs, bottom first."""
        return [] if self.is_host else self.manifest["layers"]

    @property
    def base(self) -> str:
        """What is below the layers: "host" for this machine's folders, "" for nothing."""
        return self.config["rootfs"].get(BASE, "")

    @property
    def chain_ids(self) -> list[str]:
        """What the unpacked layers are called, bottom first."""
        return chain_ids(self.config["rootfs"]["diff_ids"], self.base)

    @property
    def created(self) -> str | None:
        """RFC 3339 text."""
        return self.config.get("created")

    @property
    def content_size(self) -> int:
        """Bytes of the layers' blobs, as they travel."""
        return sum(layer["size"] for layer in self.layers)

    @property
    def size(self) -> int | None:
        """Bytes of the files in the unpacked layers; None while they are not unpacked."""
        try:
            return sum(int(snapshot.facts(self.engine.snapshots, chain)["size"]) for chain in self.chain_ids)
        except FileNotFoundError:
            return None

    @property
    def descriptor(self) -> Descriptor:
        return descriptor(self.manifest.get("mediaType", MANIFEST), self.digest, self.manifest_size)

    @property
    def names(self) -> list[str]:
        """Every reference that means this image."""
        if self.is_host:
            return [HOST]
        index = layout.read_index(self.engine)
        return sorted(name for name, one in index.names.items() if one["digest"] == self.digest)

    def __str__(self) -> str:
        return self.reference or self.id

    def __repr__(self) -> str:
        return f"<Image {self.reference or '<none>'} {self.digest[7:19]}>"

    def _live_(self) -> tuple[str, dict[str, object]]:
        """The card with the explorer of its layers (widgets/layers.py)."""
        return "layers", {
            "image": self.reference if self.is_host else self.digest,
            "name": self.reference,
            "card": True,
        }

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> view.Bundle:
        """A card with its layers."""
        from nbcontainers.image import portrait

        return view.bundle(self, lambda: portrait.of(self))


@lru_cache(256)
def _manifest(engine: Engine, digest: str, size: int) -> Manifest:
    return read_manifest(layout.read_blob(engine, descriptor(MANIFEST, digest, size)), f"manifest {digest}")


@lru_cache(256)
def _config(engine: Engine, digest: str, size: int) -> ImageConfig:
    manifest = _manifest(engine, digest, size)
    content = layout.read_blob(engine, manifest["config"] | {"mediaType": CONFIG})
    return read_config(content, len(manifest["layers"]), f"config {manifest['config']['digest']}")


def of_descriptor(engine: Engine, one: Descriptor, name: str = "") -> Image:
    return Image(engine, one["digest"], name, one["size"])


def on_host(image: Image, problem: str) -> InvalidArgument:
    """The error for what only an image that is whole can do."""
    if image.is_host:
        hint = "take another image, as %image ls shows them: mini is a small one"
        return InvalidArgument(f"host is this machine itself and {problem}", hint=hint)
    familiar = references.parse(image.reference).familiar if image.reference else image.id[7:19]
    name = familiar.removesuffix(":latest")
    return InvalidArgument(
        f"{name} lies on this machine's own folders (it was made of host) and {problem}",
        hint=f"build an image that has what is needed of it: FROM mini, then COPY --from={name} /PATH /PATH",
    )


def missing(text: str, close: list[str]) -> NotFound:
    """The error for an image that is not here, with what to type."""
    guess = f"did you mean {' or '.join(close)}? " if close else ""
    hint = f"{guess}%image ls shows what is here; %image pull, load and import bring one in"
    return NotFound(f"no image {text!r} in the store", hint=hint, image=text)
