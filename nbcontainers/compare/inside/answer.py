"""Answers on a TCP port, a process a connection. Its first byte says how: `e` each byte comes back, `s` zeros without an end."""

import os
import signal
import socket
import sys


def echo(connection: socket.socket) -> None:
    data = b"e"
    while data:
        connection.sendall(data)
        data = connection.recv(1 << 16)


def stream(connection: socket.socket) -> None:
    zeros = bytes(1 << 18)
    while True:
        connection.sendall(zeros)


def answer(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    ways = {b"e": echo, b"s": stream}
    if way := ways.get(connection.recv(1)):
        way(connection)


signal.signal(signal.SIGCHLD, signal.SIG_IGN)
with socket.create_server(("", int(sys.argv[1]))) as server:
    while True:
        accepted, _ = server.accept()
        if os.fork():
            accepted.close()
            continue
        try:
            answer(accepted)
        finally:
            os._exit(0)
