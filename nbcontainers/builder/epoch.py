"""SOURCE_DATE_EPOCH: the time that all of a build bears, for the same digest each time.

It is a --build-arg or a variable of the environment, else the default of an ARG before the first FROM. `context` is the
time of a context that came from elsewhere: a commit's, Last-Modified of a URL, else that of the newest file in an archive; of
a folder it is none (BuildKit, docs/build-repro.md).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from nbcontainers.dockerfile import variables
from nbcontainers.dockerfile.dockerfile import Dockerfile
from nbcontainers.errors import BuildError

if TYPE_CHECKING:
    from nbcontainers.builder.building import Request

CONTEXT = "context"
_LATEST_S = 253402300799
"""The end of the year 9999: RFC 3339 has no later one."""


def dated(request: Request, file: Dockerfile, platforms: Mapping[str, str]) -> Request:
    """The request with its `epoch`; for ARG `context` has become a number, too. BuildError for what is no time."""
    known = variables.globals_of(file.globals, request.build_args, platforms, file.source, file.escape)
    text = (
        request.build_args.get(variables.EPOCH) or os.environ.get(variables.EPOCH) or known.values.get(variables.EPOCH)
    )
    if text != CONTEXT:
        return replace(request, epoch=seconds(text or ""))
    when = request.when()
    args = {**request.build_args, variables.EPOCH: "" if when is None else str(when)}
    return replace(request, epoch=when, build_args=args)


def seconds(text: str) -> int | None:
    """Since 1970; None for "". BuildError for anything else."""
    try:
        found = variables.source_date_epoch(text)
    except ValueError as error:
        raise BuildError(str(error), hint="give seconds since 1970") from None
    if isinstance(found, str):
        hint = "give seconds since 1970, or context, the time of a repository or archive"
        raise BuildError(f"SOURCE_DATE_EPOCH={found} is no time", hint=hint)
    if found is not None and found > _LATEST_S:
        raise BuildError(f"SOURCE_DATE_EPOCH={found} is after the year 9999", hint="give seconds since 1970")
    return found


def newest(folder: str) -> int | None:
    """When the newest file below a folder was changed; None where there is none."""
    times = [
        os.lstat(os.path.join(path, name)).st_mtime
        for path, folders, files in os.walk(folder)
        for name in (*folders, *files)
    ]
    return min(int(max(times)), _LATEST_S) if times else None
