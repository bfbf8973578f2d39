"""The rules a server is held to, read from ``servers.toml`` and ``servers-restore.toml``."""

from __future__ import annotations

from functools import cache

from eseconform.requirements import Catalogue, read_catalogue
from eseconform.results import RuleText

SERVER_FILES = ("servers.toml", "servers-restore.toml")


@cache
def server_rules() -> Catalogue:
    """The catalogue that ships with the package."""
    return read_catalogue(SERVER_FILES)


def server_rule_texts() -> dict[str, RuleText]:
    """The wording of every rule, for results."""
    return {
        rule.id: RuleText(
            rule.statement,
            rule.level.value,
            rule.evidence.value,
            rule.source,
            rule.link,
            rule.axis,
        )
        for rule in server_rules().values()
    }
