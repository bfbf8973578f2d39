"""The zoo: clients with a known bug, and odd ones without, that check the harness itself.

Each is a system under test by its name: ``--sut python:eseconform.zoo:skips_streaming_file``.
"""

from eseconform.zoo.specimens import MUTANTS, ODD, SPECIMENS, Specimen

__all__ = ["MUTANTS", "ODD", "SPECIMENS", "Specimen"]


def __getattr__(name: str) -> Specimen:
    for specimen in SPECIMENS:
        if specimen.name == name:
            return specimen
    raise AttributeError(f"the zoo has no client named {name!r}")
