"""Git repositories as contexts and as sources of ADD: `URL[#REF[:FOLDER]]`, fetched by the git program (git-fetch(1)).

Files have the time of their commit, so that the same commit makes the same layer.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from nbcontainers.errors import BuildError
from nbcontainers.linux import tree

_SCHEMES = ("git://", "ssh://", "git+ssh://", "file://")
_SCP = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:[^/].*")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_TICK_S = 0.05
_LATEST_S = (1 << 33) - 1
"""A later date is taken for this one: a commit may have any, a file may not (ext4's end in the year 2446)."""
_SETTINGS = {
    "core.hooksPath": os.devnull, "protocol.allow": "never", "advice.detachedHead": "false",
    **{f"protocol.{name}.allow": "always" for name in ("http", "https", "git", "ssh")},
    "protocol.file.allow": "user",  # a submodule must not bring a repository of this machine (CVE-2022-39253)
}  # fmt: skip
_HINT = "is the address right, and may this user read it?"


class Repository(NamedTuple):
    """`ref`: a branch, tag or commit, "" for the default branch; `folder`: the part of it that is meant; `checksum`: how
    its commit begins; `keep` its .git, if it says so itself."""

    url: str
    ref: str = ""
    folder: str = ""
    checksum: str = ""
    keep: bool | None = None
    submodules: bool = True

    @property
    def shown(self) -> str:
        """The address without a password or token: for errors, and for what git writes into its folder."""
        return self.url.replace(*self.hosts, 1)

    @property
    def hosts(self) -> tuple[str, str]:
        """How the address begins: as it is, and without who asks. Only of http(s): ssh needs the user's name."""
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2] if parts.scheme in ("http", "https") else parts.netloc
        return f"{parts.scheme}://{parts.netloc}/", f"{parts.scheme}://{host}/"


def parse(text: str) -> Repository | None:
    """What BuildKit takes for a repository; None for anything else."""
    address, _, fragment = text.partition("#")
    path = _path(address)
    if text.startswith(("http://", "https://")):
        if not path.endswith(".git"):
            return None
    elif address.startswith("github.com/"):
        address = f"https://{address}"
    elif not (address.startswith(_SCHEMES) or _SCP.fullmatch(address)):
        return None
    ref, _, folder = fragment.partition(":")
    address, question, query = address.partition("?") if "://" in address else (address, "", "")
    return _asked(Repository(address, ref, folder), parse_qsl(query, keep_blank_values=True) if question else [])


def _path(address: str) -> str:
    try:
        return urlsplit(address).path if "://" in address else address
    except ValueError as error:  # as of http://[::1/
        raise BuildError(f"{address} is no address: {error}", hint="write https://HOST[:PORT]/PATH") from None


def _asked(found: Repository, query: list[tuple[str, str]]) -> Repository:
    """The form with a query: `?ref=…&subdir=…&checksum=…` (Dockerfile reference, «ADD», Git)."""
    for key, text in query:
        is_on = text.lower() in ("", "1", "true")
        if key in ("ref", "branch", "tag"):
            found = found._replace(ref=text)
        elif key in ("checksum", "commit"):
            found = found._replace(checksum=text)
        elif key == "subdir":
            found = found._replace(folder=text)
        elif key == "keep-git-dir":
            found = found._replace(keep=is_on)
        elif key == "submodules":
            found = found._replace(submodules=is_on)
        else:
            hint = "known are ref, branch, tag, commit, checksum, subdir, keep-git-dir and submodules"
            raise BuildError(f"{found.shown}: {key} is not known", hint=hint)
    return found


def checkout(one: Repository, folder: Path, *, keep: bool, check: Callable[[], None]) -> tuple[str, str]:
    """Fetch a repository's files into an empty folder: the path of what is meant, and the commit.

    `check` is asked while git works, and may raise. BuildError for what git cannot do, with what it said.
    """
    for word in (one.url, one.ref):
        if word.startswith("-") or "\n" in word or "\0" in word:
            raise BuildError(f"{word!r} is no name of a repository or of a commit", hint="write URL#REF:FOLDER")
    git = _Git(folder, one, check)
    git("init", "-q", "--template=", ".")
    git("remote", "add", "origin", one.shown)
    commit = _fetched(git, one)
    if one.checksum and not commit.startswith(one.checksum):
        raise BuildError(f"{one.shown} is at {commit}, not {one.checksum}", hint="mend the checksum if you trust it")
    git("checkout", "-q", "--detach", commit)
    if one.submodules and (folder / ".gitmodules").exists():
        git("submodule", "update", "-q", "--init", "--recursive", "--depth=1")
    when = min(int(git("show", "-s", "--format=%ct", commit) or 0), _LATEST_S)
    if not keep:
        for path in [*folder.rglob(".git")]:
            tree.remove(str(path)) if path.is_dir() and not path.is_symlink() else path.unlink()
    _date(folder, when)
    return _inside(one, folder), commit


def _fetched(git: _Git, one: Repository) -> str:
    """The commit, in the repository; only it where the server gives that, else all there is."""
    wanted = one.ref or "HEAD"
    if git.tries("fetch", "-q", "--depth=1", "--no-tags", "origin", wanted):
        return git("rev-parse", "FETCH_HEAD^{commit}")
    if not re.fullmatch(r"[0-9a-f]{4,64}", wanted):
        raise git.failed(f"has no {wanted}" if one.ref else "cannot be fetched")
    git("fetch", "-q", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
    if not git.tries("rev-parse", "-q", "--verify", f"{wanted}^{{commit}}"):
        raise git.failed(f"has no commit {wanted}")
    return git("rev-parse", f"{wanted}^{{commit}}")


class _Git:
    """Runs git in the folder, without a terminal to ask on. What the user configured for access holds."""

    def __init__(self, folder: Path, one: Repository, check: Callable[[], None]) -> None:
        self.folder, self.one, self.check = folder, one, check
        self.said = ""

    def __call__(self, *words: str) -> str:
        status, output = self._run(words)
        if status:
            raise self.failed("cannot be fetched")
        return output.strip()

    def tries(self, *words: str) -> bool:
        return self._run(words)[0] == 0

    def failed(self, what: str) -> BuildError:
        reason = self.said.strip().splitlines()[-1:] or ["git said nothing"]
        return BuildError(f"the repository {self.one.shown} {what}: {reason[0]}", hint=_HINT)

    def _run(self, words: tuple[str, ...]) -> tuple[int, str]:
        try:
            process = subprocess.Popen(
                ["git", *words], cwd=self.folder, env=_environment(os.environ, self.one), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, umask=0o022,
            )  # fmt: skip
        except FileNotFoundError:
            hint = "install git (apt install git), or clone the repository before and COPY from it"
            raise BuildError(f"{self.one.shown} needs the program git, which is not here", hint=hint) from None
        with process:
            try:
                while True:
                    try:
                        output, said = process.communicate(timeout=_TICK_S)
                        break
                    except subprocess.TimeoutExpired:
                        self.check()
            except BaseException:
                _end(process)
                raise
        self.said = said.decode("utf-8", "replace")
        return process.returncode, output.decode("utf-8", "replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """With its helpers, which are in its session."""
    for number in (15, 9):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + 2
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(_TICK_S)


def _environment(given: Mapping[str, str], one: Repository) -> dict[str, str]:
    """Ours, without what names another repository, and with _SETTINGS over the user's configuration (git(1)).

    A password of the address stands here alone (url.BASE.insteadOf, git-config(1)): a .git that is kept has none.
    """
    kept = {name: text for name, text in given.items() if not name.startswith(("GIT_DIR", "GIT_WORK", "GIT_INDEX"))}
    secret, public = one.hosts
    settings = _SETTINGS if secret == public else {**_SETTINGS, f"url.{secret}.insteadOf": public}
    pairs = {f"GIT_CONFIG_{word}_{number}": text for number, pair in enumerate(settings.items())
             for word, text in zip(("KEY", "VALUE"), pair, strict=True)}  # fmt: skip
    count = {"GIT_CONFIG_COUNT": str(len(settings))}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **count, **pairs}


def _date(folder: Path, when: int) -> None:
    for path in [*folder.rglob("*"), folder]:
        if ".git" not in path.relative_to(folder).parts:
            os.utime(path, (when, when), follow_symlinks=False)


def _inside(one: Repository, folder: Path) -> str:
    """The part that is meant; no link leads out of the repository."""
    try:
        found = (folder / one.folder.strip("/")).resolve()
        is_here = found.is_relative_to(folder.resolve()) and found.is_dir()
    except (OSError, RuntimeError, ValueError):  # links in a circle, a NUL, a name that is too long
        is_here = False
    if not is_here:
        raise BuildError(f"the repository {one.shown} has no folder {one.folder!r}", hint="write URL#REF:FOLDER")
    return str(found)
