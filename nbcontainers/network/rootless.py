"""The step that publishes an ordinary user's ports: a process of our own carries them to where his networks are."""

from __future__ import annotations

import socket
from typing import Any

from nbcontainers.monitor.files import Files
from nbcontainers.network import forwarder, publish, state, userhost

Arguments = dict[str, Any]


class Forwards:
    """`root`, `run`, `id`, `ports`: the same as `publish.Publish`, where the host's own packets cannot be led."""

    @staticmethod
    def do(args: Arguments) -> None:
        files = Files(args["root"], args["run"], args["id"])
        held: list[socket.socket] = []
        try:
            forwards = publish.reserve(args["ports"], publish.targets_of(state.read(files)), held, files)
            with state.changed(files) as made:
                made["ports"] = [one._asdict() for one in forwards]
            userhost.there(files.run, lambda: publish.lead(forwards, made["networks"]))
            forwarder.start(files, list(zip(forwards, held, strict=True)))
        finally:
            for one in held:
                one.close()

    @staticmethod
    def undo(args: Arguments) -> None:
        forwarder.end(Files(args["root"], args["run"], args["id"]))
        userhost.there(args["run"], lambda: publish.Publish.undo(args))

    @staticmethod
    def describe(args: Arguments) -> str:
        words = [f"{port['protocol']} {port['first'] or 'any'} to {port['target']}" for port in args["ports"]]
        return f"forward {', '.join(words)} to {args['id'][:12]}"
