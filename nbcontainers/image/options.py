"""How the verbs of `image` take what several of them take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from nbcontainers.image.versions import MOVES
from nbcontainers.option import Argument, Option, part, size

FORMS = ("docker-archive", "oci-archive", "oci-dir")

Name = Annotated[str, Argument("IMAGE", "name, name@digest, id or its beginning", complete="image")]
Other = Annotated[str, Argument("IMAGE", "the image to compare it with", complete="image")]
NewName = Annotated[str, Argument("REFERENCE", "its additional name: NAME[:TAG]")]
Given = Annotated[str, Argument("REFERENCE", "what to call it: NAME[:TAG]")]
Begins = Annotated[str, Argument("NAME", "only images whose name begins so")]
Pulled = Annotated[
    str,
    Argument("REFERENCE", "NAME[:TAG|@DIGEST], oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE", "transport"),
]
Destination = Annotated[str, Argument("DESTINATION", "where to, if not by its own name: REGISTRY/NAME[:TAG]")]
Repository = Annotated[str, Argument("REPOSITORY", "[REGISTRY/]NAME without a tag", complete="repository")]
Registry = Annotated[str, Argument("REGISTRY", "host[:port]; Docker Hub by default", complete="registry")]
Pattern = Annotated[str, Argument("PATTERN", "only tags that hold it, or fit it: '1.21*'")]
Tar = Annotated[
    str, Argument("FILE", "a tar, plain or compressed by gzip, zstd, xz or bzip2, or a URL; - is the input", "path")
]
Archive = Annotated[
    str, Argument("FILE", "a docker-archive, an oci-archive or an OCI layout folder; - is the input", "path")
]

Input = Annotated[str, Option("-i", help="the same, as Docker writes it", metavar="FILE", complete="path")]
Output = Annotated[str, Option("-o", help="the file to write; - is the output", metavar="FILE", complete="path")]
OutputOrFolder = Annotated[
    str,
    Option(
        "-o", help="the file to write, or the folder of an oci-dir; - is the output", metavar="FILE", complete="path"
    ),
]
Form = Annotated[str, Option(help="docker-archive, oci-archive or oci-dir", metavar="FORM", choices=FORMS)]
Platform = Annotated[
    str, Option(help="another machine's image: OS/ARCHITECTURE[/VARIANT], as linux/arm64", metavar="PLATFORM")
]
PlatformOfIndex = Annotated[
    str, Option(help="of an index, the image for OS/ARCHITECTURE[/VARIANT]", metavar="PLATFORM")
]
PlatformOfTar = Annotated[
    str, Option(help="whose programs are in it, if not this machine's: OS/ARCHITECTURE[/VARIANT]", metavar="PLATFORM")
]
TlsVerify = Annotated[
    bool | None, Option(help="check the registry's certificate (=false: don't), whatever the settings say")
]
Change = Annotated[
    Sequence[str], Option("-c", help="a Dockerfile instruction for its config, as 'CMD python3'", metavar="LINE")
]
Filter = Annotated[
    Sequence[str], Option("-f", help="dangling=, label=, before=, since= or reference=", metavar="KEY=VALUE")
]
PruneFilter = Annotated[
    Sequence[str], Option(help="until=24h or a time, label=KEY[=VALUE], label!=…", metavar="KEY=VALUE")
]
LowestEfficiency = Annotated[
    float | None, Option(help="fail below this efficiency, 0.95 or 95%", metavar="PART", parse=part)
]
HighestWastedBytes = Annotated[
    int | None, Option(help="fail above so many wasted bytes, as 20m", metavar="SIZE", parse=size)
]
HighestWastedPercent = Annotated[
    float | None,
    Option(
        help="fail above this part of what the layers above the lowest hold, 0.1 or 10%", metavar="PART", parse=part
    ),
]
Kind = Annotated[str, Option(help="only tags of this kind", choices=tuple(MOVES))]
User = Annotated[str, Option("-u", help="asked for if it is not given", metavar="USER")]
Password = Annotated[
    str, Option("-p", help="better left away: it stays in the notebook, or in the shell's history", metavar="WORD")
]

Pairs = Sequence[str] | Mapping[str, Any]
Context = Annotated[
    str | Mapping[str, Any],
    Argument(
        "CONTEXT",
        "what COPY takes from: a folder (this one), tar, URL or git repository; - is the input, or none",
        complete="path",
    ),
]
Tags = Annotated[Sequence[str], Option("-t", help="the image's name; may be given again", metavar="NAME[:TAG]")]
Dockerfile = Annotated[
    str, Option("-f", help="the Dockerfile (CONTEXT/Dockerfile); - is the input", metavar="FILE", complete="path")
]
Arguments = Annotated[
    Pairs, Option(help="the value of an ARG; NAME alone takes our own variable's", metavar="NAME=VALUE")
]
Contexts = Annotated[
    Pairs,
    Option(
        help="one more for FROM NAME or COPY --from=NAME; docker-image:// and oci-layout:// as well",
        metavar="NAME=WHAT",
    ),
]
ContextFrom = Annotated[
    str | Mapping[str, Any],
    Option(
        help="the context is this variable: a mapping of paths to text, bytes or DataFrames",
        metavar="VARIABLE",
        complete="variable",
    ),
]
Labels = Annotated[Pairs, Option(help="one more for the image", metavar="KEY=VALUE")]
Secrets = Annotated[Pairs, Option(help="a file or variable for RUN --mount=type=secret", metavar="id=NAME[,src=FILE]")]
Allowed = Annotated[
    Sequence[str],
    Option(
        help="what RUN may ask for: network.host, security.insecure", metavar="WHAT",
        choices=("network.host", "security.insecure"),
    ),
]  # fmt: skip
BuildOutput = Annotated[
    Sequence[str],
    Option(
        "-o",
        help="also a FOLDER with its files, type=tar|local|oci|docker,dest=PATH, or type=registry,name=NAME",
        metavar="WHERE",
        complete="path",
    ),
]
CacheFrom = Annotated[
    Sequence[str],
    Option(help="take finished steps from a folder, or type=registry,ref=NAME", metavar="WHERE", complete="path"),
]
CacheTo = Annotated[
    Sequence[str],
    Option(help="put this build's steps into a folder, or type=registry,ref=NAME", metavar="WHERE", complete="path"),
]
