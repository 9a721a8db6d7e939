"""The image that a command needs: the store's own, or pulled, as `--pull` says."""

from __future__ import annotations

import sys

from nbcontainers.advice import Advice, advise
from nbcontainers.engine import Engine
from nbcontainers.errors import Error, InvalidArgument, NotFound, RegistryError
from nbcontainers.image.image import Image
from nbcontainers.image.progress import Event, Listener
from nbcontainers.image.store import close_names, resolve
from nbcontainers.oci.reference import LOCAL
from nbcontainers.table import amount, plain, stored

_EMBEDDED = ("mini", "host")
POLICIES = ("missing", "always", "newer", "never")


def ensure(
    engine: Engine, text: str, policy: str = "missing", platform: str = "", progress: Listener | None = None
) -> str:
    """A name of the image that is in the store now: `text` itself, or what it was pulled as.

    `policy`: missing pulls what is not here; always asks the registry; newer does too, and is content with what is
    here if that fails; never pulls nothing. Raises NotFound, RegistryError, ImageError.
    """
    if policy not in POLICIES:
        raise InvalidArgument(f"--pull {policy} is not known", hint=f"write one of {', '.join(POLICIES)}")
    here = None if policy == "always" else _here(engine, text, platform)
    if here and (policy != "newer" or here.is_host):
        return text
    if policy == "never":
        resolve(engine, text)  # raises, unless it is of another platform
        raise NotFound(
            f"the image {text} that is here is not for {platform}", hint=f"%image pull --platform {platform}"
        )
    try:
        pulled = _pull(engine, text, platform, progress)
    except RegistryError:
        if here:
            return text
        raise
    _here(engine, pulled, platform)  # of another platform it is not run without a word the first time either
    return pulled


def _here(engine: Engine, text: str, platform: str) -> Image | None:
    """The store's, if it is for the platform asked for."""
    try:
        found = resolve(engine, text)
    except NotFound:
        return None
    return found if found.is_host or _fits(found, platform) else None


def _fits(image: Image, platform: str) -> bool:
    """An image of another platform than ours is used where nothing else is asked for, but not without a word."""
    from nbcontainers.oci import platform as platforms

    offered = platforms.of(image.config)
    wanted = platforms.parse(platform) if platform else platforms.host()
    if not offered.architecture or platforms.rank(wanted, offered) is not None:
        return True
    if not platform:
        advise(Advice(f"{image} is for {offered}, and this machine is {wanted}"), stacklevel=5)
    return not platform


def _pull(engine: Engine, text: str, platform: str, progress: Listener | None) -> str:
    """From the first registry that has it. Where none has, the name may be mistyped: NotFound."""
    from nbcontainers.image import api
    from nbcontainers.registry import names, settings

    failed: Error | None = None
    if text in _EMBEDDED:
        hint = "begin with an image of a registry, or leave the platform out"
        raise NotFound(f"{text} is made of this machine's own programs: there is none for {platform}", hint=hint)
    for reference in names.candidates(text, settings.load(engine)):
        if reference.domain == LOCAL:  # of this machine only: there is no registry to ask
            continue
        try:
            told = progress or _announce
            (image,) = api.pull(str(reference), platform=platform, progress=told, engine=engine)
            return image.reference
        except RegistryError as error:
            failed = error
            if error.details.get("status") not in names.ELSEWHERE:
                break
    if failed is None:
        resolve(engine, text)
        return text
    absent = failed.details.get("status") in (None, *names.ELSEWHERE)  # or nobody answered: it may be mistyped
    kind = NotFound if absent else type(failed)
    what, guess = _missed(engine, text, platform)
    message = f"{what} cannot be pulled: {failed.message}"
    raise kind(message, hint=f"{guess}{failed.hint}", **{**failed.details, "image": text}) from None


def _announce(event: Event) -> None:
    """Where no face shows the pull, as in a script: a line on stderr of what is fetched, once it is known."""
    if event.get("event") == "image" and sys.stderr:
        size = amount(sum(layer.get("size") or 0 for layer in event.get("layers") or ()), stored)
        sys.stderr.write(plain(f"[nbcontainers] pulling {event.get('reference')}: {size}") + "\n")
        sys.stderr.flush()


def _missed(engine: Engine, text: str, platform: str) -> tuple[str, str]:
    """How to call what could not be had, and what may have been meant. What is here is called neither missing nor mistyped."""
    try:
        resolve(engine, text)
    except NotFound:
        close = close_names(engine, text)
        guess = f"did you mean {' or '.join(close)}? " if close else ""
        return f"no image {text!r} in the store, and it", guess
    return f"image {text}{f' for {platform}' if platform else ''}", ""
