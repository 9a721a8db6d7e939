"""The words of the options: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

import os
import signal

import pytest

from nbcontainers.container import parse


@pytest.mark.parametrize(
    ("parser", "text", "value"),
    [
        (parse.memory, "64m", 64 << 20),
        (parse.memory, 6 << 20, 6 << 20),
        (parse.memory, "1.5g", 3 << 29),
        (parse.swap, "-1", -1),
        (parse.swap, -1, -1),
        (parse.swap, "128m", 128 << 20),
        (parse.cpus, "0.5", 0.5),
        (parse.cpus, 2, 2.0),
        (parse.shares, "512", 512),
        (parse.pids, "0", -1),
        (parse.pids, "-1", -1),
        (parse.pids, 20, 20),
        (parse.seconds, "0", 0),
        (parse.cpu_list, "0-1,3", "0-1,3"),
        (parse.ulimit, "nofile=1024", ("RLIMIT_NOFILE", 1024, 1024)),
        (parse.ulimit, "nofile=1024:2048", ("RLIMIT_NOFILE", 1024, 2048)),
        (parse.ulimit, "core=-1", ("RLIMIT_CORE", -1, -1)),
        (parse.ulimit, "stack=8192:-1", ("RLIMIT_STACK", 8192, -1)),
        (parse.device, "/dev/fuse", ("/dev/fuse", "/dev/fuse", "rwm")),
        (parse.device, "/dev/sda:/dev/xvda", ("/dev/sda", "/dev/xvda", "rwm")),
        (parse.device, "/dev/sda:r", ("/dev/sda", "/dev/sda", "r")),
        (parse.device, "/dev/sda:/dev/xvda:rw", ("/dev/sda", "/dev/xvda", "rw")),
        (parse.bytes_a_second, "/dev/sda:1m", ("/dev/sda", 1 << 20)),
        (parse.operations_a_second, "/dev/sda:1000", ("/dev/sda", 1000)),
        (parse.capability, "net_raw", "CAP_NET_RAW"),
        (parse.capability, "CAP_NET_RAW", "CAP_NET_RAW"),
        (parse.capability, "all", "ALL"),
        (parse.pair, "a=b=c", ("a", "b=c")),
        (parse.pair, "a", ("a", "")),
        (parse.sysctl, "net.core.somaxconn=8", ("net.core.somaxconn", "8")),
        (parse.sysctl, "net/core/somaxconn=8", ("net.core.somaxconn", "8")),
        (parse.environment, "A=b=c", ("A", "b=c")),
        (parse.environment, "A=", ("A", "")),
        (parse.hostname, "web-1.example", "web-1.example"),
        (parse.path, "/a/../b/", "/b"),
        (parse.path, "//a", "/a"),
        (parse.signal, "TERM", signal.SIGTERM),
        (parse.signal, "sigint", signal.SIGINT),
        (parse.signal, "9", 9),
        (parse.signal, "RTMIN+3", signal.SIGRTMIN + 3),
        (parse.network, "host", "host"),
    ],
)
def test_words_have_their_meaning(parser, text, value):
    assert parser(text) == value


@pytest.mark.parametrize(
    ("parser", "text", "sentence"),
    [
        (parse.memory, "64q", "write 512k"),
        (parse.memory, "1m", "the smallest limit is 6m"),
        (parse.memory, "-5", "the smallest limit is 6m"),
        (parse.memory, "99999999999g", "write 512k"),  # the kernel would keep another number
        (parse.memory, 2**63, "write 512k"),
        (parse.positive_size, "17179869184g", "write 512k"),
        (parse.cpus, "0", "the smallest share is 0.01"),
        (parse.cpus, "many", "write 0.5 or 2"),
        (parse.cpus, "nan", "the smallest share"),
        (parse.cpus, "inf", "the smallest share"),
        (parse.shares, "1", "write 2 to 262144"),
        (parse.pids, "-2", "write 1 or more"),
        (parse.pids, "1e3", "is no whole number"),
        (parse.pids, "٣", "is no whole number"),
        (parse.seconds, "-1", "write seconds"),
        (parse.cpu_list, "0-", "write 0 or 0-1"),
        (parse.cpu_list, "2-1", "write 0 or 0-1"),
        (parse.cpu_list, "", "write 0 or 0-1"),
        (parse.ulimit, "nofile", "NAME=SOFT[:HARD]"),
        (parse.ulimit, "files=3", "one of as, core"),
        (parse.ulimit, "nofile=x", "nofile=1024:2048"),
        (parse.ulimit, "nofile=20:10", "SOFT <= HARD"),
        (parse.ulimit, "nofile=-1:10", "SOFT <= HARD"),
        (parse.device, "fuse", "/dev/NAME[:/dev/NAME][:rwm]"),
        (parse.device, "/dev/fuse:q", "/dev/NAME[:/dev/NAME][:rwm]"),
        (parse.device, "/dev/a:/dev/b:r:w", "/dev/NAME[:/dev/NAME][:rwm]"),
        (parse.bytes_a_second, "sda:1m", "/dev/NAME:1m"),
        (parse.bytes_a_second, "/dev/sda:0", "write 64m"),
        (parse.operations_a_second, "/dev/sda:0", "/dev/NAME:1000"),
        (parse.capability, "NET_ROW", "is no capability"),
        (parse.pair, "=b", "NAME=VALUE"),
        (parse.sysctl, "somaxconn=1", "net.core.somaxconn=1024"),
        (parse.sysctl, "net.core/../x=1", "net.core.somaxconn=1024"),
        (parse.environment, "=x", "NAME=VALUE"),
        (parse.environment, "A=\0", "NAME=VALUE"),
        (parse.hostname, "-a", "letters, digits"),
        (parse.hostname, "a_b", "letters, digits"),
        (parse.hostname, "a" * 65, "at most 64"),
        (parse.path, "data", "write /data"),
        (parse.path, "/é" * 2000, "longer than a path can be; write at most 4095 bytes"),
        (parse.signal, "FOO", "write TERM"),
        (parse.signal, "0", "write TERM"),
        (parse.signal, "65", "write TERM"),
        (parse.network, "bridge", "write none or host"),
        (parse.network_name, "a/b", "write one of network ls"),
        (parse.network_name, "container:", "write container:NAME"),
        (parse.address, "10.0.0.256", "write one as"),
        (parse.host, "db", "write NAME:ADDRESS"),
        (parse.host, "db:10.0.0", "write NAME:ADDRESS"),
        (parse.search, "a b", "letters, digits"),
        (parse.namespace, "container:x", "write host or private"),
    ],
)
def test_what_means_nothing_is_said_with_what_to_write(parser, text, sentence):
    with pytest.raises(ValueError) as caught:
        parser(text)
    assert sentence in str(caught.value)


def test_a_name_alone_takes_our_own_value(monkeypatch):
    monkeypatch.setenv("NBC_A", "1")
    monkeypatch.delenv("NBC_B", raising=False)
    assert parse.environment("NBC_A") == ("NBC_A", "1")
    assert parse.environment("NBC_B") is None


def test_environment_file(tmp_path, monkeypatch):
    monkeypatch.setenv("NBC_A", "ours")
    path = tmp_path / "env"
    path.write_text("# a comment\n\nA=1\n  B=two words \nNBC_A\nNBC_NOT_SET_ANYWHERE\n")
    assert parse.environment_file(str(path)) == [("A", "1"), ("B", "two words "), ("NBC_A", "ours")]


def test_only_the_ends_of_lines_end_values_of_an_environment_file(tmp_path):
    """As Docker reads one: a byte order mark and the \\r of \\r\\n are none of it, other separators are."""
    (tmp_path / "env").write_bytes("\ufeff# made on Windows\r\nA=1\r\nB=x\u2028y\nC=p\x0cq\x85\n".encode())
    assert parse.environment_file(str(tmp_path / "env")) == [("A", "1"), ("B", "x\u2028y"), ("C", "p\x0cq\x85")]


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"A B=1\n", "line 1 of"), (b"=1\n", "line 1 of"), (b"\xff", "no UTF-8")]
)
def test_environment_file_with_nonsense(tmp_path, content, sentence):
    (tmp_path / "env").write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        parse.environment_file(str(tmp_path / "env"))
    with pytest.raises(ValueError, match="No such file"):
        parse.environment_file(os.fspath(tmp_path / "nothing"))


def test_an_environment_file_without_end_is_not_read_to_its_end():
    with pytest.raises(ValueError, match="/dev/zero is larger than 1 MiB"):
        parse.environment_file("/dev/zero")


def test_a_number_is_no_environment_file_and_no_descriptor_is_closed():
    descriptor = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(TypeError):
        parse.environment_file(descriptor)  # type: ignore[arg-type]
    os.close(descriptor)
