"""What registries say of tags: `image tags`, `search-tags` and `outdated`. Nothing is pulled.

Each question is a HEAD, which costs nothing of Docker Hub's limit; a few are asked at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from nbcontainers.engine import Engine
from nbcontainers.errors import ImageError, InvalidArgument, RegistryError
from nbcontainers.image import layout, moved, versions
from nbcontainers.image.store import resolve, short
from nbcontainers.oci import reference as references
from nbcontainers.oci.image import INDEXES, REF_NAME, Descriptor, read_document, read_index
from nbcontainers.oci.reference import LOCAL, Reference
from nbcontainers.table import Column, Row, Table, digest, since

if TYPE_CHECKING:
    from nbcontainers.registry.repository import Repository

AT_ONCE = 8
UP_TO_DATE, MOVED, GONE, UNREACHABLE = "up to date", "moved", "gone", "unreachable"


def tags(
    engine: Engine, text: str, pattern: str, *, kind: str, limit: int, digests: bool, tls_verify: bool | None
) -> Table:
    """The tags of a repository, newest version first, each with how it moves and what it means here."""
    reference = _repository(engine, text)
    with _open(engine, reference, tls_verify) as repository:
        found = [versions.read(name) for name in repository.tags()]
        found = [one for one in found if _fits(one.name, pattern) and kind in ("", one.kind)]
        found = sorted(found, key=lambda one: one.key)[: limit or None]
        here = {name.rpartition(":")[2]: one for name, one in _names(engine, reference).items()}
        rows: list[Row] = [
            {"tag": one.name, "kind": one.kind, "moves": one.moves, "version": one.version, "variant": one.variant,
             "fixed": one.fixed, "local": layout.known_as(here[one.name]) if one.name in here else None} for one in found
        ]  # fmt: skip
        if digests:
            _add_digests(engine, repository, rows)
    columns = [Column("tag"), Column("kind"), Column("moves")]
    ends = [Column("digest", format=digest), Column("here")] if digests else [Column("local", "HERE", digest)]
    return Table(rows, [*columns, *ends])


def _add_digests(engine: Engine, repository: Repository, rows: list[Row]) -> None:
    """What each tag means there now, and which images here are the same: by tag, those of other repositories by name."""
    names: dict[str, list[str]] = {}
    own = f"{repository.reference.repository}:"
    for name, one in layout.read_index(engine).names.items():
        for known in layout.digests_of(one):
            names.setdefault(known, []).append(name.removeprefix(own) if name.startswith(own) else short(name))
    answers = heads([(repository, row["tag"]) for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        if isinstance(answer, RegistryError):
            raise answer
        row["digest"] = answer["digest"] if answer else None
        row["here"] = names.get(row["digest"], [f"{MOVED} since"] if row["local"] else [])


def search(engine: Engine, text: str, pattern: str, *, limit: int, tls_verify: bool | None) -> Table:
    """The same tags as Podman's `search --list-tags` has them."""
    reference = _repository(engine, text)
    with _open(engine, reference, tls_verify) as repository:
        found = [versions.read(name) for name in repository.tags() if _fits(name, pattern)]
    rows = [{"name": reference.repository, "tag": one.name} for one in sorted(found, key=lambda one: one.key)]
    return Table(rows[: limit or None], [Column("name"), Column("tag")])


def outdated(engine: Engine, asked: Sequence[str], *, tls_verify: bool | None) -> Table:
    """Whether the tags here still mean the same at their registries."""
    known = layout.read_index(engine).names
    names = _asked(engine, asked) if asked else sorted(name for name in known if is_remote(name))
    with ExitStack() as stack:
        repositories: dict[str, Repository] = {}
        for one in map(references.parse, names):
            if one.repository not in repositories:
                repositories[one.repository] = stack.enter_context(_open(engine, one, tls_verify))
        answers = heads([(repositories[one.repository], one.tag) for one in map(references.parse, names)])
        _note_indexes(engine, repositories, dict(zip(names, answers, strict=True)))
    index = layout.read_index(engine)
    rows = [_compared(engine, name, index.names[name], answer) for name, answer in zip(names, answers, strict=True)]
    columns = [
        Column("reference", "IMAGE", short), Column("state"), Column("local", "HERE", digest),
        Column("remote", "THERE", digest), Column("since", "HERE SINCE", since),
    ]  # fmt: skip
    return Table(rows, columns + [Column("why")] * any(row["why"] for row in rows))


def _note_indexes(
    engine: Engine, repositories: dict[str, Repository], answers: dict[str, Descriptor | RegistryError | None]
) -> None:
    """An image out of an archive does not know its index: where a tag means one, it is read, once, for whether it lists us."""
    found: dict[str, str] = {}
    for name, one in layout.read_index(engine).names.items():
        there = answers.get(name)
        if not there or isinstance(there, RegistryError) or there.get("mediaType") not in INDEXES:
            continue
        if layout.INDEX_NOTE not in one.get("annotations", {}):
            if _lists(repositories[references.parse(name).repository], there["digest"], one["digest"]):
                found[name] = there["digest"]
    if found:
        with layout.update(engine) as manifests:
            for one in manifests:
                notes = one.get("annotations", {})
                if digest := found.get(notes.get(REF_NAME, "")):
                    one["annotations"] = notes | {layout.INDEX_NOTE: digest}


def _lists(repository: Repository, index: str, digest: str) -> bool:
    """Whether an index at the registry has a manifest; what cannot be read does not."""
    try:
        content = repository.manifest(index)[1]
        return any(one["digest"] == digest for one in read_index(read_document(content, index), index))
    except (RegistryError, ImageError):
        return False


def _compared(engine: Engine, name: str, local: Descriptor, answer: Descriptor | RegistryError | None) -> Row:
    history = moved.read(engine, name)
    row: Row = {"reference": name, "local": layout.known_as(local), "remote": None, "why": ""}
    row["since"] = next((one["when"] for one in history if one["current"]), None)
    if isinstance(answer, RegistryError):
        return row | {"state": UNREACHABLE, "why": answer.message}
    if answer is None:
        return row | {"state": GONE}
    there = answer["digest"]
    return row | {"state": UP_TO_DATE if there in layout.digests_of(local) else MOVED, "remote": there}


def is_remote(name: str) -> bool:
    """Whether a whole name is a tag at a registry: not of this machine, not fixed by a digest."""
    try:
        one = references.parse(name)
    except InvalidArgument:  # a layout filled by somebody else may hold any name
        return False
    return one.domain != LOCAL and bool(one.tag) and not one.digest


def repositories(engine: Engine) -> list[str]:
    """Those whose tags are here, as a person writes them; for completion."""
    found = (references.parse(name) for name in layout.read_index(engine).names if is_remote(name))
    return sorted({Reference(one.domain, one.path).familiar for one in found})


def _asked(engine: Engine, asked: Sequence[str]) -> list[str]:
    names = [resolve(engine, str(text)).reference for text in asked]
    for text, name in zip(asked, names, strict=True):
        if not is_remote(name):
            raise InvalidArgument(f"{text} is no tag of a registry", hint="%image outdated alone asks for all that are")
    return list(dict.fromkeys(names))


def heads(asked: Sequence[tuple[Repository, str]]) -> list[Descriptor | RegistryError | None]:
    """What each tag means now; None where it is gone, the error where nobody can say."""

    def head(one: tuple[Repository, str]) -> Descriptor | RegistryError | None:
        try:
            return one[0].head(one[1])
        except RegistryError as error:
            return error

    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="nbcontainers-head")
    try:
        return list(pool.map(head, asked))
    except BaseException:  # an interrupt: whoever closes the repositories ends what is under way
        for repository, _ in asked:
            repository.close()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _repository(engine: Engine, text: str) -> Reference:
    """What a name without tag means; an alias of the settings counts, and of the registries searched the first."""
    from nbcontainers.registry import names, settings

    reference = names.candidates(str(text), settings.load(engine))[0]
    if not references.is_repository(str(text)):
        raise InvalidArgument(
            f"{text!r} names one image, not a repository",
            hint=f"%image tags {short(reference.repository)}",
        )
    if reference.domain == LOCAL or str(references.parse(str(text), default_domain=LOCAL)) in layout.EMBEDDED:
        raise InvalidArgument(f"{text!r} is on this machine only", hint="%image ls shows the tags that are here")
    return reference


def _open(engine: Engine, reference: Reference, tls_verify: bool | None) -> Repository:
    from nbcontainers.registry import settings
    from nbcontainers.registry.repository import Repository

    return Repository(reference, settings.load(engine), tls_verify=tls_verify)


def _names(engine: Engine, reference: Reference) -> dict[str, Descriptor]:
    """The tags of the repository that are here."""
    prefix = f"{reference.repository}:"
    return {name: one for name, one in layout.read_index(engine).names.items() if name.startswith(prefix)}


def _fits(name: str, pattern: str) -> bool:
    """As the shell's patterns; one without a star is looked for anywhere."""
    return fnmatchcase(name, pattern) if set(pattern) & set("*?[") else pattern in name
