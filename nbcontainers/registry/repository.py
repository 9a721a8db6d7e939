"""One repository: its manifests, blobs and tags, at its registry and, for pulls, at the mirrors before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Self, TypeVar

from nbcontainers.errors import RegistryError
from nbcontainers.oci.digest import is_digest
from nbcontainers.oci.image import Descriptor
from nbcontainers.oci.reference import Reference
from nbcontainers.registry import credentials as known
from nbcontainers.registry import manifest, tags, upload
from nbcontainers.registry.blob import Blob, open_blob
from nbcontainers.registry.credentials import Credentials
from nbcontainers.registry.endpoint import Endpoint
from nbcontainers.registry.settings import Settings, Source
from nbcontainers.registry.upload import OnBytes, Session

T = TypeVar("T")


class Repository:
    """Where `reference` lives. All threads may share one; `close` ends what any of them still waits for.

    `push` asks for the right to write, and leaves the mirrors alone. `tls_verify` overrides the settings' `insecure`.
    `credentials` are for the registry itself, not for its mirrors; by default they are looked up when it asks for them. A
    RegistryError in their place, of looking them up before, is raised only then.
    Every failure is a RegistryError; `error.retry` says whether trying again makes sense, `error.status` HTTP's status.
    """

    def __init__(
        self,
        reference: Reference,
        settings: Settings,
        *,
        push: bool = False,
        tls_verify: bool | None = None,
        credentials: Credentials | RegistryError | None = None,
    ) -> None:
        self.reference = reference
        sources = settings.sources(reference.repository, insecure=None if tls_verify is None else not tls_verify)
        actions = "pull,push" if push else "pull"
        self.endpoints = [
            Endpoint(source, settings, _finder(source, reference, credentials), actions=actions)
            for source in sources
            if not (push and source.mirror)
        ]
        self._sessions: dict[str, Session] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def origin(self) -> Endpoint:
        """The registry itself."""
        return self.endpoints[-1]

    def head(self, name: str) -> Descriptor | None:
        """What a tag or digest stands for now, or None. HEAD does not count against Docker Hub's limit."""
        try:
            return self._first(name, lambda endpoint: manifest.head(endpoint, name))
        except RegistryError as error:
            if error.status == 404:
                return None
            raise

    def manifest(self, name: str, expected: Descriptor | None = None) -> tuple[Descriptor, bytes]:
        """A manifest or index by tag or digest, checked: digest, size, and that its type is what it is served as."""
        return self._first(name, lambda endpoint: manifest.get(endpoint, name, expected))

    def open_blob(self, one: Descriptor, offset: int = 0) -> Blob:
        """The blob's bytes from `offset` on; a context manager. Its digest is for the reader to check."""
        return self._first(one["digest"], lambda endpoint: open_blob(endpoint, one, offset))

    def has_blob(self, digest: str) -> bool:
        """Whether the registry itself has it in this repository."""
        path = f"{self.origin.source.path}/blobs/{digest}"
        with self.origin.ask("HEAD", path, f"blob {digest}", fine=(200, 404)) as answer:
            return answer.status == 200

    def mount_blob(self, digest: str, source_repository: str) -> bool:
        """Have the registry take a blob from another repository of its own; whether it did."""
        session = upload.mount(self.origin, digest, source_repository)
        if session:
            self._sessions[digest] = session  # upload_blob goes on with it
        return session is None

    def upload_blob(self, one: Descriptor, file: BinaryIO, *, on_bytes: OnBytes | None = None) -> None:
        """Send the blob that `file` (open for reading, seekable) holds. `on_bytes(sent)` is called as it goes."""
        session = self._sessions.pop(one["digest"], None) or upload.begin(self.origin)
        upload.upload(self.origin, session, one, file, on_bytes)

    def put_manifest(self, content: bytes, media_type: str, name: str) -> str:
        """Store a manifest or index under a tag or its digest; returns its digest."""
        return manifest.put(self.origin, content, media_type, name)

    def tags(self) -> Iterator[str]:
        """All tags, in the registry's order, page by page; of the mirrors only if the registry does not answer."""
        begun = False
        errors: list[RegistryError] = []
        for endpoint in (self.origin, *self.endpoints[:-1]):
            try:
                for tag in tags.each(endpoint):
                    begun = True
                    yield tag
                return
            except RegistryError as error:
                if begun:
                    raise
                errors.insert(0, error)
        raise _joined(errors)

    def close(self) -> None:
        """Cancel what was opened and not used, and end all connections."""
        while self._sessions and upload.cancel(self.origin, self._sessions.popitem()[1]):
            pass  # unless the registry does not answer
        for endpoint in self.endpoints:
            endpoint.close()

    def _first(self, name: str, do: Callable[[Endpoint], T]) -> T:
        """What the first source gives that has it; a mirror that does not answer is not asked again."""
        errors: list[RegistryError] = []
        for endpoint in self.endpoints:
            if endpoint.source.mirror and (endpoint.avoided or not _may(endpoint.source, name)):
                continue
            try:
                return do(endpoint)
            except RegistryError as error:
                endpoint.avoided |= error.status != 404
                errors.append(error)
        raise _joined(errors)


def _may(mirror: Source, name: str) -> bool:
    return mirror.pull == "all" or (mirror.pull == "digest-only") == is_digest(name)


def _finder(
    source: Source, reference: Reference, given: Credentials | RegistryError | None
) -> Callable[[], Credentials | None]:
    path = source.path if source.mirror else reference.path

    def find() -> Credentials | None:
        if given is None or source.mirror:
            return known.find(source.key, path)
        if isinstance(given, RegistryError):
            raise given
        return given

    return find


def _joined(errors: list[RegistryError]) -> RegistryError:
    """The registry's own error, with what the mirrors said before."""
    last = errors[-1]
    if len(errors) == 1:
        return last
    told = "; ".join(f"mirror: {error.message}" for error in errors[:-1])
    details: dict[str, Any] = last.details
    return RegistryError(f"{last.message} ({told})", hint=last.hint, **details)
