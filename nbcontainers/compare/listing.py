"""`compare targets`: which there are, which of them are here."""

from __future__ import annotations

from nbcontainers.compare.target import Limits, Plan, names
from nbcontainers.engine import Engine
from nbcontainers.table import GREEN, GREY, Column, Row, Table


def targets(engine: Engine) -> Table:
    """Rows: name, kind, label, here ("yes" or "no"), facts or what to install."""
    plan = Plan(engine, "host", Limits(), engine.cache)
    rows: list[Row] = []
    for name, make in names().items():
        target = make()
        missing = target.missing(plan)
        facts = {key: value for key, value in target.facts().items() if key != "limits"}  # of one that runs
        told = str(missing) if missing else ", ".join(f"{key} {value}" for key, value in facts.items())
        rows.append({"name": name, "kind": target.kind, "label": target.label, "here": "no" if missing else "yes",
                     "about": told})  # fmt: skip
    here = Column("here", colour=lambda row: GREEN if row["here"] == "yes" else GREY)
    return Table(rows, [Column("name"), here, Column("label"), Column("about")])
