"""Where a stage's files come from: the sources of COPY and ADD, and what RUN --mount=type=bind shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbcontainers.builder import git
from nbcontainers.builder.context import Context
from nbcontainers.builder.copying import Order
from nbcontainers.builder.copying import Source as From
from nbcontainers.builder.files import Files, Result
from nbcontainers.builder.remote import fetch, is_remote
from nbcontainers.builder.running import Shown
from nbcontainers.builder.selection import Match, Root, select
from nbcontainers.container import users
from nbcontainers.container.options import texts
from nbcontainers.dockerfile import instructions as i
from nbcontainers.dockerfile import pattern, stages
from nbcontainers.dockerfile.mount import Mount
from nbcontainers.dockerfile.stages import Input, Planned
from nbcontainers.errors import BuildError, NotFound
from nbcontainers.image import scratch, work

if TYPE_CHECKING:
    from nbcontainers.builder.building import Build


Inputs = Callable[[], Mapping[str, str]]


class Sources:
    """Of one stage of a build."""

    def __init__(self, build: Build, planned: Planned) -> None:
        self.build, self.planned = build, planned
        self.engine = build.engine

    def order(self, one: i.Copy, now: Result) -> tuple[Order, Inputs]:
        """What to copy, and what gives the digests of that, as often as it is asked."""
        order = new_order(
            texts=[[content.name, content.data] for content in one.contents], destination=now.state.path(one.destination),
            owner=self._owner(one, now), mode=one.chmod, parents=one.parents, exclude=list(one.exclude),
            unpack=isinstance(one, i.Add) and one.unpack is not False,
        )  # fmt: skip
        inputs = {"owner": str(order["owner"])}
        if one.link and self.build.request.epoch is not None:  # of no key before it
            inputs["epoch"] = str(self.build.request.epoch)
        if not one.sources:
            return order, lambda: inputs
        origin = self._origin(one.from_) if one.from_ else Input(stages.CONTEXT, "")
        _check_checksum(one)
        if isinstance(one, i.Add) and _has_remote(one):
            fetched = inputs | {"remote": self._fetched(one, order)}
            return order, lambda: fetched
        if origin.kind == stages.CONTEXT:
            context = self.build.context(origin.name) if origin.name else self.build.main_context()
            matches = self._selected(one, context.root())
            order["sources"] = [_source(root=context.path, matches=[_listed(match) for match in matches])]
            return order, lambda: inputs | {"context": context.digest(matches)}
        if origin.kind == stages.EMPTY:
            raise BuildError(f"--from={one.from_} has no files", hint="name a stage, an image or a context")
        files = self.build.files_of(origin)
        lowers = self.build.lowers(files)
        order["sources"] = [_source(lowers=lowers, paths=list(one.sources))]
        return order, lambda: inputs | {"from": self._of_layers(files, one.sources)}

    def _origin(self, name: str) -> Input:
        """What `--from` or `from=` means."""
        return self.build.origin(self.planned.inputs[name])

    def _fetched(self, one: i.Add, order: Order) -> str:
        """URLs and repositories, each fetched into a folder of the build; their digests."""
        digests = []
        order["unpack"] = bool(one.unpack)
        for path in one.sources:
            if not is_remote(path) and not git.parse(path):
                raise BuildError(
                    f"{path} stands beside a URL", hint="write one ADD for URLs and one for the context's files"
                )
            folder = self.build.folder()
            if repository := git.parse(path):
                digests.append(self._cloned(one, repository, folder, order))
                continue
            name = fetch(path, folder, one.checksum, order["destination"], self.build.check)
            root = Context("a URL", str(folder))
            matches = select(root.root(), pattern.escape(name))
            order["sources"].append(_source(root=root.path, matches=[_listed(match) for match in matches]))
            digests.append(root.digest(matches))
        return " ".join(digests)

    def _cloned(self, one: i.Add, repository: git.Repository, folder: Path, order: Order) -> str:
        """A repository's files are copied as a folder's are; its key is the commit."""
        keep = one.keep_git_dir if repository.keep is None else repository.keep
        repository = repository._replace(checksum=one.checksum or repository.checksum)
        place, commit = git.checkout(repository, folder, keep=keep, check=self.build.check)
        matches = select(Root(place), "/", exclude=one.exclude)
        order["sources"].append(_source(root=place, matches=[_listed(match) for match in matches]))
        return f"{commit} {repository.folder} {keep} {repository.submodules}"

    def _selected(self, one: i.Copy, root: Root) -> list[Match]:
        found: list[Match] = []
        for path in one.sources:
            try:
                found += select(root, path, exclude=one.exclude, parents=one.parents)
            except NotFound as error:
                raise BuildError(f"{error.message} in the context", hint=error.hint) from None
        return found

    def _owner(self, one: i.Copy, now: Result) -> list[int] | None:
        """--chown: names are the image's; a number alone is user and group (Dockerfile reference, «COPY --chown»)."""
        return self.id(one.chown, now) if one.chown else None

    def id(self, text: str, now: Result) -> list[int]:
        """uid and gid of `USER[:GROUP]` in the stage's files."""
        user, _, group = text.partition(":")
        if not user + group:
            raise BuildError(f"--chown={text} names nobody", hint="give its variables a value with ARG or --build-arg")
        lowers = self.build.lowers(now.files) if not (user + group).isdigit() else []
        group = group or (user if user.isdigit() else "")
        found = users.resolve(f"{user or 0}:{group}" if group else user, lowers)
        return [found.uid, found.gid]

    def maker(self, user: str, now: Result) -> list[int] | None:
        """Whom a folder belongs to that WORKDIR makes: root where the image has no such user (only RUN needs one)."""
        try:
            return self.id(user, now) if user else None
        except NotFound:
            return None

    def surroundings(self, one: i.Run) -> dict[str, str]:
        """Digests of what RUN mounts from elsewhere, and the network it was given, as in BuildKit's keys."""
        found = {}
        for number, mount in enumerate(one.mounts or ()):
            if mount.type == "bind":
                found[f"mount{number}"] = self._digest(mount)
        options: Mapping[str, Any] = self.build.request.options
        for name in ("network", "add_host") if one.network == "default" else ("add_host",):
            if given := options.get(name):
                found[name] = " ".join(texts(name, given))
        return found

    def _digest(self, mount: Mount) -> str:
        if mount.from_:
            origin = self._origin(mount.from_)
            if origin.kind != stages.CONTEXT:
                return self._of_layers(self.build.files_of(origin), [mount.source or "/"])
            context = self.build.context(origin.name)
        else:
            context = self.build.main_context()
        return context.digest(select(context.root(), mount.source or "/"))

    def _of_layers(self, files: Files, paths: Sequence[str]) -> str:
        """A digest of the layers' files, and of what this machine's folders below them have at the paths. All of the
        machine is too much to read: what changes there makes no step new, as for a RUN of FROM host."""
        if not files.base or any(os.path.normpath(f"./{path}") == "." for path in paths):
            return files.digest
        host = Context(files.base, "/")
        found = [files.digest]
        for path in paths:
            try:
                found.append(host.digest(select(host.root(), path)))
            except NotFound:
                continue  # layers may have it
            except PermissionError:
                found.append(os.urandom(16).hex())  # who cannot read it cannot know whether it is as it was
        return " ".join(found)

    def shown(self, mount: Mount, stack: ExitStack) -> Shown:
        """What a bind mount shows; of a context a copy, without what is ignored and owned by root."""
        origin = self._origin(mount.from_) if mount.from_ else Input(stages.CONTEXT, "")
        if origin.kind == stages.CONTEXT:
            return self._copied(mount, origin.name, stack)
        lowers = self.build.lowers(self.build.files_of(origin))
        empty = "" if lowers else f"{stack.enter_context(scratch.folder(self.engine))}/upper"
        return Shown(mount.from_, self._digest(mount), empty, tuple(lowers))

    def _copied(self, mount: Mount, name: str, stack: ExitStack) -> Shown:
        context = self.build.context(name) if name else self.build.main_context()
        matches = select(context.root(), mount.source or "/", parents=True)
        place = stack.enter_context(scratch.folder(self.engine))
        source = From(root=context.path, lowers=[], matches=[_listed(one) for one in matches], paths=[])
        work.call(
            "nbcontainers.builder.copying:gather", order=new_order(sources=[source], parents=True), scratch=str(place),
            place=work.place(self.engine),
        )  # fmt: skip
        return Shown(context.name, self._digest(mount), folder=f"{place}/upper")


def _check_checksum(one: i.Copy) -> None:
    """One that is given is compared, or is an error."""
    if isinstance(one, i.Add) and one.checksum and not (len(one.sources) == 1 and _has_remote(one)):
        raise BuildError("--checksum is for one URL or repository", hint="write an ADD of its own for what it is of")


def _has_remote(one: i.Add) -> bool:
    return any(is_remote(path) or git.parse(path) for path in one.sources)


def new_order(
    *, sources: Sequence[From] = (), texts: Sequence[list[str]] = (), destination: str = "/", owner: list[int] | None = None,
    mode: str = "", parents: bool = False, exclude: Sequence[str] = (), unpack: bool = False, made: Sequence[str] = (),
) -> Order:  # fmt: skip
    return {
        "sources": list(sources), "texts": list(texts), "destination": destination, "owner": owner, "mode": mode,
        "parents": parents, "exclude": list(exclude), "unpack": unpack, "made": list(made),
    }  # fmt: skip


def _source(
    *, root: str = "", lowers: Sequence[str] = (), matches: Sequence[list[Any]] = (), paths: Sequence[str] = ()
) -> From:  # fmt: skip
    return {"root": root, "lowers": list(lowers), "matches": list(matches), "paths": list(paths)}


def _listed(match: Match) -> list[Any]:
    """A match as JSON."""
    return [match.path, match.name, match.is_folder, list(match.members), [list(one) for one in match.above]]
