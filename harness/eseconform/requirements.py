"""The rules a client is held to, read from ``requirements.toml`` (backup) and
``requirements-restore.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from attrs import frozen

from eseback.errors import Grade
from eseconform.errors import HarnessError, UsageError

_AXES = ("protocol", "data", "teardown", "honesty")
_PHASES = (
    *("discovery", "prepare", "setup", "databases", "logs", "truncation", "end"),
    *("open", "files", "environment", "recovery", "close"),
)
RULE_FILES = ("requirements.toml", "requirements-restore.toml")
_STRONG = (Grade.DOCUMENTED, Grade.SOURCE)


class Level(StrEnum):
    """How binding a rule is."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    INFO = "INFO"


@frozen
class Requirement:
    """One rule.

    Attributes:
        id: for instance ``ESE-BKP-READ-002``.
        statement: the rule in our own words.
        level: MUST, SHOULD or INFO.
        evidence: how well the rule is founded.
        source: the place it comes from, by name.
        link: the place as a URL; empty when the rule is our own decision.
        axis: the axis on which it is judged: protocol, data, teardown or honesty.
        phases: where in a backup or restore it bites.
    """

    id: str
    statement: str
    level: Level
    evidence: Grade
    source: str
    link: str
    axis: str
    phases: tuple[str, ...]

    @property
    def verdict_when_broken(self) -> str:
        """Name of the verdict that breaking the rule earns.

        Data and honesty are measured, so a MUST there always fails. On the other axes a MUST
        without strong
        evidence warns only: nobody is failed for our guess.
        """
        if self.level is Level.INFO:
            return "INFO"
        if self.level is Level.SHOULD:
            return "WARN"
        measured = self.axis in ("data", "honesty")
        return "FAIL" if measured or self.evidence in _STRONG else "WARN"


@frozen
class Catalogue(Mapping[str, Requirement]):
    """All requirements by id, in the order of the file."""

    _by_id: Mapping[str, Requirement]

    def __getitem__(self, key: str) -> Requirement:
        return self._by_id[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_id)

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, key: str) -> Requirement:
        """A requirement by id, upper or lower case.

        Raises:
            UsageError: there is none of that id.
        """
        try:
            return self._by_id[key.upper()]
        except KeyError:
            raise UsageError(
                f"there is no requirement {key!r}; `eseconform list --requirements` names them all"
            ) from None


def _expand(link: str, prefixes: Mapping[str, str]) -> str:
    prefix, colon, rest = link.partition(":")
    return prefixes[prefix].format(rest) if colon and prefix in prefixes else link


def parse_requirements(text: str) -> Catalogue:
    """Read a requirements file.

    Raises:
        HarnessError: a rule is incomplete or uses a word that is not known; the text names rule
            and key.
    """
    document = tomllib.loads(text)
    if document.pop("schema", None) != 1:
        raise HarnessError("requirements: 'schema = 1' is missing")
    prefixes: dict[str, str] = document.pop("links", {})
    rules: dict[str, Requirement] = {}
    for key, row in document.items():
        try:
            rule = Requirement(
                id=key,
                statement=row["statement"],
                level=Level(row["level"]),
                evidence=Grade(row["evidence"]),
                source=row["source"],
                link=_expand(row.get("link", ""), prefixes),
                axis=row["axis"],
                phases=tuple(row["phases"]),
            )
        except KeyError as missing:
            raise HarnessError(f"requirements: {key}: {missing} is missing") from None
        except ValueError as wrong:
            raise HarnessError(f"requirements: {key}: {wrong}") from None
        if rule.axis not in _AXES:
            raise HarnessError(f"requirements: {key}: axis {rule.axis!r} is not one of {_AXES}")
        if not rule.phases or set(rule.phases) - set(_PHASES):
            raise HarnessError(f"requirements: {key}: phases must be some of {_PHASES}")
        if not rule.link and rule.evidence in _STRONG:
            raise HarnessError(f"requirements: {key}: {rule.evidence.value} needs a link")
        rules[key] = rule
    return Catalogue(MappingProxyType(rules))


@cache
def requirements() -> Catalogue:
    """The catalogue that ships with the package."""
    return read_catalogue(RULE_FILES)


def read_catalogue(names: Iterable[str]) -> Catalogue:
    """Files of rules of this package as one catalogue, in order."""
    here = files("eseconform")
    parts = (parse_requirements((here / name).read_text(encoding="utf-8")) for name in names)
    return Catalogue(MappingProxyType({key: rule for part in parts for key, rule in part.items()}))
