"""Names for containers that were given none: two words a person can read out and type."""

from __future__ import annotations

import os

_ADJECTIVES = """
    able amber apt ardent arid aware bold brave brisk broad calm candid clear clever cosy crisp curious daring deft
    early eager exact fair fast fine fleet fluent fond fresh gentle glad grand handy happy hardy honest ideal jolly
    keen kind light lively loyal lucid lunar mellow merry mild modest neat nimble noble open patient plain polite
    prompt proud quick quiet rapid ready robust round serene sharp silent smart smooth solar solid steady sunny
    sure swift tender tidy trusty upbeat vivid warm wise witty young zesty
"""
_NOUNS = """
    abacus alder anchor arrow aspen atlas axiom badger basin beacon beaver birch bison branch brook canyon cedar
    cipher cloud cobra comet compass condor coral crane crater creek cursor cypress delta dingo dolphin dune eagle
    ember falcon fern fjord forest gecko glacier grove harbour hazel heron hill ibis integer iris island jaguar
    kernel koala lagoon lantern lemur linnet lynx maple marble matrix meadow meteor moon newt oak orbit orca osprey
    otter panda pebble pepper pine pixel planet plover prism puffin quartz quill raven reef river robin rowan
    scalar sparrow spruce stork summit swan tapir tensor tern thicket tiger tulip valley vector violet walnut
    whale willow wombat wren yak zebra
"""


def random_name(attempt: int = 0) -> str:
    """`swift_otter`; from the second attempt on with a number, so that there is always a free one."""
    draw = int.from_bytes(os.urandom(6), "big")
    adjectives, nouns = _ADJECTIVES.split(), _NOUNS.split()
    first, second = adjectives[draw % len(adjectives)], nouns[draw // 1000 % len(nouns)]
    return f"{first}_{second}{draw % 10000}" if attempt else f"{first}_{second}"


def check_name(name: str) -> str:
    """Docker's grammar, [a-zA-Z0-9][a-zA-Z0-9_.-]*, which is never a path. Raises ValueError."""
    good = name.isascii() and name[:1].isalnum() and len(name) < 256 and all(c.isalnum() or c in "_.-" for c in name)
    if not good:
        raise ValueError(f"{name!r} is no name; write letters, digits, '_', '.' and '-', a letter or digit first")
    return name
