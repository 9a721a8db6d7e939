"""`nbcontainers-runtime`: the core with runc's command line, so that other engines can drive it.

nbcontainers-runtime [--root DIR] create --bundle DIR ID | start ID | state ID | kill ID [SIGNAL] | delete ID
                                  run -b DIR ID | exec ID COMMAND… | list | ps ID | pause ID | resume ID
                                  update --resources FILE ID | features
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbcontainers.cgroups import detect
from nbcontainers.errors import Error, InvalidArgument
from nbcontainers.linux import capabilities, namespaces, process, pty
from nbcontainers.runtime import create, hooks, state
from nbcontainers.runtime.delete import delete
from nbcontainers.runtime.features import features
from nbcontainers.runtime.kill import kill, parse_signal, pause, resume
from nbcontainers.runtime.process import exec_process
from nbcontainers.runtime.update import update
from nbcontainers.version import VERSION

_SPEC = "1.3.0"


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point; the exit status is the program's in `run` and `exec`, else 0 or 1."""
    options = _parser().parse_args(arguments)
    if options.version:
        print(f"nbcontainers-runtime {VERSION}\nspec: {_SPEC}")
        return 0
    try:
        if options.verb in ("create", "run", "exec"):
            process.seal_interpreter()
        if options.verb and os.geteuid() != 0:
            _refuse_foreign(options.root)
        return int(options.action(options) or 0)
    except (Error, OSError) as error:
        _log(options, str(error))
        return error.details.get("exit_code", 1) if isinstance(error, Error) and options.verb in ("run", "exec") else 1


def _log(options: argparse.Namespace, message: str) -> None:
    """To stderr, and where `--log` says, in runc's form, which conmon and podman read."""
    print(f"nbcontainers-runtime: {message}", file=sys.stderr)
    if options.log:
        entry = {"level": "error", "msg": message, "time": hooks.now()}
        line = (
            json.dumps(entry) if options.log_format == "json" else f"time={entry['time']} level=error msg={message!r}"
        )
        with open(options.log, "a") as file:
            file.write(line + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nbcontainers-runtime", description="An OCI runtime.")
    parser.add_argument("--root", type=Path, default=_default_root(), help="where state is kept")
    parser.add_argument("--log", help="append errors to this file")
    parser.add_argument("--log-format", choices=("text", "json"), default="text")
    parser.add_argument("--systemd-cgroup", action="store_true", help="cgroupsPath is slice:prefix:name")
    parser.add_argument("--version", "-v", action="store_true")
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(verb="", action=lambda options: parser.print_help())
    verbs = parser.add_subparsers(dest="verb")
    for name, action, fill in _VERBS:
        verb = verbs.add_parser(name)
        verb.set_defaults(action=action)
        fill(verb)
    return parser


def _default_root() -> Path:
    """/run, and for an ordinary user, who is root in a user namespace where podman starts us, the folder of his session."""
    if (os.geteuid() != 0 or namespaces.in_user_namespace()) and (folder := os.environ.get("XDG_RUNTIME_DIR")):
        return Path(folder, "nbcontainers-runtime")
    return Path("/run/nbcontainers-runtime" if os.geteuid() == 0 else f"/tmp/nbcontainers-runtime-{os.geteuid()}")


def _refuse_foreign(root: Path) -> None:
    """An ordinary user's state may lie in /tmp, where anybody could have made its folder first."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (owner := root.lstat().st_uid) != os.geteuid():
        raise InvalidArgument(f"{root} belongs to uid {owner}, not to us", hint="give --root DIR, a folder of your own")


def _id(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("id")


def _create_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--bundle", "-b", type=Path, default=Path("."))
    verb.add_argument("--console-socket")
    verb.add_argument("--pid-file", type=Path)
    verb.add_argument("--preserve-fds", type=int, default=0)
    for ignored in ("--no-pivot", "--no-new-keyring", "--no-subreaper", "--keep"):
        verb.add_argument(ignored, action="store_true")
    verb.add_argument("--detach", "-d", action="store_true")
    _id(verb)


def _exec_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--process", "-p", type=Path)
    verb.add_argument("--console-socket")
    verb.add_argument("--pid-file", type=Path)
    verb.add_argument("--preserve-fds", type=int, default=0)
    verb.add_argument("--detach", "-d", action="store_true")
    verb.add_argument("--tty", "-t", action="store_true")
    verb.add_argument("--cwd")
    verb.add_argument("--user", "-u", help="UID[:GID]")
    verb.add_argument("--additional-gids", "-g", action="append", type=int, default=[])
    verb.add_argument("--env", "-e", action="append", default=[])
    verb.add_argument("--cap", "-c", action="append", default=[])
    verb.add_argument("--no-new-privs", action="store_true")
    _id(verb)
    verb.add_argument("command", nargs=argparse.REMAINDER)


def _kill_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--all", "-a", action="store_true")
    _id(verb)
    verb.add_argument("signal", nargs="?", default="TERM")


def _delete_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--force", "-f", action="store_true")
    _id(verb)


def _list_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--format", "-f", choices=("table", "json"), default="table")
    verb.add_argument("--quiet", "-q", action="store_true")


def _ps_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--format", "-f", choices=("table", "json"), default="table")
    _id(verb)


def _update_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--resources", "-r", required=True, metavar="FILE", help="linux.resources as JSON; - is stdin")
    _id(verb)


def _create(options: argparse.Namespace) -> None:
    bundle = options.bundle.absolute()
    config = _read_config(bundle)
    created = _make(options, config, bundle, (0, 1, 2), fifo=True)
    found = state.load(options.root, options.id)
    try:
        state.write_json(str(found.folder / "config.json"), config)
        _finish(options, created)
    except OSError:
        _end(created, found)
        raise


def _make(
    options: argparse.Namespace, config: Any, bundle: Path, stdio: tuple[int, int, int], *, fifo: bool
) -> create.Created:
    console = bool(config.get("process", {}).get("terminal"))
    if console and fifo and not options.console_socket:
        raise InvalidArgument("process.terminal is set", hint="give --console-socket, or set it to false")
    return create.create(
        config, bundle, options.id, options.root, stdio, cgroup=_cgroup(options, config), console=console, fifo=fifo,
        preserve=options.preserve_fds,
    )  # fmt: skip


def _cgroup(options: argparse.Namespace, config: Any) -> Any:
    """Where the configuration says; root's default is runc's, `/ID`, an ordinary user's is wherever it may write."""
    rootless = os.geteuid() != 0 or namespaces.in_user_namespace()
    state.check_id(options.id)
    path = (config.get("linux") or {}).get("cgroupsPath") or ("" if rootless else f"/{options.id}")
    return detect.from_path(path, options.id, rootless=rootless, systemd=options.systemd_cgroup)


def _read_config(bundle: Path) -> Any:
    try:
        with open(bundle / "config.json", "rb") as file:
            return json.load(file)
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise InvalidArgument(f"no usable config.json in {bundle}: {error}", hint="give --bundle DIR") from None


def _finish(options: argparse.Namespace, created: create.Created) -> None:
    """Hand on the terminal and the pid."""
    if created.master is not None and options.console_socket:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(options.console_socket)
            socket.send_fds(client, [b"/dev/ptmx"], [created.master])
    if options.pid_file:
        temporary = options.pid_file.with_name(f".{options.pid_file.name}.tmp")
        temporary.write_text(str(created.pid))
        temporary.rename(options.pid_file)


def _start(options: argparse.Namespace) -> None:
    found = state.load(options.root, options.id)
    state.require(found, "created", verb="start")
    create.start(found)


def _run(options: argparse.Namespace) -> int:
    bundle = options.bundle.absolute()
    config = _read_config(bundle)
    process.set_subreaper()
    created = _make(options, config, bundle, (0, 1, 2), fifo=False)
    found = state.load(options.root, options.id)
    try:
        _finish(options, created)
        created.start()
        hooks.run_hooks(config, "poststart", found.oci())
    except (Error, OSError):
        _end(created, found)
        raise
    if options.detach:
        return 0
    code = _attend(created)
    for warning in delete(state.load(options.root, options.id)):
        _log(options, warning)
    return code


def _end(created: create.Created, found: state.State) -> None:
    """A container that could not be handed over or started, or whose poststart hook failed, is taken down again."""
    signal.pidfd_send_signal(created.pidfd, signal.SIGKILL)
    os.waitpid(created.pid, 0)
    delete(found)


def _attend(created: create.Created) -> int:
    """Forward signals and, where there is one, the terminal, until the end; returns the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, _: signal.pidfd_send_signal(created.pidfd, number))
    if created.master is not None:
        _pump(created.master)
    code = os.waitstatus_to_exitcode(os.waitpid(created.pid, 0)[1])
    return code if code >= 0 else 128 - code


def _pump(master: int) -> None:
    """Copy between our terminal and the container's until its side hangs up."""
    saved = termios.tcgetattr(0) if os.isatty(0) else None
    if saved:
        tty.setraw(0)
        pty.set_size(master, *pty.get_size(0))
        signal.signal(signal.SIGWINCH, lambda *_: pty.set_size(master, *pty.get_size(0)))
    sources = {0: master, master: 1}
    try:
        while master in sources:
            for source in select.select(list(sources), [], [])[0]:
                data = _read(source)
                if data:
                    os.write(sources[source], data)
                else:
                    del sources[source]
    finally:
        if saved:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError as error:
        if error.errno != errno.EIO:  # the last slave is closed
            raise
        return b""


def _state(options: argparse.Namespace) -> None:
    found = state.load(options.root, options.id)
    details = {"rootfs": found.document["rootfs"], "created": found.document["created"], "owner": ""}
    print(json.dumps({**found.oci(), **details}, indent=2))


def _kill(options: argparse.Namespace) -> None:
    kill(state.load(options.root, options.id), parse_signal(options.signal), everybody=options.all)


def _delete(options: argparse.Namespace) -> None:
    if options.force and not (options.root / state.check_id(options.id) / "state.json").exists():
        return
    for warning in delete(state.load(options.root, options.id), force=options.force):
        _log(options, warning)


def _exec(options: argparse.Namespace) -> int:
    document = json.loads(options.process.read_bytes()) if options.process else _process_of(options)
    console = bool(document.get("terminal") or options.tty)
    created = exec_process(
        options.id, options.root, document, (0, 1, 2), console=console, preserve=options.preserve_fds
    )
    _finish(options, created)
    created.start()
    created.reap()
    return 0 if options.detach else _attend(created)


def _process_of(options: argparse.Namespace) -> dict[str, Any]:
    """The process object of `exec ID COMMAND…`: init's, with the command line's changes."""
    base = state.load(options.root, options.id).config["process"]
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    return {
        **base, "args": command, "cwd": options.cwd or base["cwd"], "env": [*(base.get("env") or []), *options.env],
        "user": _user(options, base.get("user") or {}), "capabilities": _capabilities(options.cap, base),
        "noNewPrivileges": options.no_new_privs or base.get("noNewPrivileges", False), "terminal": options.tty,
    }  # fmt: skip


def _user(options: argparse.Namespace, base: dict[str, Any]) -> dict[str, Any]:
    uid, colon, gid = (options.user or str(base.get("uid", 0))).partition(":")
    if not uid.isdecimal() or (colon and not gid.isdecimal()):
        raise InvalidArgument(f"--user {options.user!r}: the runtime takes numbers", hint="write --user 1000:1000")
    groups = [*(base.get("additionalGids") or []), *options.additional_gids]
    return {**base, "uid": int(uid), "gid": int(gid) if colon else base.get("gid", 0), "additionalGids": groups}


def _capabilities(more: Sequence[str], base: dict[str, Any]) -> dict[str, Any] | None:
    """Init's and these, in every set that gives a program something (the inheritable one stays as it is)."""
    if unknown := [name for name in more if name not in capabilities.NUMBERS]:
        raise InvalidArgument(f"--cap {unknown[0]!r} is no capability", hint="write --cap CAP_NET_RAW")
    sets = base.get("capabilities") or {}
    wider = {name: [*(sets.get(name) or []), *more] for name in ("bounding", "effective", "permitted")}
    return {**sets, **wider} if more else base.get("capabilities")


def _list(options: argparse.Namespace) -> None:
    found = state.load_all(options.root)
    if options.quiet:
        print("\n".join(each.id for each in found))
    elif options.format == "json":
        print(json.dumps([{**each.oci(), "created": each.document["created"]} for each in found]))
    else:
        rows = [("ID", "PID", "STATUS", "BUNDLE", "CREATED")]
        rows += [(s.id, str(s.oci()["pid"]), s.status, str(s.bundle), s.document["created"]) for s in found]
        print("\n".join("{:<20} {:<8} {:<10} {:<40} {}".format(*row) for row in rows))


def _ps(options: argparse.Namespace) -> None:
    pids = state.load(options.root, options.id).cgroup.procs()
    print(json.dumps(pids) if options.format == "json" else "\n".join(["PID", *map(str, pids)]))


def _pause(options: argparse.Namespace) -> None:
    pause(state.load(options.root, options.id))


def _resume(options: argparse.Namespace) -> None:
    resume(state.load(options.root, options.id))


def _update(options: argparse.Namespace) -> None:
    try:
        text = sys.stdin.read() if options.resources == "-" else Path(options.resources).read_text()
        resources = json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            f"no usable resources in {options.resources}: {error}", hint="give a file of JSON"
        ) from None
    update(state.load(options.root, options.id), resources)


def _features(options: argparse.Namespace) -> None:
    print(json.dumps(features(), indent=2))


_VERBS = (
    ("create", _create, _create_options), ("start", _start, _id), ("state", _state, _id), ("kill", _kill, _kill_options),
    ("delete", _delete, _delete_options), ("run", _run, _create_options), ("exec", _exec, _exec_options),
    ("list", _list, _list_options), ("ps", _ps, _ps_options), ("pause", _pause, _id), ("resume", _resume, _id),
    ("update", _update, _update_options), ("features", _features, lambda verb: None),
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
