"""Whom we trust, and who we are, in a TLS connection to one host."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from nbcontainers.errors import InvalidArgument
from nbcontainers.registry.settings import Settings

_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def context(settings: Settings, host: str, *, verify: bool) -> ssl.SSLContext:
    """A context with the system's CAs, those given for `host`, and our certificate for it if there is one.

    Raises InvalidArgument for files that are no certificates.
    """
    made = ssl.create_default_context() if verify else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # 20 ms of CAs less
    known = ssl.get_default_verify_paths()
    if verify and not known.cafile and not known.capath:  # a Python built elsewhere does not know where they are here
        for bundle in filter(Path.exists, map(Path, _BUNDLES)):
            made.load_verify_locations(bundle)
    if not verify:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    for path in settings.trusted(host):
        for file in _authorities(path) if verify else ():
            _load(file, partial(made.load_verify_locations, file))
        for file in sorted(path.glob("*.cert")) if path.is_dir() else ():
            _load(file, partial(made.load_cert_chain, file, file.with_suffix(".key")))
    return made


def _authorities(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(path.glob("*.crt"))
    else:
        yield path


def _load(file: Path, load: Callable[[], object]) -> None:
    try:
        load()
    except (OSError, ssl.SSLError) as error:
        why = "it is no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
        raise InvalidArgument(f"{file} cannot be used: {why}", hint="mend or remove the file, or the setting") from None
