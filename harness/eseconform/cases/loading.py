"""Reads ``cases.toml``: strict types, no unknown keys, errors that name case and key."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from attrs import evolve
from cattrs import Converter, transform_error
from cattrs.errors import BaseValidationError

from eseback.calls import CALL_BY_METHOD
from eseconform.cases.generated import generated_cases
from eseconform.cases.model import Case, CaseCatalogue, Expectation, JobSpec, is_error
from eseconform.cases.restorefaults import restore_fault_cases
from eseconform.errors import HarnessError
from eseconform.requirements import requirements
from eseconform.task import Capability
from esesim.topology import Topology, load_topology

SCHEMA = 1
_PROFILE = re.compile(r'^profile = "([^"]+)"$', re.MULTILINE)
CASE_FILES = ("cases.toml", "breadth.toml", "versions.toml", "restore.toml")


def parse_cases(text: str, topologies: dict[str, str]) -> CaseCatalogue:
    """Read a file of cases.

    Raises:
        HarnessError: a key is unknown, missing or of the wrong type, or names something that does
            not exist.
    """
    document = tomllib.loads(text)
    if document.pop("schema", None) != SCHEMA:
        raise HarnessError(f"cases: 'schema = {SCHEMA}' is missing")
    converter = Converter(forbid_extra_keys=True)
    cases: dict[str, Case] = {}
    for key, row in document.items():
        try:
            case = converter.structure({"id": key, **row}, Case)
        except BaseValidationError as error:
            raise HarnessError(f"cases: {key}: {'; '.join(transform_error(error))}") from None
        _check(case)
        cases[key] = case
    return CaseCatalogue(MappingProxyType(cases), MappingProxyType(topologies))


def _check(case: Case) -> None:
    unknown = [r for r in case.requirements if r not in requirements()]
    if unknown or not case.requirements:
        raise HarnessError(f"cases: {case.id}: requirements: {unknown or 'none are named'}")
    first = case.jobs[0] if case.jobs else None
    if first is None or not (first.kind.has_databases or first.expect is Expectation.REFUSED):
        raise HarnessError(f"cases: {case.id}: the first job must be a full backup")
    for job in case.jobs:
        if (job.expect is Expectation.REFUSED) != (job.answer is not None):
            raise HarnessError(f"cases: {case.id}: 'answer' belongs to a job that is refused")
        if job.answer is not None and not is_error(job.answer):
            raise HarnessError(f"cases: {case.id}: there is no error {job.answer!r}")
        images = job.kind.has_databases or not job.kind.is_backup
        if job.databases and (len(job.groups) != 1 or not images):
            raise HarnessError(f"cases: {case.id}: databases are named of one group, with images")
    for index, job in enumerate(case.jobs):
        _check_restore(case, index, job)
    for event in case.events:
        if event.call is not None and event.call not in CALL_BY_METHOD:
            raise HarnessError(f"cases: {case.id}: {event.text}: {event.call!r} is no call")
        if event.refused is not None and not is_error(event.refused):
            raise HarnessError(f"cases: {case.id}: there is no error {event.refused!r}")
        if not 0 <= event.job < len(case.jobs):
            raise HarnessError(f"cases: {case.id}: {event.text}: there is no job {event.job}")
    for fault in case.faults:
        try:
            fault.rule()
        except (KeyError, ValueError) as error:
            raise HarnessError(f"cases: {case.id}: {fault.text}: {error}") from None
        if not 0 <= fault.job < len(case.jobs):
            raise HarnessError(f"cases: {case.id}: {fault.text}: there is no job {fault.job}")


def _check_restore(case: Case, index: int, job: JobSpec) -> None:
    asked = (job.sets, job.target, job.play_forward, job.mount, job.new_server)
    if job.kind.is_backup and (any(asked) or job.expect is Expectation.HOPELESS):
        raise HarnessError(f"cases: {case.id}: job {index + 1} is no restore")
    backups = [n for n, other in enumerate(case.jobs[:index]) if other.kind.is_backup]
    if not job.kind.is_backup and not (backups and set(job.sets) <= set(backups)):
        raise HarnessError(f"cases: {case.id}: job {index + 1} restores sets that nobody made")


def _with_suites(case: Case) -> Case:
    """Every case with a restore is in a suite of its own, too: ``--suite restore``."""
    suite = Capability.RESTORE.value
    restores = Capability.RESTORE in case.needs and suite not in case.suites
    return evolve(case, suites=(*case.suites, suite)) if restores else case


@cache
def catalogue() -> CaseCatalogue:
    """The cases that ship with the package."""
    here = files("eseconform") / "cases"
    folder = here / "topologies"
    topologies = {
        entry.name.removesuffix(".toml"): entry.read_text("utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    }
    written = [parse_cases((here / name).read_text("utf-8"), topologies) for name in CASE_FILES]
    made = (*generated_cases(), *restore_fault_cases())
    for case in made:
        _check(case)
    everything = (*(case for part in written for case in part.cases.values()), *made)
    cases = {case.id: _with_suites(case) for case in everything}
    return CaseCatalogue(MappingProxyType(cases), MappingProxyType(topologies))


def topology_of(case: Case, cases: CaseCatalogue) -> Topology:
    """The topology that a case runs on, of the version and with the quirks that it asks for."""
    text = cases.topologies.get(case.topology, case.topology)
    if case.profile is None and not case.quirks:
        return load_topology(text)
    found = _PROFILE.search(text)
    if found is None:
        raise HarnessError(f"cases: {case.id}: topology {case.topology} names no profile")
    lines = f'profile = "{case.profile or found[1]}"'
    if case.quirks:
        lines += f"\nquirks = {json.dumps(case.quirks)}"
    return load_topology(text.replace(found[0], lines, 1))
