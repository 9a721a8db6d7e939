"""Where a user's containers live, and whose those folders may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbcontainers import engine
from nbcontainers.errors import HostNotCapable


def test_an_ordinary_user_s_folders(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    assert engine._rootless_folders() == (tmp_path / "data/nbcontainers", tmp_path / "run/nbcontainers")


def test_without_a_runtime_folder_ours_lies_right_below_tmp(monkeypatch):
    """In a folder between the two, which anybody can make first, its owner could exchange ours."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert engine._rootless_folders()[1] == Path(f"/tmp/nbcontainers-{os.geteuid()}")


def test_folders_are_closed_to_everybody_else(tmp_path):
    (tmp_path / "run").mkdir(mode=0o755)
    made = engine.Engine(tmp_path / "root", tmp_path / "run", rootless=False).prepare()
    folders = (made.root, made.run, made.containers, made.names, made.cache, made.images, made.snapshots)
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}


def test_a_link_in_the_place_of_our_folder_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to("elsewhere")
    with pytest.raises(HostNotCapable, match="belongs to uid") as caught:
        engine.make_private(tmp_path / "run")
    assert "NBCONTAINERS_RUN" in caught.value.hint
