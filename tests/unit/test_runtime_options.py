"""Mount options of config.md as flags and attributes."""

from __future__ import annotations

import pytest

from nbcontainers.errors import CreateFailed
from nbcontainers.linux import mounts as m
from nbcontainers.runtime.options import Options


def test_flags_and_what_only_the_file_system_knows() -> None:
    options = Options(["nosuid", "noexec", "ro", "size=64k", "mode=755"])
    assert options.flags == m.MS_NOSUID | m.MS_NOEXEC | m.MS_RDONLY
    assert options.data == "size=64k,mode=755"


def test_the_last_word_wins() -> None:
    assert Options(["ro", "rw"]).flags == 0
    assert Options(["ro", "rw"]).clear == m.MOUNT_ATTR_RDONLY
    assert Options(["rw", "ro"]).set == m.MOUNT_ATTR_RDONLY


def test_recursive_forms_are_kept_apart() -> None:
    options = Options(["rbind", "rro", "nosuid"])
    assert options.bind
    assert options.flags & m.MS_REC
    assert (options.set, options.set_all) == (m.MOUNT_ATTR_NOSUID, m.MOUNT_ATTR_RDONLY)


def test_access_times_share_a_field_that_is_cleared_first() -> None:
    options = Options(["noatime"])
    assert (options.set, options.clear) == (m.MOUNT_ATTR_NOATIME, m.MOUNT_ATTR__ATIME)


def test_propagation() -> None:
    assert Options(["rslave"]).propagation == m.MS_SLAVE | m.MS_REC
    assert Options(["rslave"]).data == ""


def test_id_mapped_mounts_are_refused_not_ignored() -> None:
    with pytest.raises(CreateFailed, match="mount option 'idmap': id-mapped mounts are not supported"):
        Options(["idmap"])
