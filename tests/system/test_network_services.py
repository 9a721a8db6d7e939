"""The course's drawing with its own programs: nginx published and read from everywhere, and a database that is killed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from nbcontainers import container, image, network
from nbcontainers.container.container import Container
from nbcontainers.errors import Error
from tests import debian
from tests.monitored import wait_for
from tests.networked import HOST, MACHINE, PYTHON, Machine

pytestmark = [pytest.mark.as_root, pytest.mark.slow]

CONF = """
user root;
daemon off;
error_log /dev/stderr;
events {}
http {
    log_format seen "seen $remote_addr $request_uri";
    access_log /dev/stdout seen;
    server { listen 80; location / { return 200 "nginx $remote_addr\\n"; } }
}
"""
READ = "from urllib.request import urlopen; import sys; print(urlopen(sys.argv[1], timeout=3).read().decode(), end='')"
SERVE = ["/usr/sbin/mariadbd", "--user=root", "--datadir=/var/lib/mysql", "--skip-grant-tables", "--bind-address=*",
         "--socket=/tmp/mariadb.sock", "--pid-file=/tmp/mariadb.pid", "--innodb-buffer-pool-size=16M"]  # fmt: skip


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The images' files, fetched while the network of this machine is still to be seen."""
    folder = tmp_path_factory.mktemp("debian")
    debian.archive(folder / "nginx.tar", debian.NGINX, {"etc/nginx/nginx.conf": CONF})
    debian.archive(folder / "mariadb.tar", debian.MARIADB)
    yield folder
    shutil.rmtree(folder)


def read(url: str) -> str:
    with urlopen(url, timeout=3) as answer:
        return str(answer.read().decode())


def log(one: Container) -> str:
    return Path(one.engine.containers, one.id, "log").read_text()


def test_nginx_is_read_from_everywhere(ours: Any, machine: Machine, packed: Path) -> None:
    """`web` with -p 8080:80: from another machine, from the host in three ways, from a client by name; and who asks is
    seen by the service, in its access log."""
    image.import_(str(packed / "nginx.tar"), "nginx:1")
    web = container.run("nginx:1", "/usr/sbin/nginx", name="web", detach=True, publish="8080:80")
    gateway = network.inspect("nbcontainers")[0]["IPAM"]["Config"][0]["Gateway"]
    wait_for(lambda: answers(f"http://{web.ip}/"))
    assert machine.run(sys.executable, "-c", READ, f"http://{HOST}:8080/machine") == f"nginx {MACHINE}\n"
    assert read("http://127.0.0.1:8080/loopback") == f"nginx {gateway}\n"
    assert read(f"http://{gateway}:8080/gateway") == f"nginx {gateway}\n"
    assert read(f"http://{HOST}:8080/own") == f"nginx {HOST}\n"
    assert read(f"http://{web.ip}/direct") == f"nginx {gateway}\n"
    heard: list[bytes] = []
    client = container.run("host", PYTHON, "-c", READ, "http://web/client", stdout=heard.append, name="client")
    address = heard[0].decode().split()[1]
    assert address not in (gateway, web.ip)
    for client_address, path in ((MACHINE, "machine"), (gateway, "loopback"), (address, "client")):
        assert f"seen {client_address} /{path}" in log(web)
    assert client.exit_code == 0


def answers(url: str) -> bool:
    try:
        return bool(read(url))
    except OSError:
        return False


def test_a_database_that_is_killed_has_its_data_again(ours: Any, packed: Path) -> None:
    """MySQL's role: kill -9, rm, run anew with the same volume; found by its name from another container."""
    image.import_(str(packed / "mariadb.tar"), "mariadb:1")
    network.create("backend")
    first = database()
    sql(
        "CREATE DATABASE course; CREATE TABLE course.points (name VARCHAR(20), points INT) ENGINE=InnoDB;"
        "INSERT INTO course.points VALUES ('ada', 42), ('alan', 41);"
    )
    container.kill(first.id, signal="KILL")
    container.wait(first.id)
    container.rm(first.id)
    second = database()
    assert second.id != first.id
    assert sql("SELECT points FROM course.points WHERE name = 'ada'").split() == ["42"]


def database() -> Container:
    options: Any = {"detach": True, "network": "backend", "volume": "points:/var/lib/mysql"}
    made: Container = container.run("mariadb:1", *SERVE, name="db", **options)
    wait_for(ready, 30)
    return made


def ready() -> bool:
    try:
        return sql("SELECT 1").split() == ["1"]
    except Error:
        return False


def sql(text: str) -> str:
    heard: list[bytes] = []
    command = ["/usr/bin/mariadb", "-h", "db", "-N", "-B", "-e", text]
    container.run("mariadb:1", *command, rm=True, network="backend", stdout=heard.append, stderr=lambda _: None)
    return b"".join(heard).decode()
