"""What a check works with: a fresh server, and the findings so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import define, field, frozen

from eseback.errors import EseBackupError
from eseconform.serverside.rules import server_rules
from eseconform.serverside.target import Ability, ServerUnderTest
from eseconform.verdicts import Axis, Finding, Verdict, broken


class CheckOver(Exception):
    """The check can't go on; what stopped it is among the findings."""


@define
class Bench:
    """The place of one check.

    Attributes:
        server: the server under test.
        annotation: for ``backup_prepare``.
        findings: what was found so far.
    """

    server: ServerUnderTest
    annotation: str
    findings: list[Finding] = field(factory=list)

    def broke(self, rule: str, text: str, verdict: Verdict | None = None) -> None:
        """The server breaks a rule; the verdict follows from the rule unless it is given."""
        finding = broken(server_rules()[rule], text)
        if verdict is not None:
            finding = Finding(finding.axis, verdict, text, rule)
        self.findings.append(finding)

    def require(self, rule: str, holds: bool, text: str) -> None:
        """Note a broken rule unless it holds."""
        if not holds:
            self.broke(rule, text)

    def inconclusive(self, axis: Axis, text: str) -> None:
        """What the check is about never arose."""
        self.findings.append(Finding(axis, Verdict.INCONCLUSIVE, text))

    @contextmanager
    def under(self, rule: str, what: str) -> Iterator[None]:
        """Calls that have to succeed by a rule; an error of one breaks it and ends the check."""
        try:
            yield
        except EseBackupError as error:
            self.broke(rule, f"{what}: {error}")
            raise CheckOver from error


Body = Callable[[Bench], None]


@frozen
class Check:
    """One check of a server.

    Attributes:
        id, title, family: as of a case.
        rules: ids of the rules that it can decide; the first stands for a call that fails where
            none should.
        needs: abilities without which it does not apply.
        body: does it.
    """

    id: str
    title: str
    family: str
    rules: tuple[str, ...]
    body: Body
    needs: frozenset[Ability] = frozenset()
