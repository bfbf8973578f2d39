"""`frozen` and `define` of attrs, for classes that are to be there quickly.

attrs writes `__repr__`, `__eq__` and `__hash__` of each class as source text and compiles it. That
was a fifth of the time that a server takes to start, for methods of which most are never called.
The classes that are made here share theirs, and these answer the same; `__init__`, which is called,
stays attrs' own.
"""

from __future__ import annotations

from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

import attrs

__all__ = ["define", "frozen"]


@recursive_repr()
def _shown(self: Any) -> str:
    """Class and fields, without those that say `repr=False`."""
    name = type(self).__qualname__.rpartition(">.")[2]
    shown = (
        f"{field.name}={(repr if field.repr is True else field.repr)(_value(self, field))}"
        for field in self.__attrs_attrs__
        if field.repr is not False
    )
    return f"{name}({', '.join(shown)})"


def _value(self: object, field: attrs.Attribute[Any]) -> object:
    # A field that the constructor leaves alone may not be there yet.
    return getattr(self, field.name) if field.init else getattr(self, field.name, attrs.NOTHING)


def _compare_by_fields(cls: Any, *, hashable: bool) -> None:
    """Give a class the methods that compare its fields, without those that say `eq=False`."""
    names = [field.name for field in cls.__attrs_attrs__ if field.eq]
    values: Any = attrgetter(*names) if names else lambda _: ()

    def __eq__(self: object, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self is other or bool(values(self) == values(other))

    def __hash__(self: object) -> int:
        return hash((self.__class__, values(self)))

    cls.__eq__ = __eq__
    cls.__hash__ = __hash__ if hashable else None


if TYPE_CHECKING:  # type checkers know these two by name, with all that they do
    from attrs import define, frozen
else:
    # What has to do with comparing beyond the usual is left to attrs.
    _COMPARING = {"eq", "order", "unsafe_hash", "cache_hash"}

    def _quick(decorator, *, hashable):
        def decorate(cls=None, **options):
            if cls is None:
                return lambda cls: decorate(cls, **options)
            own = vars(cls)
            if "__repr__" not in own and "repr" not in options:
                cls.__repr__ = _shown  # attrs leaves alone what a class has of its own
            if _COMPARING & options.keys() or not own.keys().isdisjoint(("__eq__", "__hash__")):
                return decorator(cls, **options)
            made = decorator(cls, eq=False, **options)
            if not issubclass(made, BaseException):
                _compare_by_fields(made, hashable=hashable)
            return made

        return decorate

    define = _quick(attrs.define, hashable=False)
    frozen = _quick(attrs.frozen, hashable=True)
