"""Reads ``cases.toml``: strict types, no unknown keys, errors that name case and key."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from cattrs import Converter, transform_error
from cattrs.errors import BaseValidationError

from eseback.calls import CALL_BY_METHOD
from eseconform.cases.generated import generated_cases
from eseconform.cases.model import Case, CaseCatalogue, Expectation, is_error
from eseconform.errors import HarnessError
from eseconform.requirements import requirements
from esesim.topology import Topology, load_topology

SCHEMA = 1
_PROFILE = re.compile(r'^profile = "([^"]+)"$', re.MULTILINE)
CASE_FILES = ("cases.toml", "breadth.toml", "versions.toml")


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
        if job.databases and (len(job.groups) != 1 or not job.kind.has_databases):
            raise HarnessError(f"cases: {case.id}: databases are named of one group, with images")
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
    cases = {case.id: case for part in written for case in part.cases.values()}
    for case in generated_cases():
        _check(case)
        cases[case.id] = case
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
