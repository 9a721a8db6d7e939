"""What people run."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing

from nbcontainers.compare.inside.step import Absent, clock, kept, per, volume

_SLOW_S = 0.08
"""For a loop that takes a processor of these years 5 ms."""


def sqlite() -> tuple[float, str]:
    """Transactions of one row, each on the disk before the next, in the folder that outlives the instance."""
    import sqlite3

    path = kept(volume()) / f"data-{os.getpid()}.sqlite"
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as base:
            base.execute("CREATE TABLE t (a INTEGER, b TEXT)")
            took = per(lambda: base.execute("INSERT INTO t VALUES (1, 'text')"), 10)
    except sqlite3.Error as error:
        raise Absent(f"SQLite could not: {error}") from None
    finally:
        path.unlink(missing_ok=True)
    return 1 / took, "1/s"


def http() -> tuple[float, str]:
    """Requests a second over one connection, answered by Python's own server in a thread."""
    from http.client import HTTPConnection
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Hello(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    def step() -> None:
        connection.request("GET", "/")
        connection.getresponse().read()

    with HTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        with closing(HTTPConnection("127.0.0.1", server.server_port)) as connection:
            took = per(step, 20)
        server.shutdown()
    return 1 / took, "1/s"


def importing() -> tuple[float, str]:
    """Another interpreter that imports what a program that talks HTTP does; its files are in the page cache."""
    words = [sys.executable, "-c", "import http.client, json"]
    return per(lambda: subprocess.run(words, check=True), 1) * 1e3, "ms"


def fit() -> tuple[float, str]:
    """A random forest of scikit-learn on its own digits. Its import alone takes an emulated processor a minute."""
    begun = clock()
    sum(number & 7 for number in range(100_000))
    if clock() - begun > _SLOW_S:
        raise Absent("this processor is so slow that importing scikit-learn would take minutes")
    try:
        from sklearn.datasets import load_digits
        from sklearn.ensemble import RandomForestClassifier
    except ImportError as error:
        raise Absent(f"Python here has no {error.name}") from None
    data = load_digits()
    model = RandomForestClassifier(10, random_state=1, n_jobs=1)
    begun = clock()
    model.fit(data.data, data.target)
    return (clock() - begun) * 1e3, "ms"
