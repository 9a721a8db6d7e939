"""The verbs of `image`: each a function here, a word on the command line and in the magics.

An image is given by name (`mini`, `nginx:1.21`), name@digest, id or the beginning of its id. `engine` is where the
store lives; by default this user's own. `progress` is called with what happens (see image/progress.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from nbcontainers.engine import Engine, default_engine
from nbcontainers.errors import InvalidArgument
from nbcontainers.image import options
from nbcontainers.image.image import Image
from nbcontainers.option import Option, Unasked

if TYPE_CHECKING:
    from nbcontainers.image.layerview import Layers
    from nbcontainers.image.progress import Listener
    from nbcontainers.table import Table

__all__ = [
    "build",
    "df",
    "diff",
    "export",
    "history",
    "import_",
    "inspect",
    "layers",
    "load",
    "login",
    "logout",
    "ls",
    "outdated",
    "prune",
    "pull",
    "push",
    "rm",
    "save",
    "search_tags",
    "tag",
    "tags",
    "tree",
    "verify",
]


# Making.


def build(
    context: options.Context = ".",
    *,
    tag: options.Tags = (),
    file: options.Dockerfile = "",
    target: Annotated[str, Option(help="the stage to build, if not the last", metavar="STAGE")] = "",
    build_arg: options.Arguments = (),
    build_context: options.Contexts = (),
    context_from: options.ContextFrom = "",
    platform: options.Platform = "",
    label: options.Labels = (),
    annotation: options.Labels = (),
    no_cache: Annotated[bool, Option(help="do every step, whatever was kept of earlier builds")] = False,
    no_cache_filter: Annotated[Sequence[str], Option(help="the same for one stage", metavar="STAGE")] = (),
    cache_from: options.CacheFrom = (),
    cache_to: options.CacheTo = (),
    pull: Annotated[bool, Option(help="ask the registries for newer base images")] = False,
    secret: options.Secrets = (),
    ssh: Annotated[Sequence[str], Option(help="an agent for RUN --mount=type=ssh", metavar="default|ID[=SOCKET]")] = (),
    allow: options.Allowed = (),
    network: Annotated[str, Option("--net", help="the network of RUN, as of container run", metavar="NETWORK")] = "",
    add_host: Annotated[Sequence[str], Option(help="a line of /etc/hosts for RUN", metavar="NAME:ADDRESS")] = (),
    memory: Annotated[str, Option("-m", help="memory that a RUN may use, as 2g", metavar="SIZE")] = "",
    cpus: Annotated[str, Option(help="processors that a RUN may use, as 1.5", metavar="NUMBER")] = "",
    shm_size: Annotated[str, Option(help="size of /dev/shm in a RUN", metavar="SIZE")] = "",
    squash: Annotated[bool, Option(help="the layers of this build as one, on those of its base")] = False,
    output: options.BuildOutput = (),
    iidfile: Annotated[str, Option(help="write the image's id to this file", metavar="FILE", complete="path")] = "",
    dockerfile: str | None = None,
    progress: Listener | None = None,
    engine: Engine | None = None,
) -> Image:
    """Make an image as a Dockerfile says.

    Stages that the target does not need are left out, the others are built side by side, and steps whose inputs are
    as they were are taken from the cache. The Dockerfile is CONTEXT/Dockerfile, or the cell's text.

    Raises BuildError, which shows the line; nothing of a failed step stays.
    """
    from importlib import import_module

    orders = import_module("nbcontainers.builder.orders")  # by name: the builder is above the store
    given = {
        name: value for name, value in locals().items() if name not in ("import_module", "orders", "engine", "progress")
    }
    result: Image = orders.build(engine or default_engine(), progress, **given)
    return result


# In and out.


def pull(
    *references: options.Pulled,
    platform: options.Platform = "",
    all_tags: Annotated[bool, Option("-a", help="every tag of the repository")] = False,
    tls_verify: options.TlsVerify = None,
    progress: Listener | None = None,
    engine: Engine | None = None,
) -> list[Image]:
    """Bring images from a registry into the store, unpacked.

    Only what is missing is fetched, all layers at the same time; every byte is checked.

    Raises RegistryError, ImageError or NotFound, and then the store is as it was.
    """
    from nbcontainers.image import pulling, removal

    _some(references, "pull", "%image pull NAME[:TAG]")
    with removal.unless_all_is_well(store := engine or default_engine()):
        return [
            image for text in references
            for image in pulling.pull(
                store, str(text), platform=platform, all_tags=all_tags, tls_verify=tls_verify, progress=progress
            )
        ]  # fmt: skip


def push(
    image: options.Name,
    destination: options.Destination = "",
    *,
    all_tags: Annotated[bool, Option("-a", help="every name that the image's repository has here")] = False,
    tls_verify: options.TlsVerify = None,
    progress: Listener | None = None,
    engine: Engine | None = None,
) -> str:
    """Send an image to a registry, byte for byte as it is here.

    What the registry has already is not sent. The result is the digest of the manifest there.

    Raises RegistryError.
    """
    from nbcontainers.image import pushing

    return pushing.push(
        engine or default_engine(), str(image), destination, all_tags=all_tags, tls_verify=tls_verify, progress=progress
    )  # fmt: skip


def load(
    file: options.Archive = "",
    *,
    input: options.Input = "",
    platform: options.PlatformOfIndex = "",
    progress: Listener | None = None,
    engine: Engine | None = None,
) -> list[Image]:
    """Bring in the images of an archive, with their names.

    What `docker save`, `podman save`, `skopeo copy` or `buildah push` wrote, compressed or not; `-` is the input. All
    digests are checked and all layers unpacked.

    Raises ImageError, and then the store is as it was.
    """
    from nbcontainers.image import archive, removal

    if bool(file) == bool(input):
        raise InvalidArgument(
            "load needs one archive", hint="%image load FILE, or %image load - for what comes in by a pipe"
        )
    with removal.unless_all_is_well(store := engine or default_engine()):
        return archive.load(store, str(file or input), platform, progress)


def save(
    *references: options.Name,
    output: options.OutputOrFolder = "",
    format: options.Form = options.FORMS[0],
    uncompressed: Annotated[bool, Option(help="layers as plain tars, for what cannot read theirs")] = False,
    compress: Annotated[
        str, Option(help="the archive as a whole, by gzip or zstd", metavar="HOW", choices=("gzip", "zstd"))
    ] = "",
    engine: Engine | None = None,
) -> None:
    """Write images with their names to one archive, which Docker, podman, skopeo and `image load` read.

    A docker-archive is an oci-archive as well (as Docker 25 and later write it), its zstd layers are plain tars. Blobs
    are checked on the way and written once; the same images make the same bytes. The file is there as a whole or not at all.
    """
    from nbcontainers.image import saving

    _some(references, "save", "%image save IMAGE -o FILE; %image ls shows them")
    texts = [str(text) for text in references]
    saving.save(engine or default_engine(), texts, str(output), format, uncompressed=uncompressed, compress=compress)


def import_(
    file: options.Tar,
    reference: options.Given = "",
    *,
    change: options.Change = (),
    message: Annotated[str, Option("-m", help="a comment for its history")] = "",
    platform: options.PlatformOfTar = "",
    engine: Engine | None = None,
) -> Image:
    """Make an image of one layer from the tar of a root file system.

    What `docker export`, debootstrap or mmdebstrap made; FILE may be a URL.

    Raises ImageError for a tar that is damaged or hostile, and then the store is as it was.
    """
    from nbcontainers.image import imported, removal

    with removal.unless_all_is_well(store := engine or default_engine()):
        return imported.import_(store, str(file), reference, _texts(change), message, platform)


def export(image: options.Name, *, output: options.Output = "", engine: Engine | None = None) -> None:
    """Write all files of an image to one tar, as its containers would see them; `image import` reads it.

    The same image makes the same bytes. The file is there as a whole or not at all.
    """
    from nbcontainers.image import exporting

    exporting.export(engine or default_engine(), str(image), str(output))


# What is here.


def ls(
    name: options.Begins = "",
    *,
    all_: Annotated[bool, Option("-a", help="also those without a name")] = False,
    filter: options.Filter = (),
    digests: Annotated[bool, Option(help="also what each name means at its registry")] = False,
    no_trunc: Annotated[bool, Option(help="ids and digests as long as they are")] = False,
    engine: Engine | None = None,
) -> Table:
    """List the images, the embedded ones too.

    SIZE is that of the unpacked files; rows also have the digest and `content_size`, the bytes of the blobs.
    """
    from nbcontainers.image import listing

    return listing.table(
        engine or default_engine(), name, all_=all_, filters=_texts(filter), digests=digests, whole=no_trunc
    )


def inspect(*references: options.Name, engine: Engine | None = None) -> list[dict[str, Any]]:
    """Everything known of the images, in Docker's words."""
    from nbcontainers.image import listing
    from nbcontainers.image.store import resolve

    _some(references, "inspect", "%image inspect IMAGE; %image ls shows them")
    store = engine or default_engine()
    return [listing.details(resolve(store, str(text))) for text in references]


def history(
    image: options.Name,
    *,
    moved: Annotated[bool, Option(help="instead what its name has meant, and since when")] = False,
    no_trunc: Annotated[bool, Option(help="ids and commands as long as they are")] = False,
    engine: Engine | None = None,
) -> Table:
    """The steps an image was made in, the last one first, with the size of the layer each made."""
    from nbcontainers.image import listing
    from nbcontainers.image.store import resolve

    found = resolve(engine or default_engine(), str(image))
    return listing.moves(found) if moved else listing.history(found, whole=no_trunc)


def tree(*references: options.Name, engine: Engine | None = None) -> Table:
    """The layers of images, or of all, as a tree: which instruction made each, its size, and its files + ~ -.

    Images share the layers they begin with; the column `images` shows where each ends.
    """
    from nbcontainers.image import stack
    from nbcontainers.image.store import images, resolve

    store = engine or default_engine()
    found = [resolve(store, str(text)) for text in references] or images(store)
    return stack.tree(found, unpack=bool(references))


def layers(
    image: options.Name,
    *,
    lowest_efficiency: options.LowestEfficiency = None,
    highest_wasted_bytes: options.HighestWastedBytes = None,
    highest_wasted_percent: options.HighestWastedPercent = None,
    lines: Annotated[int, Option(help="paths shown of all trees together, at most 300", metavar="N")] = 120,
    on_read: Listener | None = None,
    engine: Engine | None = None,
) -> Layers:
    """The layers of an image, the files each adds, changes and removes, and the bytes that nobody sees.

    Bytes are wasted where a layer above stores or removes the same path. `.files()` has every path of every layer as a
    DataFrame. The first look at an image reads all its files, later ones what is kept of that; a cell that somebody
    looks at shows at once what the image says itself, and the rest as soon as it was read.

    Raises Wasteful where a limit is missed, for a check as dive's CI does it.
    """
    from nbcontainers.image import thrift, unread
    from nbcontainers.image.store import resolve

    found = unread.of(resolve(engine or default_engine(), str(image)), lines=int(lines), told=on_read)
    thrift.check(found, lowest_efficiency, highest_wasted_bytes, highest_wasted_percent)
    return found


def diff(one: options.Name, other: options.Other, *, engine: Engine | None = None) -> Table:
    """The files in which two images differ: A only in the second, D only in the first, C in both.

    Rows: kind, path, before, after (bytes). A new time alone is no difference. Images are unpacked if need be.
    """
    from nbcontainers.image import difference
    from nbcontainers.image.store import resolve

    store = engine or default_engine()
    return difference.diff(resolve(store, str(one)), resolve(store, str(other)))


def verify(*references: options.Name, engine: Engine | None = None) -> Table:
    """Check images, or the whole store: hash every blob, compare every unpacked layer with its tar.

    Raises ImageError that names what is damaged and says what to type.
    """
    from nbcontainers.image import verifying

    return verifying.verify(engine or default_engine(), [str(text) for text in references])


# Names and room.


def tag(image: options.Name, reference: options.NewName, *, engine: Engine | None = None) -> Image:
    """Give an image one more name. A name that meant another image moves."""
    from nbcontainers.image import tagging

    return tagging.tag(engine or default_engine(), str(image), reference)


def rm(
    *references: options.Name,
    force: Annotated[bool, Option("-f", help="also with several names, in use, or not there at all")] = False,
    engine: Engine | None = None,
) -> list[str]:
    """Remove names, and with the last one the image and every layer that nothing else needs.

    The result is what was untagged and deleted, as Docker reports it. A container keeps its unpacked layers in any case.

    Raises InvalidState while a container uses it.
    """
    from nbcontainers.image import removal

    _some(references, "rm", "%image rm IMAGE; %image ls shows them")
    store = engine or default_engine()
    report = [line for text in references for line in removal.remove(store, str(text), force=force)]
    removal.sweep(store)
    return report


def prune(
    *,
    all_: Annotated[bool, Option("-a", help="all images without a container, not only those without a name")] = False,
    filter: options.PruneFilter = (),
    dry_run: Annotated[bool, Option(help="only show what would go")] = False,
    force: Unasked = False,
    engine: Engine | None = None,
) -> Table:
    """Remove images that nobody needs, and what they alone need; one row for each, with the bytes that gives back.

    What a running pull, load, build or a container needs stays.
    """
    from nbcontainers.image import pruning

    return pruning.prune(engine or default_engine(), all_=all_, filters=_texts(filter), dry_run=dry_run)


def df(
    *,
    layers: Annotated[bool, Option(help="one row a layer, with the images that need it")] = False,
    engine: Engine | None = None,
) -> Table:
    """How much room each image takes: files, blobs, what it shares with others, what removing it would give back."""
    from nbcontainers.image import usage

    store = engine or default_engine()
    return usage.layers(store) if layers else usage.images(store)


# Registries.


def tags(
    repository: options.Repository,
    pattern: options.Pattern = "",
    *,
    kind: options.Kind = "",
    limit: Annotated[int, Option("-n", help="only so many, the newest versions")] = 0,
    digests: Annotated[bool, Option(help="ask what each means now, and show which images here are the same")] = False,
    tls_verify: options.TlsVerify = None,
    engine: Engine | None = None,
) -> Table:
    """List a registry's tags, newest version first, and how each moves.

    `latest` moves with every release, `1` and `1.21` with each release of theirs, `1.21.7` stays by convention; only a
    digest is fixed in truth. HERE is what the tag means in the store. Nothing is pulled.

    Raises RegistryError.
    """
    from nbcontainers.image import remote

    store = engine or default_engine()
    return remote.tags(store, repository, pattern, kind=kind, limit=limit, digests=digests, tls_verify=tls_verify)


def search_tags(
    repository: options.Repository,
    pattern: options.Pattern = "",
    *,
    limit: Annotated[int, Option("-n", help="only so many; 0 for all")] = 25,
    tls_verify: options.TlsVerify = None,
    engine: Engine | None = None,
) -> Table:
    """List a registry's tags plainly, as Podman's `search --list-tags` does.

    Raises RegistryError.
    """
    from nbcontainers.image import remote

    return remote.search(engine or default_engine(), repository, pattern, limit=limit, tls_verify=tls_verify)


def outdated(*references: options.Name, tls_verify: options.TlsVerify = None, engine: Engine | None = None) -> Table:
    """Ask the registries whether the tags that are here (all, or those named) still mean the same.

    STATE is `up to date`, `moved`, `gone` or `unreachable`; HERE SINCE is when the image came. Nothing is pulled.
    """
    from nbcontainers.image import remote

    return remote.outdated(engine or default_engine(), references, tls_verify=tls_verify)


def login(
    registry: options.Registry = "",
    *,
    username: options.User = "",
    password: options.Password = "",
    password_stdin: Annotated[bool, Option(help="take the password from the input")] = False,
    tls_verify: options.TlsVerify = None,
    engine: Engine | None = None,
) -> str:
    """Log in at a registry.

    The password is asked for, checked there, and kept where docker and podman find it too. The result is where: a
    credential helper, if docker's configuration names one, else a file that only you can read.

    Raises RegistryError, and keeps nothing, when the registry does not accept it.
    """
    from nbcontainers.registry import login as door
    from nbcontainers.registry import settings

    known = settings.load(engine or default_engine())
    given = door.ask(username, password, from_input=password_stdin)
    return door.login(known, registry, *given, tls_verify=tls_verify)


def logout(
    registry: options.Registry = "",
    *,
    all_: Annotated[bool, Option("-a", help="at every registry there is a login for")] = False,
) -> list[str]:
    """Forget the login at a registry.

    The result is the files and helpers that knew it.

    Raises NotFound if none did.
    """
    from nbcontainers.registry import login as door

    return door.logout_all() if all_ else door.logout(registry)


def _texts(given: str | Sequence[str]) -> Sequence[str]:
    return [given] if isinstance(given, str) else given


def _some(references: Sequence[str], verb: str, hint: str) -> None:
    if not references:
        raise InvalidArgument(f"{verb} needs an image", hint=hint)
