"""Packages whose names are loaded when they are first used, as PEP 562 allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

__all__ = ["loader"]


def loader(package: str, homes: Mapping[str, Iterable[str]]) -> Callable[[str], object]:
    """The ``__getattr__`` of a package. homes: names by the module in it that has them.

    For type checkers the package imports the same names under ``if TYPE_CHECKING:``.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def load(name: str) -> object:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home_of[name]}"), name)

    return load
