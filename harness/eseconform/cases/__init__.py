"""The cases: situations that a client is put into. Data in ``cases.toml`` and ``topologies/``."""

from eseconform.cases.loading import catalogue, parse_cases, topology_of
from eseconform.cases.model import (
    Case,
    CaseCatalogue,
    Deed,
    EventSpec,
    Expectation,
    FaultSpec,
    JobSpec,
)

__all__ = [
    "Case",
    "CaseCatalogue",
    "Deed",
    "EventSpec",
    "Expectation",
    "FaultSpec",
    "JobSpec",
    "catalogue",
    "parse_cases",
    "topology_of",
]
