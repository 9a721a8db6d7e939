"""Errors: nothing that they quote drives a terminal, and paths that are none are told so."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from nbcontainers import __main__
from nbcontainers.errors import Error, ImageError, InvalidArgument, of_the_host
from nbcontainers.image import members, output, pulling
from nbcontainers.oci.image import MANIFEST, encode

HOSTILE = "\x1b[2J\x9b31m\r\u202e\ud800\udc9b"


def test_a_message_is_only_read() -> None:
    error = Error(f"it is {HOSTILE}", hint=f"one\ntwo\t{HOSTILE}")
    assert "\\x1b[2J\\x9b31m\\r\\u202e\\ud800\\udc9b" in error.message
    assert error.hint.startswith("one\ntwo\t\\x1b")
    for text in (str(error), *error._render_traceback_(), str(error.args)):
        text.encode()
        assert all(letter.isprintable() or letter in "\n\t" for letter in text)
    assert Error.from_json(error.to_json()).message == error.message


def test_the_type_of_an_artifact_is_one_line() -> None:
    content = encode(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "x\nhint: \x1b", "digest": "sha256:" + "0" * 64, "size": 1},
            "layers": [],
        }
    )
    with pytest.raises(ImageError, match=r"an artifact of type x hint:\n"):
        pulling.read_image(content, "a:b")


@pytest.mark.parametrize("path", ["\0", "a\0b", "\ud800"])
def test_what_is_no_path(path: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="is no path"):
        members.open_file(path)
    with pytest.raises(InvalidArgument, match="is no path"), output.archive(f"{tmp_path}/{path}"):
        pass
    with pytest.raises(InvalidArgument, match="is no path"), output.folder(f"{tmp_path}/{path}"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "refused, hint",
    [
        (OSError(errno.EFBIG, "File too large"), "ulimit -f"),
        (RuntimeError("can't start new thread"), "ulimit -u and -v"),
        (MemoryError(), "free memory"),
    ],
)
def test_what_the_host_refuses(refused: Exception, hint: str) -> None:
    error = of_the_host(refused)
    assert error
    assert hint in error.hint
    assert of_the_host(RuntimeError("another")) is None


def test_a_name_as_long_as_can_be(tmp_path: Path) -> None:
    for name in ("n" * 255, "é" * 127):
        with output.archive(str(tmp_path / name)) as file:
            file.write(b"x")
        assert (tmp_path / name).read_bytes() == b"x"
    with (
        pytest.raises(Error, match=r"cannot write .*: File name too long"),
        output.archive(str(tmp_path / ("n" * 256))),
    ):
        pass


def test_an_interrupt_while_the_program_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "nbcontainers.cli.main", raising=False)
    monkeypatch.setattr("builtins.__import__", interrupted)
    code = __main__.main()
    monkeypatch.undo()
    assert code == 130
