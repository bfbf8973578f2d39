"""What verifying found, as data: for each group of each set, and over all sets together."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from esebcli.chains import Chain, Reach
from esebcli.contents import FileFacts
from esebcli.findings import Finding
from esebcli.manifest import Manifest, SavedGroup


@frozen
class GroupReport:
    """What was found in a group's part of a set.

    ``notes`` are no damage: what the user should know all the same.
    """

    group: SavedGroup
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    facts: tuple[FileFacts, ...] = ()


@frozen
class SetReport:
    """What was found in a set. ``manifest`` is None if it couldn't be read.

    ``label`` is how the set is called beside others of the same folder name, empty for that name.
    """

    folder: Path
    manifest: Manifest | None
    findings: tuple[Finding, ...] = ()
    groups: tuple[GroupReport, ...] = ()
    notes: tuple[str, ...] = ()
    label: str = ""

    @property
    def ok(self) -> bool:
        """Whether the set is complete and undamaged."""
        return not self.findings and not any(report.findings for report in self.groups)

    @property
    def where(self) -> str:
        """How the set is called in what is said about chains."""
        return self.label or self.folder.name or str(self.folder)


@frozen
class ChainReport:
    """How far one group can be restored from all the sets together."""

    chain: Chain
    reach: Reach


@frozen
class Report:
    """The outcome of :func:`esebcli.verify.verify_sets`."""

    sets: tuple[SetReport, ...]
    chains: tuple[ChainReport, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged, incomplete or missing."""
        chains_ok = not any(report.reach.findings for report in self.chains)
        return chains_ok and all(report.ok for report in self.sets)

    def restorable_to(self, group: str, database: str | None = None) -> int | None:
        """The generation that a group, or one database of it (by display name), can be restored to.

        None: it can't, or there is no such group or database. For reports about one server.
        """
        for report in self.chains:
            if report.chain.group == group:
                reach = report.reach
                if database is None:
                    return reach.restorable_to
                found = (d.restorable_to for d in reach.databases if d.name == database)
                return next(found, None)
        return None
