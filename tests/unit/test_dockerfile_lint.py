"""The build checks of Docker's reference: a bad and a good file each, the message, and the line that is marked."""

from __future__ import annotations

import pytest

from nbcontainers.dockerfile import dockerfile, ignore, lint, value
from nbcontainers.errors import BuildError

PLATFORMS = value.platform_arguments("linux/amd64", "linux/arm64")
IMAGE = {"a": {"PATH": "/bin"}}


def check(text: str, **facts: object) -> list[tuple[str, str, int]]:
    known = {"platforms": PLATFORMS, "environments": IMAGE, **facts}
    found = lint.check(dockerfile.read(text), lint.Facts(**known))  # type: ignore[arg-type]
    return [(one.rule, one.message, one.lines[0]) for one in found]


@pytest.mark.parametrize(
    "text, rule, message, line",
    [
        ("FROM a AS Build", "StageNameCasing", "Stage name 'Build' should be lowercase", 1),
        ("FROM a as b", "FromAsCasing", "'as' and 'FROM' keywords' casing do not match", 1),
        ("from a AS b", "FromAsCasing", "'AS' and 'from' keywords' casing do not match", 1),
        ("FROM a\nRUN b \\\n\n c", "NoEmptyContinuation", "Empty continuation line", 4),
        ("FROM a\nRun b", "ConsistentInstructionCasing", "Command 'Run' should match the case of the command majority (uppercase)", 2),
        ("from a\nrun b\nRUN c", "ConsistentInstructionCasing", "Command 'RUN' should match the case of the command majority (lowercase)", 3),
        ("FROM a AS b\nFROM a AS b", "DuplicateStageName", 'Duplicate stage name "b", stage names should be unique', 2),
        ("FROM a AS scratch", "ReservedStageName", 'Stage name should not use the same name as reserved stage "scratch"', 1),
        ("FROM a\nCMD b", "JSONArgsRecommended", "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals", 2),
        ("FROM a\nENTRYPOINT b", "JSONArgsRecommended", "JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals", 2),
        ("FROM a\nMAINTAINER b", "MaintainerDeprecated", "Maintainer instruction is deprecated in favor of using label", 2),
        ("FROM a$b", "UndefinedArgInFrom", "FROM argument 'b' is not declared", 1),
        ("ARG TAG=1\nFROM a:${TAGG}x", "UndefinedArgInFrom", "FROM argument 'TAGG' is not declared (did you mean TAG?)", 2),
        ("FROM a\nWORKDIR b", "WorkdirRelativePath", 'Relative workdir "b" can have unexpected results if the base image changes', 2),
        ("FROM a\nCOPY $foo .", "UndefinedVar", "Usage of undefined variable '$foo'", 2),
        ("FROM a\nENV PATH=$PAHT:/b", "UndefinedVar", "Usage of undefined variable '$PAHT' (did you mean $PATH?)", 2),
        ('FROM a\nCMD ["b"]\nCMD ["c"]', "MultipleInstructionsDisallowed",
         "Multiple CMD instructions should not be used in the same stage because only the last one will be used", 2),
        ("FROM a\nENV b c", "LegacyKeyValueFormat", '"ENV key=value" should be used instead of legacy "ENV key value" format', 2),
        ("FROM a\nLABEL b c", "LegacyKeyValueFormat", '"LABEL key=value" should be used instead of legacy "LABEL key value" format', 2),
        ("FROM --platform=$TARGETPLATFORM a", "RedundantTargetPlatform",
         "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior", 1),
        ("FROM a\nARG AWS_SECRET_ACCESS_KEY", "SecretsUsedInArgOrEnv", 'Do not use ARG or ENV instructions for sensitive data (ARG "AWS_SECRET_ACCESS_KEY")', 2),
        ("FROM a\nENV b_token=x", "SecretsUsedInArgOrEnv", 'Do not use ARG or ENV instructions for sensitive data (ENV "b_token")', 2),
        ("ARG TAG\nFROM busybox:${TAG}", "InvalidDefaultArgInFrom", "Default value for ARG busybox:${TAG} results in empty or invalid base image name", 2),
        ("FROM --platform=linux/amd64 a AS b", "FromPlatformFlagConstDisallowed", 'FROM --platform flag should not use constant value "linux/amd64"', 1),
        ("FROM a\nEXPOSE 80/TcP", "ExposeProtoCasing", "Defined protocol '80/TcP' in EXPOSE instruction should be lowercase", 2),
        ("FROM a\nEXPOSE 127.0.0.1:80:80", "ExposeInvalidFormat",
         "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'", 2),
    ],
)  # fmt: skip
def test_found(text: str, rule: str, message: str, line: int) -> None:
    assert check(text) == [(rule, message, line)] or (rule, message, line) in check(text)
    assert rule in lint.RULES


@pytest.mark.parametrize(
    "text",
    [
        "FROM a AS b\nRUN c", "from a as b\nrun c", "FROM a\nRUN b \\\n# c\n d", 'FROM a\nSHELL ["x"]\nCMD b', 'FROM a\nCMD ["b"]', "FROM a\nARG foo\nCOPY $foo .",
        "ARG b=1\nFROM a:$b", "ARG b\nFROM a:${b:-c}", "ARG V\nFROM a:stable${V}", "FROM a\nWORKDIR /b\nWORKDIR c", "FROM a AS b\nWORKDIR /b\nFROM b\nWORKDIR c",
        "FROM a\nENV b=c", "FROM --platform=$BUILDPLATFORM a", "FROM --platform=linux/amd64 a AS build_amd64", "FROM a\nENV PUBLIC_KEY=x", "FROM a\nENV MONKEY=x",
        "FROM a\nEXPOSE 80 53/udp", "FROM a\nRUN echo $undefined", "FROM unknown\nCOPY $foo .", "FROM a\nENV x=$PATH", "FROM a\nENV x=${u:-d} y=${u+e}",
        "FROM a AS b\nENV c=1\nFROM b\nENV d=$c", "FROM a\nARG TARGETARCH\nENV b=$TARGETARCH", 'FROM a AS b\nCMD ["c"]\nFROM b\nCMD ["d"]', "FROM a\nONBUILD COPY $x .",
    ],
)  # fmt: skip
def test_nothing_found(text: str) -> None:
    assert check(text) == []


def test_ignored_files() -> None:
    rules = ignore.parse("*/tmp/*\nsecret\nout\n!out/keep\n")
    text = "# check=experimental=CopyIgnoredFile\nFROM a\nCOPY ./a/tmp/x /x\nADD secret fine /y/\nCOPY --from=b secret /z\nCOPY out /o\nCOPY $PATH secret/../fine /p/\n"
    assert check(text, ignore=rules) == [
        ("CopyIgnoredFile", 'Attempting to Copy file "./a/tmp/x" that is excluded by .dockerignore', 3),
        ("CopyIgnoredFile", 'Attempting to Add file "secret" that is excluded by .dockerignore', 4),
    ]
    assert len(check(text.replace("=experimental", "=skip=all;experimental"), ignore=rules)) == 2
    assert check(text.partition("\n")[2], ignore=rules) == []


def test_a_base_of_another_platform() -> None:
    assert check("FROM a", base_platforms={"a": "linux/amd64"}) == [
        (
            "InvalidBaseImagePlatform",
            'Base image a was pulled with platform "linux/amd64", expected "linux/arm64" for current build',
            1,
        )
    ]


@pytest.mark.parametrize(
    "text, found",
    [
        ("# check=experimental=all\n# other\n\nFROM a AS b", []), ("# check=experimental=all\n\n# nothing of it\nFROM a AS b", ["FROM: `# b"]),
        ("# check=experimental=InvalidDefinitionDescription\n\n# b is it\nFROM a AS b\n# no\nARG c=1", ["ARG: `# c"]), ("\n# nothing\nFROM a AS b", []),
        ("# check=experimental=all\n\n# B is it\nFROM a AS b", ["FROM: `# b"]),
        ("# check=experimental=all\nFROM a AS b\n# no\nARG c=1 d=2", ["ARG: `# <arg_key>"]),
        ("# check=experimental=all\nFROM a AS b\n# d is it\nARG c=1 d=2", []),
    ],
)  # fmt: skip
def test_descriptions_are_experimental(text: str, found: list[str]) -> None:
    messages = [message for _, message, _ in check(text)]
    assert [
        part for message, part in zip(messages, [one.split(": `")[0] for one in found], strict=True) if part in message
    ] == [one.split(": `")[0] for one in found]


def test_skip() -> None:
    text = "FROM a AS B\nCMD x\nMAINTAINER y"
    assert {rule for rule, _, _ in check(text)} == {"StageNameCasing", "JSONArgsRecommended", "MaintainerDeprecated"}
    assert {rule for rule, _, _ in check(f"# check=skip=StageNameCasing,JSONArgsRecommended\n{text}")} == {
        "MaintainerDeprecated"
    }
    assert check(f"# check=skip=all\n{text}") == []


def test_error() -> None:
    with pytest.raises(BuildError) as caught:
        check("# check=error=true\nFROM a AS B\nCMD x")
    assert (
        "Dockerfile:2: StageNameCasing: Stage name 'B' should be lowercase\n  2 | FROM a AS B\n    |           ^"
        in caught.value.message
    )
    assert "JSONArgsRecommended" in caught.value.message
    assert "# check=skip=JSONArgsRecommended,StageNameCasing" in caught.value.hint
    assert check("# check=error=true\nFROM a\nRUN x") == []


def test_a_finding_is_shown_with_its_line_and_page() -> None:
    file = dockerfile.read("FROM a\nCMD x")
    [one] = lint.check(file)
    assert lint.show(file, one).endswith("  2 | CMD x\n    | ^^^^^")
    assert one.url == "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/"
    assert lint.RULES[one.rule] == one.description


def test_there_are_the_rules_of_the_reference() -> None:
    assert len(lint.RULES) == 22


def test_the_build_argument_counts_instead_of_the_directive() -> None:
    text = "# check=error=true\nFROM a as b\n"
    assert check(text, build_args={"BUILDKIT_DOCKERFILE_CHECK": "skip=all"}) == []
    with pytest.raises(BuildError, match="FromAsCasing"):
        check(text, build_args={"BUILDKIT_DOCKERFILE_CHECK": "error=true"})


@pytest.mark.parametrize(
    "text",
    [
        "From a as b\nFROM c AS d\nFROM e AS f",
        'FROM a AS b\nSHELL ["/x"]\nFROM b AS c\nCMD d\nFROM c\nENTRYPOINT e',
    ],
)  # fmt: skip
def test_what_another_rule_or_stage_has_said(text: str) -> None:
    assert {rule for rule, _, _ in check(text)} <= {"ConsistentInstructionCasing"}
