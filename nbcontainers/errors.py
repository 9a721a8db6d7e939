"""The exception tree: what went wrong, and a hint that says what to type.

Every error survives the process border as one JSON object (`to_json`, `from_json`) and shows itself in a
notebook as two to five lines instead of a traceback, while the cell still fails.
"""

from __future__ import annotations

import errno
import os
from typing import Any, ClassVar, Self


class Error(Exception):
    """Base of everything nbcontainers raises. `details` are facts for programs, all of them JSON."""

    kinds: ClassVar[dict[str, type[Error]]] = {}

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        self.message = plain(message)
        self.hint = plain(hint)
        super().__init__(self.message)
        self.details = details

    def __init_subclass__(cls) -> None:
        Error.kinds[cls.__name__] = cls

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["details"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}") from None

    def _render_traceback_(self) -> list[str]:
        """IPython's hook for a short error; see IPython.core.interactiveshell, `showtraceback`."""
        return [f"{type(self).__name__}: {self.message}", *([f"hint: {self.hint}"] if self.hint else [])]

    def __reduce__(self) -> tuple[Any, ...]:
        return Error.from_json, (self.to_json(),)

    def to_json(self) -> dict[str, Any]:
        return {"error": type(self).__name__, "message": self.message, "hint": self.hint, "details": self.details}

    @staticmethod
    def from_json(document: dict[str, Any]) -> Error:
        kind = Error.kinds.get(document["error"], Error)
        return kind(document["message"], hint=document["hint"], **document["details"])

    @classmethod
    def from_oserror(cls, error: OSError, doing: str, *, hint: str = "") -> Self:
        """Wrap an OSError of `linux/`, keeping `errno` and path."""
        return cls(f"{doing}: {error}", hint=hint, errno=error.errno, path=error.filename and str(error.filename))


def plain(text: str, kept: str = "\n\t") -> str:
    """Lines without control characters but those `kept`: messages quote strangers, and are shown on terminals that such
    letters drive."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


_ROOM = "make room: type system prune, image rm NAME, or set NBCONTAINERS_ROOT to a folder of another disk"
_NO_THREAD = "can't start new thread"
"""What threading.Thread.start says for EAGAIN and ENOMEM alike, in a RuntimeError."""
_OF_THE_HOST = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise the largest size of a file, as with ulimit -f unlimited, or use a disk that takes larger ones",
    errno.EROFS: "set NBCONTAINERS_ROOT and NBCONTAINERS_RUN to folders that can be written to",
    errno.EACCES: "set NBCONTAINERS_ROOT and NBCONTAINERS_RUN to folders of your own",
    errno.EMFILE: "allow more open files, as with ulimit -n 1024, and start the notebook server again",
    errno.ENFILE: "the whole host has too many files open: close some",
    errno.ENOMEM: "free memory on the host, or raise the limit of the notebook server",
    errno.EAGAIN: "there are too many processes or too little memory: end some, or raise ulimit -u and -v of the "
    "notebook server",
}


def of_the_host(error: BaseException) -> Error | None:
    """What the host refused (a full disk, no more open files, …) with what to type; None for any other failure."""
    if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
        error = OSError(errno.EAGAIN, _NO_THREAD)
    if isinstance(error, MemoryError):
        error = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    if not isinstance(error, OSError) or error.errno not in _OF_THE_HOST:
        return None
    path = error.filename.decode("utf-8", "replace") if isinstance(error.filename, bytes) else error.filename
    where = f": {path}" if path else ""
    return Error(f"{error.strerror}{where}", hint=_OF_THE_HOST[error.errno], errno=error.errno, path=path)


class InvalidArgument(Error):
    """An option, a name or a value that can never work."""


class NotFound(Error):
    """No image, container, volume or network of that name."""


class NameInUse(Error):
    """The name belongs to somebody else."""


class InvalidState(Error):
    """The object exists, but not in a state that allows the verb."""


class HostNotCapable(Error):
    """This host (kernel, cgroups, privileges, missing program) cannot do what was asked."""


class ImageError(Error):
    """An image, archive or layer that is damaged, hostile or of an unknown form."""


class Wasteful(Error):
    """An image wastes more than was allowed. Details: `efficiency` and `wasted_part` (0 to 1), `wasted_bytes`."""


class RegistryError(Error):
    """A registry that refused, lied or could not be reached. Details: `retry` (whether trying again makes sense) and
    the HTTP `status`, None where there was none."""

    def __init__(
        self, message: str, *, hint: str = "", retry: bool = False, status: int | None = None, **details: Any
    ) -> None:
        super().__init__(message, hint=hint, retry=retry, status=status, **details)


class BuildError(Error):
    """A Dockerfile that cannot be parsed, or a step of it that failed."""


class CreateFailed(Error):
    """The container could not be made. `exit_code` is 125 (runtime), 126 (not executable) or 127 (not found);
    `container` a handle that says the same."""

    container: Any


class ContainerFailed(Error):
    """The container, or what was executed in it, ran and did not succeed. Details: `exit_code`, `signal`, `oom_killed`,
    `id`, `name`; `container` is its handle."""

    container: Any


class TimedOut(Error, TimeoutError):
    """What was waited for did not come in the time given for it; it may come yet."""


class LauncherDied(Error):
    """The helper process behind the notebook is gone."""
