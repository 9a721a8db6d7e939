"""Our processes in a container load nothing of it: no modules, no libraries, no configuration (CVE-2019-14271)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests import inside
from tests.crafted import Images, entry

SENTINEL = b"open('/sentinel', 'a').write(__name__ + '\\n')\n"


def hostile_python() -> list[tuple[object, bytes]]:
    """A module of every name of the standard library, wherever this interpreter looks for one."""
    folders = [
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        sysconfig.get_path("purelib"),
        "/",
        "/tmp",
    ]
    folders += [f"{folders[1]}/lib-dynload", str(Path(__file__).parents[2])]
    names = [name for name in sorted(sys.stdlib_module_names) if name.isidentifier()]
    entries = [
        entry(f"{place[1:]}/{name}.py".lstrip("/"), SENTINEL) for place in dict.fromkeys(folders) for name in names
    ]
    codecs = [
        "aliases",
        "ascii",
        "cp437",
        "idna",
        "latin_1",
        "punycode",
        "unicode_escape",
        "utf_8_sig",
        "utf_16",
        "utf_8",
    ]
    entries += [entry(f"{folders[0][1:]}/encodings/{name}.py", SENTINEL) for name in ["__init__", *codecs]]
    entries += [entry(f"{folders[2][1:]}/evil.pth", b"import evil\n"), entry(f"{folders[2][1:]}/evil.py", SENTINEL)]
    return entries  # type: ignore[return-value]


NAMES = [
    entry("etc/nsswitch.conf", b"passwd: evil files\ngroup: evil files\nhosts: evil files\n"),
    entry("etc/passwd", b"root:x:0:0::/root:/bin/sh\nevil:x:1000:1000::/home/evil:/bin/sh\n"),
    entry("etc/group", b"root:x:0:\nevil:x:1000:\nmore:x:1001:evil\n"),
    entry("etc/ld.so.preload", b"/evil.so\n"),
    entry("etc/gai.conf", b"label ::/0 1\n"),
    entry("etc/localtime", b"TZif"),
]


def use_everything(image: str, user: str) -> str:
    """Run, look up names, exec, list and read the log; what the sentinel then says."""
    assert inside.shell("true", image, user=user).exit_code == 0
    assert inside.shell("true", image, user="evil:more" if not os.geteuid() else "0", tty=True).exit_code == 0
    with inside.running(image, user=user) as container:
        for _ in range(3):
            assert inside.execute(container, "true", user=user).exit_code == 0
        assert inside.execute(container, "no-such-program").exit_code == 127
        assert inside.execute(container, "/etc").exit_code == 126
        container.top()
        container.logs()
        container.stats()
        container.inspect()
        return inside.execute(container, "sh", "-c", "cat /sentinel* 2>/dev/null").stdout


def test_no_python_module_of_the_image_is_imported(crafted: Images) -> None:
    image = crafted(*NAMES, *hostile_python())  # type: ignore[arg-type]
    assert use_everything(image, "0" if os.geteuid() else "evil") == ""


EVIL = """
#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) { write(open("/sentinel.so", 65, 0644), "loaded\\n", 7); }
"""


@pytest.mark.may_skip("needs a C compiler, which the main job does not")
def test_no_library_of_the_image_is_loaded(crafted: Images, tmp_path: Path) -> None:
    """Name services, converters and the preload list, with a library that says when it is loaded."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler")
    source, library = tmp_path / "evil.c", tmp_path / "evil.so"
    source.write_text(EVIL)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True, stderr=subprocess.DEVNULL)
    code, triplet = library.read_bytes(), f"{os.uname().machine}-linux-gnu"
    names = ["libnss_evil.so.2", "libnss_files.so.2", "libnss_compat.so.2", "libnss_dns.so.2", "libgcc_s.so.1"]
    places = ["lib", f"lib/{triplet}", f"usr/lib/{triplet}", "usr/lib64"]
    entries = [entry(f"{place}/{name}", code) for place in places for name in names]
    entries += [entry("evil.so", code), entry(f"usr/lib/{triplet}/gconv/UTF-16.so", code)]
    assert use_everything(crafted(*NAMES, *entries), "0" if os.geteuid() else "evil") == ""


def test_a_monitor_has_no_file_of_the_container_mapped(crafted: Images) -> None:
    with inside.running(crafted(*NAMES)) as container:
        inside.execute(container, "true")
        parent = int(Path(f"/proc/{container.pid}/stat").read_text().rpartition(")")[2].split()[1])
        maps = Path(f"/proc/{parent}/maps").read_text()
        folder = str(container.engine.root)
        assert folder not in maps
        assert "busybox" not in maps


def test_our_environment_stays_with_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's variables are not the container's (CVE-2018-10856 and the builders')."""
    monkeypatch.setenv("NBC_SECRET", "secret")
    done = inside.shell("env; cat /proc/*/environ | tr '\\0' '\\n'")
    assert "NBC_SECRET" not in done.stdout
    assert {line.partition("=")[0] for line in done.stdout.splitlines()} <= {
        "PATH", "HOSTNAME", "HOME", "TERM", "PWD", "SHLVL", "OLDPWD", "_", "",
    }  # fmt: skip
