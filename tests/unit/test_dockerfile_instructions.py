"""Every instruction and flag: what is read, what its defaults are, what is refused and with which words."""

from __future__ import annotations

import pytest

from nbcontainers.dockerfile import dockerfile, mount, value
from nbcontainers.dockerfile import instructions as i
from nbcontainers.errors import BuildError

SHELL = ("/bin/sh", "-c")


def read(line: str) -> i.Instruction:
    return dockerfile.read(f"FROM a\n{line}").stages[0].instructions[0]


def facts(one: object) -> dict[str, object]:
    return {name: found for name, found in vars(one).items() if name != "node"}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("FROM a", {"image": "a", "stage": "", "platform": "", "keyword": ""}),
        (
            "FROM a:1@sha256:00 AS B.c-1_d",
            {"image": "a:1@sha256:00", "stage": "b.c-1_d", "platform": "", "keyword": "AS"},
        ),
        (
            "from --platform=$BUILDPLATFORM a as b",
            {"image": "a", "stage": "b", "platform": "$BUILDPLATFORM", "keyword": "as"},
        ),
        ("FROM host", {"image": "host", "stage": "", "platform": "", "keyword": ""}),
    ],
)
def test_from(text: str, expected: dict[str, object]) -> None:
    assert facts(dockerfile.read(text).stages[0].from_) == expected


@pytest.mark.parametrize(
    "line, expected",
    [
        ("ARG a b= c=d", i.Arg(None, (("a", None), ("b", ""), ("c", "d")))),  # type: ignore[arg-type]
        ("ENV a=b c=d", i.Env(None, (("a", "b"), ("c", "d")))),  # type: ignore[arg-type]
        ("ENV a b=c", i.Env(None, (("a", "b=c"),))),  # type: ignore[arg-type]
        ("LABEL a.b='c d'", i.Label(None, (("a.b", "'c d'"),))),  # type: ignore[arg-type]
        ("MAINTAINER me <a@b>", i.Maintainer(None, "me <a@b>")),  # type: ignore[arg-type]
        ("WORKDIR /a b", i.Workdir(None, "/a b")),  # type: ignore[arg-type]
        ("USER a:b", i.User(None, "a:b")),  # type: ignore[arg-type]
        ("VOLUME /a /b", i.Volume(None, ("/a", "/b"))),  # type: ignore[arg-type]
        ('VOLUME ["/a b"]', i.Volume(None, ("/a b",))),  # type: ignore[arg-type]
        ("EXPOSE 80 1-2/udp", i.Expose(None, ("80", "1-2/udp"))),  # type: ignore[arg-type]
        ("STOPSIGNAL sigkill", i.Stopsignal(None, "sigkill")),  # type: ignore[arg-type]
        ("STOPSIGNAL RTMIN+3", i.Stopsignal(None, "RTMIN+3")),  # type: ignore[arg-type]
        ('SHELL ["/bin/bash", "-c"]', i.Shell(None, ("/bin/bash", "-c"))),  # type: ignore[arg-type]
        ("HEALTHCHECK NONE", i.Healthcheck(None, ("NONE",))),  # type: ignore[arg-type]
        ("HEALTHCHECK none", i.Healthcheck(None, ("NONE",))),  # type: ignore[arg-type]
        ('HEALTHCHECK CMD ["a", "b"]', i.Healthcheck(None, ("CMD", "a", "b"))),  # type: ignore[arg-type]
        ("CMD a b", i.Cmd(None, ("a b",), True)),  # type: ignore[arg-type]
        ('CMD ["a", "b"]', i.Cmd(None, ("a", "b"), False)),  # type: ignore[arg-type]
        ("CMD []", i.Cmd(None, (), False)),  # type: ignore[arg-type]
        ("ENTRYPOINT []", i.Entrypoint(None, (), False)),  # type: ignore[arg-type]
        ("ENTRYPOINT", i.Entrypoint(None, (), False)),  # type: ignore[arg-type]
        ("ENTRYPOINT exec a", i.Entrypoint(None, ("exec a",), True)),  # type: ignore[arg-type]
        ("COPY a b c/", i.Copy(None, ("a", "b"), "c/")),  # type: ignore[arg-type]
        ('COPY ["a b", "c"]', i.Copy(None, ("a b",), "c")),  # type: ignore[arg-type]
        (
            "COPY --from=x --chown=1:2 --chmod=u+x --link --parents=true --exclude=a --exclude=b s d",
            i.Copy(None, ("s",), "d", (), "x", "1:2", "u+x", True, True, ("a", "b")),  # type: ignore[arg-type]
        ),
        ("COPY --link=false s d", i.Copy(None, ("s",), "d")),  # type: ignore[arg-type]
        ("COPY <<E x /d/\na\nE", i.Copy(None, ("x",), "/d/", (i.Content("E", "a\n", True),))),  # type: ignore[arg-type]
        ("COPY <<-'E' /d\n\ta\n\tE", i.Copy(None, (), "/d", (i.Content("E", "a\n", False),))),  # type: ignore[arg-type]
        ("COPY << E /d\na\nE", i.Copy(None, (), "/d", (i.Content("E", "a\n", True),))),  # type: ignore[arg-type]
        (
            "ADD --keep-git-dir --checksum=abc1 --unpack=false git@x:y.git#v:d /d",
            i.Add(None, ("git@x:y.git#v:d",), "/d", keep_git_dir=True, checksum="abc1", unpack=False),  # type: ignore[arg-type]
        ),
    ],
    ids=str,
)
def test_what_is_read(line: str, expected: i.Instruction) -> None:
    assert read(line) == expected  # `node` takes no part in equality


def test_healthcheck() -> None:
    one = read(
        "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=0 --start-interval=100ms --retries=4 CMD x || y"
    )
    assert isinstance(one, i.Healthcheck)
    assert one.config() == {
        "Test": ["CMD-SHELL", "x || y"], "Interval": 90 * 10**9, "Timeout": 1_500_000_000, "StartInterval": 10**8, "Retries": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text, argv",
    [
        ("RUN a && b", (*SHELL, "a && b")), ('RUN ["a", "b"]', ("a", "b")), ("RUN", (*SHELL, "")),
        ("RUN <<E\na\nb\nE", (*SHELL, "a\nb\n")), ("RUN <<-E\n\ta\n\tE", (*SHELL, "a\n")),
        ("RUN <<'E'\n$a\nE", (*SHELL, "$a\n")), ("RUN << E\na\nE", (*SHELL, "a\n")),
        ("RUN <<E bash\na\nE", (*SHELL, "<<E bash\na\nE")), ("RUN <<a cat; <<b cat\n1\na\n2\nb", (*SHELL, "<<a cat; <<b cat\n1\na\n2\nb")),
        ("RUN <<E\n#!/bin/x\na\nE", ("/dev/pipes/E",)), ("RUN <<E cat\n#!/bin/x\nE", (*SHELL, "<<E cat\n#!/bin/x\nE")),
    ],
)  # fmt: skip
def test_what_run_executes(text: str, argv: tuple[str, ...]) -> None:
    one = read(text)
    assert isinstance(one, i.Run)
    assert one.argv(SHELL) == argv
    assert (one.script is not None) == (argv[0] == "/dev/pipes/E")


def test_run_flags() -> None:
    one = read("RUN --network=none --security=insecure --mount=type=tmpfs,target=/x --mount=target=/y ls")
    assert isinstance(one, i.Run)
    assert (one.network, one.security) == ("none", "insecure")
    assert one.mount_flags == ("type=tmpfs,target=/x", "target=/y")


def mounted(text: str) -> mount.Mount:
    found = mount.parse(text, lambda word: word.replace("$v", "value"))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "text, expected",
    [
        ("target=/x", mount.Mount("bind", "/x")),
        ("type=bind,dst=/x,src=a,from=b,rw", mount.Mount("bind", "/x", "a", "b", read_only=False)),
        ("TYPE=BIND,destination=x,readonly=false", mount.Mount("bind", "x", read_only=False)),
        ("type=cache,target=/x", mount.Mount("cache", "/x", read_only=False)),
        (
            "type=cache,target=/x,id=i,sharing=locked,mode=0700,uid=1,gid=2,ro,from=f,source=s",
            mount.Mount("cache", "/x", "s", "f", "i", "locked", mode=0o700, uid=1, gid=2),
        ),
        ("type=tmpfs,target=/x,size=64m", mount.Mount("tmpfs", "/x", size=64 * 2**20, read_only=False)),
        ("type=secret,id=a,env=B,required", mount.Mount("secret", id="a", env="B", required=True)),
        ("type=secret,target=/a/b,mode=0440", mount.Mount("secret", "/a/b", mode=0o440)),
        ("type=ssh,id=a,required=true", mount.Mount("ssh", id="a", required=True)),
        ('type=bind,"target=/a,b"', mount.Mount("bind", "/a,b")),
        ("type=cache,target=/$v,id=$v", mount.Mount("cache", "/value", id="value", read_only=False)),
    ],
)
def test_mounts(text: str, expected: mount.Mount) -> None:
    assert mounted(text) == expected


@pytest.mark.parametrize(
    "text, key, path, permissions",
    [
        ("type=cache,target=/x", "/x", "/x", 0o755), ("type=cache,target=x/../y,id=i", "i", "/w/y", 0o755),
        ("type=secret,id=a/b", "a/b", "/run/secrets/b", 0o400), ("type=secret,target=/t/s", "s", "/t/s", 0o400),
        ("type=secret,id=a,env=E", "a", "", 0o400), ("type=secret,id=a,env=E,target=/z", "a", "/z", 0o400),
        ("type=ssh", "default", "/run/buildkit/ssh_agent.3", 0o600), ("type=ssh,id=k,mode=0666", "k", "/run/buildkit/ssh_agent.3", 0o666),
        ("type=bind,target=.", ".", "/w", 0o755),
    ],
)  # fmt: skip
def test_defaults_of_mounts(text: str, key: str, path: str, permissions: int) -> None:
    one = mounted(text)
    assert (one.key, one.path("/w", 3), one.permissions) == (key, path, permissions)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "fields are key=value"), ("type=bind,", "no key of a mount"), ('a"b', "fields are"), ('"a', "fields are"),
        ("target", "'target' needs a value"), ("type=cahce,target=/x", "no type of mount (did you mean cache?)"),
        ("taget=/x", "'taget' is no key of a mount (did you mean target?)"), ("type=bind,target=/x,size=1m", "'size' is no key of type=bind"),
        ("type=tmpfs,target=/x,mode=1", "'mode' is no key of type=tmpfs"), ("type=tmpfs,target=/x,size=big", "size: 'big' is no size"),
        ("type=cache,target=/x,sharing=lock", "'lock' is not known (did you mean locked?)"), ("type=cache,target=/x,mode=9", "'9' is no octal number"),
        ("type=cache,target=/x,uid=-1", "'-1' is no number"), ("target=/x,ro=maybe", "'maybe' is no boolean"), ("type=bind", "needs a target"),
        ("type=cache,id=a", "needs a target"), ("type=secret", "needs an id"), ("type=secret,id=a,source=b", "not both"),
        ("type=secret,id=a,from=b", "'from' is no key of type=secret"), ("from=$v,target=/x", "cannot hold a variable"),
        ("target=/x,required", "'required' is no key of type=bind"),
    ],
)  # fmt: skip
def test_mounts_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        mounted(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text, line, message, hint",
    [
        ("FRMO a", 1, "unknown instruction 'FRMO' (did you mean FROM?)", "known: ADD ARG"),
        ("FROM a\nCOPPY a b", 2, "unknown instruction 'COPPY' (did you mean COPY?)", ""),
        ("FROM a\n\nxyzzy", 3, "unknown instruction 'xyzzy'\n", "known"),
        ("FROM a\nCOPY --form=b a c", 2, "unknown flag --form (did you mean --from?)", "COPY takes --"),
        ("FROM a\nENV --x a=b", 2, "unknown flag --x", "ENV takes no flags"),
        ("FROM a\nADD --from=b a c", 2, "unknown flag --from", ""), ("FROM a\nADD --parents a c", 2, "unknown flag --parents", ""),
        ("FROM a\nCOPY --from=a --from=b a c", 2, "--from is given twice", ""), ("FROM a\nCOPY --chown a b", 2, "--chown needs a value", "--chown=VALUE"),
        ("FROM a\nCOPY --link=yes a b", 2, "--link takes true or false", ""), ("FROM", 1, "it needs an image", "FROM [--platform"),
        ("FROM a AS", 1, "one argument or three", ""), ("FROM a b c", 1, "one argument or three", ""), ("FROM a AS b c", 1, "one argument or three", ""),
        ("FROM a AS 1b", 1, "invalid name for a stage: '1b'", "begins with a letter"), ("FROM a AS b/c", 1, "invalid name", ""),
        ("ARG\nFROM a", 1, "it needs an argument", "ARG NAME"), ("FROM a\nARG =b", 2, "'=b' has no name", ""), ("FROM a\nENV", 2, "needs an argument", ""),
        ("FROM a\nENV =b", 2, "has no name", ""), ("FROM a\nLABEL", 2, "needs an argument", ""), ("FROM a\nCOPY a", 2, "a source and a destination", ""),
        ("FROM a\nCOPY", 2, "a source and a destination", ""), ('FROM a\nCOPY ["a"]', 2, "a source and a destination", ""),
        ("FROM a\nCOPY a <<E\nE", 2, "cannot be the destination", "COPY <<E PATH"), ("FROM a\nCOPY --from=$x a b", 2, "--from cannot hold a variable", "FROM $x AS"),
        ("FROM a\nCOPY --chmod=888 a b", 2, "'888' is no mode", ""), ("FROM a\nCOPY --chmod=17777 a b", 2, "no octal number", ""),
        ("FROM a\nCOPY --chmod=z+x a b", 2, "no mode", ""), ("FROM a\nADD --checksum=md5:1 a b", 2, "no checksum", "64 hexadecimal"),
        ("FROM a\nWORKDIR", 2, "needs an argument", ""), ("FROM a\nUSER", 2, "needs an argument", ""), ("FROM a\nVOLUME", 2, "needs an argument", ""),
        ('FROM a\nVOLUME [""]', 2, "needs a path", ""), ("FROM a\nEXPOSE", 2, "needs an argument", ""), ("FROM a\nEXPOSE http", 2, "'http' is no port", ""),
        ("FROM a\nEXPOSE 80/icmp", 2, "icmp is not known", ""), ("FROM a\nEXPOSE 70000", 2, "0 to 65535", ""), ("FROM a\nEXPOSE 9-8", 2, "lower to the higher", ""),
        ("FROM a\nSTOPSIGNAL", 2, "needs an argument", ""), ("FROM a\nSTOPSIGNAL SIGFOO", 2, "no signal", ""), ("FROM a\nSTOPSIGNAL 0", 2, "no signal", ""),
        ("FROM a\nSHELL", 2, "a JSON array", ""), ("FROM a\nSHELL bash -c", 2, "a JSON array", 'SHELL ["/bin/sh"'), ("FROM a\nSHELL []", 2, "a JSON array", ""),
        ("FROM a\nHEALTHCHECK", 2, "needs an argument", ""), ("FROM a\nHEALTHCHECK CMD", 2, "no command after CMD", ""), ("FROM a\nHEALTHCHECK NONE x", 2, "takes no arguments", ""),
        ("FROM a\nHEALTHCHECK curl x", 2, "'curl' is not known", "CMD COMMAND"), ("FROM a\nHEALTHCHECK --interval=5 CMD a", 2, "'5' is no duration", ""),
        ("FROM a\nHEALTHCHECK --interval=1us CMD a", 2, "less than 1ms", ""), ("FROM a\nHEALTHCHECK --timeout=-1s CMD a", 2, "negative", ""),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD a", 2, "'-1' is no number", ""), ("FROM a\nHEALTHCHECK --retries=x CMD a", 2, "'x' is no number", ""),
        ("FROM a\nONBUILD", 2, "needs an instruction", ""), ("FROM a\nONBUILD FROM b", 2, "FROM cannot be a trigger", ""), ("FROM a\nONBUILD ONBUILD RUN b", 2, "cannot be a trigger", ""),
        ("FROM a\nONBUILD maintainer b", 2, "cannot be a trigger", ""), ("FROM a\nONBUILD RNU b", 2, "unknown instruction 'RNU' (did you mean RUN?)", ""),
        ("FROM a\nONBUILD COPY a", 2, "a source and a destination", ""), ("FROM a\nRUN --network=hots a", 2, "'hots' is not known (did you mean host?)", ""),
        ("FROM a\nRUN --security=x a", 2, "'x' is not known", "sandbox|insecure"), ("FROM a\nRUN --device=gpu a", 2, "--device needs CDI", ""),
        ("FROM a\nRUN --mount=typ=cache a", 2, "'typ' is no key of a mount (did you mean type?)", ""),
        ("FROM a\nRUN --mount=from=$x,target=/y a", 2, "cannot hold a variable", ""), ("FROM a\nMAINTAINER", 2, "needs an argument", ""),
        ("RUN a\nFROM b", 1, "there is no FROM before RUN", "only ARG may stand before"), ("ARG a", 1, "there is no FROM in it", ""),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, line: int, message: str, hint: str) -> None:
    with pytest.raises(BuildError) as caught:
        dockerfile.read(text)
    assert message in caught.value.message
    assert caught.value.line == line
    assert hint in caught.value.hint


@pytest.mark.parametrize("name", ["run", "Run", "RUN"])
def test_case_of_the_name_does_not_count(name: str) -> None:
    assert isinstance(read(f"{name} a"), i.Run)


@pytest.mark.parametrize(
    "line, expression, trigger",
    [
        ("ONBUILD RUN a", "RUN a", i.Run), ("onbuild  copy --from=b a c", "copy --from=b a c", i.Copy),
        ("ONBUILD RUN a \\\n  b", "RUN a   b", i.Run), ("ONBUILD RUN <<E\nx\nE", "RUN <<E\nx\nE", i.Run),
        ("ONBUILD COPY <<E /x\nx\nE", "COPY <<E /x\nx\nE", i.Copy),
    ],
)  # fmt: skip
def test_onbuild(line: str, expression: str, trigger: type) -> None:
    one = read(line)
    assert isinstance(one, i.Onbuild)
    assert one.expression == expression
    assert isinstance(one.trigger, trigger)
    assert type(dockerfile.triggers([one.expression], "base")[0]) is trigger


def test_a_bad_trigger_of_a_base_names_the_image() -> None:
    with pytest.raises(BuildError, match="ONBUILD of base:1: unknown instruction 'RNU'"):
        dockerfile.triggers(["RNU x"], "base")
    with pytest.raises(BuildError, match="FROM cannot be a trigger"):
        dockerfile.triggers(["FROM x"], "base")


@pytest.mark.parametrize(
    "text, mode, folder, expected",
    [
        ("755", 0, False, 0o755), ("0", 0o777, False, 0), ("4755", 0, False, 0o4755), ("+x", 0o644, False, 0o755), ("a-w", 0o666, False, 0o444),
        ("u=rwX,go=rX", 0o600, False, 0o644), ("u=rwX,go=rX", 0o700, False, 0o755), ("u=rwX,go=rX", 0o600, True, 0o755), ("g=u", 0o640, False, 0o660),
        ("o=", 0o777, False, 0o770), ("u+s", 0o755, False, 0o4755), ("g+s,o+t", 0o755, True, 0o3755), ("u=r,u+w", 0o777, False, 0o677),
        ("u-x+r", 0o300, False, 0o600), ("go-rwx", 0o755, False, 0o700), ("+X", 0o644, False, 0o644), ("=r", 0o4777, False, 0o444), ("o=g-w", 0o660, False, 0o664),
    ],
)  # fmt: skip
def test_chmod(text: str, mode: int, folder: bool, expected: int) -> None:
    assert oct(value.chmod(text, mode, folder)) == oct(expected)


@pytest.mark.parametrize(
    "text, expected",
    [("0", 0), ("1h", 3600 * 10**9), ("1.5s", 1_500_000_000), ("2m30s", 150 * 10**9), (".5s", 5 * 10**8), ("1ms", 10**6), ("+1s", 10**9), ("1000us", 10**6), ("1000µs", 10**6)],
)  # fmt: skip
def test_duration(text: str, expected: int) -> None:
    assert value.duration(text) == expected


@pytest.mark.parametrize("text", ["", "s", "1", "1 s", "1d", "--1s", "1s2", "1e3s", "9999999999h", "١s"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        value.duration(text)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("linux/amd64", "linux/amd64"), ("linux/x86_64", "linux/amd64"), ("arm64", "linux/arm64"), ("linux/aarch64", "linux/arm64"), ("Linux/ARM64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"), ("linux/armhf", "linux/arm/v7"), ("linux/arm/v6", "linux/arm/v6"), ("windows/amd64", "windows/amd64"),
    ],
)  # fmt: skip
def test_platform(text: str, expected: str) -> None:
    assert value.platform(text) == expected


@pytest.mark.parametrize("text", ["", "a/b/c/d", "linux/", "a b", "/amd64"])
def test_no_platform(text: str) -> None:
    with pytest.raises(ValueError, match="is no platform"):
        value.platform(text)


def test_platform_arguments() -> None:
    assert value.platform_arguments("linux/amd64", "linux/arm/v6") == {
        "BUILDPLATFORM": "linux/amd64", "BUILDOS": "linux", "BUILDARCH": "amd64", "BUILDVARIANT": "",
        "TARGETPLATFORM": "linux/arm/v6", "TARGETOS": "linux", "TARGETARCH": "arm", "TARGETVARIANT": "v6",
    }  # fmt: skip
