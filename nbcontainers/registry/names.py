"""Which repositories a name can mean: aliases, then the registries that are searched for names without one."""

from __future__ import annotations

from nbcontainers.oci.reference import Reference, parse
from nbcontainers.registry.settings import Settings

ELSEWHERE = (401, 403, 404)
"""HTTP statuses by which a registry has no such image for us: the next one is asked. One that is down says nothing."""
_NOBODY = "nobody.invalid"


def candidates(text: str, settings: Settings) -> list[Reference]:
    """What to try for a name in this order; a single one where it names its registry. Raises InvalidArgument."""
    found = parse(text, default_domain=_NOBODY)
    if found.domain != _NOBODY:
        return [found]
    if alias := settings.aliases.get(found.path):
        return [parse(alias)._replace(tag=found.tag, digest=found.digest)]
    return [parse(text, default_domain=registry) for registry in settings.search]
