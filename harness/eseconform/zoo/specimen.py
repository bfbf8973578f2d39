"""An inhabitant of the zoo as data: its class, what is wrong with it, and where it has to show."""

from __future__ import annotations

import re
from typing import ClassVar

from attrs import frozen

from eseback.api import BackupApi
from eseconform.cases import Case
from eseconform.task import Capability, Claim, Task
from eseconform.verdicts import Axis
from eseconform.zoo.reference import ReferenceClient


@frozen
class Specimen:
    """One client of the zoo; calling it does a job, as the harness expects of a factory.

    Attributes:
        client: the class.
        axis: where its bug has to be caught; None for a client that has none.
        explanation: one sentence for somebody who reads the report.
    """

    capabilities: ClassVar[tuple[Capability, ...]] = (
        Capability.INCREMENTAL,
        Capability.COPY,
        Capability.DIFFERENTIAL,
        Capability.PARTIAL,
        Capability.PARALLEL,
    )
    """What every client of the zoo declares: all that the reference client does."""

    client: type[ReferenceClient]
    axis: Axis | None
    explanation: str

    @property
    def name(self) -> str:
        """Name for reports and the command line: the class's in snake case."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", self.client.__name__).lower()

    @property
    def sut(self) -> str:
        """What to give to ``--sut`` to run this client alone."""
        return f"python:eseconform.zoo:{self.name}"

    def meets(self, case: Case) -> bool:
        """Whether a case is put before it in the kill matrix: all that it need not restore for."""
        return Capability.RESTORE not in case.needs

    def __call__(self, api: BackupApi, task: Task) -> Claim:
        return self.client(api, task).run()


def explained(client: type[ReferenceClient]) -> str:
    """What a client does, in one sentence: the first paragraph of its class."""
    return " ".join((client.__doc__ or "").split())
