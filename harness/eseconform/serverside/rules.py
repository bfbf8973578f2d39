"""The rules a server is held to, read from ``servers.toml``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from eseconform.requirements import Catalogue, parse_requirements
from eseconform.results import RuleText


@cache
def server_rules() -> Catalogue:
    """The catalogue that ships with the package."""
    return parse_requirements(
        files("eseconform").joinpath("servers.toml").read_text(encoding="utf-8")
    )


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
