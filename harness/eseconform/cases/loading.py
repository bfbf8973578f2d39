"""Reads ``cases.toml``: strict types, no unknown keys, errors that name case and key."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from cattrs import Converter, transform_error
from cattrs.errors import BaseValidationError

from eseconform.cases.model import Case, CaseCatalogue
from eseconform.errors import HarnessError
from eseconform.requirements import requirements
from esesim.topology import Topology, load_topology

SCHEMA = 1


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
    if not case.jobs or not case.jobs[0].kind.starts_chain:
        raise HarnessError(f"cases: {case.id}: the first job must be a full backup")
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
    return parse_cases((here / "cases.toml").read_text("utf-8"), topologies)


def topology_of(case: Case, cases: CaseCatalogue) -> Topology:
    """The topology that a case runs on."""
    return load_topology(cases.topologies.get(case.topology, case.topology))
