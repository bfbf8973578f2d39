"""Classes of `eseback.data` behave as those that attrs makes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from attrs import field

from eseback import data
from eseback.formats.fields import LgPos


@data.frozen
class Point:
    """One of a module, as they all are."""

    x: int
    y: int = 0
    secret: str = field(default="", repr=False)
    note: str = field(default="", eq=False)


@data.frozen
class Deep(Point):
    z: Point | None = None


def _classes(frozen: Callable[..., Any], define: Callable[..., Any]) -> dict[str, Any]:
    """The same classes, made by one pair of decorators or by the other."""

    @frozen
    class Empty:
        pass

    @frozen
    class Plain:
        a: object
        b: object = field(default=2, repr=lambda value: f"<{value}>")
        c: object = field(default=3, repr=False)
        d: object = field(default=4, eq=False)

    @frozen(kw_only=True)
    class Inherited(Plain):
        e: object

    @define
    class Changing:
        a: object
        later: object = field(init=False)

    @frozen(eq=False)
    class Itself:
        a: object

    @frozen(order=True)
    class Ordered:
        a: int

    @frozen(cache_hash=True)
    class Kept:
        a: object

    @frozen(repr=False)
    class Silent:
        a: object

    @frozen
    class Own:
        a: object

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 5

    @define
    class Failure(Exception):
        a: object

    return {kind.__name__: kind for kind in vars().copy().values() if isinstance(kind, type)}


def _later(one: Any) -> Any:
    one.later = 7
    return one


OURS = _classes(data.frozen, data.define)
THEIRS = _classes(attrs.frozen, attrs.define)
MADE: dict[str, list[Callable[[Any], object]]] = {
    "Empty": [lambda kind: kind()],
    "Plain": [
        lambda kind: kind(1),
        lambda kind: kind(2),
        lambda kind: kind("1", b=None),
        lambda kind: kind(1, c=0),
        lambda kind: kind(1, d=0),
        lambda kind: kind([1]),
    ],
    "Inherited": [lambda kind: kind(1, e=2), lambda kind: kind(1, e=3), lambda kind: kind(1, e=2)],
    "Changing": [lambda kind: _later(kind(1)), lambda kind: _later(kind(1))],
    "Itself": [lambda kind: kind(1), lambda kind: kind(1)],
    "Ordered": [lambda kind: kind(1), lambda kind: kind(2), lambda kind: kind(1)],
    "Kept": [lambda kind: kind(1), lambda kind: kind(1), lambda kind: kind(2)],
    "Silent": [lambda kind: kind(1), lambda kind: kind(1)],
    "Own": [lambda kind: kind(1), lambda kind: kind(2)],
    "Failure": [lambda kind: kind(1), lambda kind: kind(1)],
}


def test_all_of_them_are_tried() -> None:
    assert MADE.keys() == OURS.keys() == THEIRS.keys()


@pytest.mark.parametrize("name", MADE)
def test_like_attrs(name: str) -> None:
    def seen(kind: Any) -> object:
        made = [make(kind) for make in MADE[name]]
        shown = [repr(one) for one in made if name != "Silent"]
        equal = [[one == other for other in made] for one in made]
        unequal = [[one != other for other in made] for one in made]
        assert unequal == [[not same for same in row] for row in equal]
        with_others = [one == "x" for one in made]
        hashes = [[_hash(one) == _hash(other) for other in made] for one in made]
        hashable = [_hash(one) is not None for one in made]
        return shown, equal, with_others, hashes, hashable, kind.__match_args__, kind.__slots__

    assert seen(OURS[name]) == seen(THEIRS[name])


def _hash(value: object) -> int | None:
    try:
        return hash(value)
    except TypeError:
        return None


def test_it_is_still_attrs() -> None:
    point = Deep(1, 2, "s", "n", Point(3))
    assert repr(point) == "Deep(x=1, y=2, note='n', z=Point(x=3, y=0, note=''))"
    assert attrs.evolve(point, y=5) == Deep(1, 5, "s", "other", Point(3))
    assert pickle.loads(pickle.dumps(point)) == point
    assert [attribute.name for attribute in attrs.fields(Deep)][-1] == "z"
    assert Point(1) != Deep(1) and len({Point(1), Point(1, note="n"), Deep(1)}) == 2
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    assert LgPos(1, 2, 3) < LgPos(1, 2, 4) or LgPos(1, 2, 3) > LgPos(1, 2, 4)


def test_one_that_is_not_whole_or_holds_itself_can_be_shown() -> None:
    ours, theirs = OURS["Changing"](1), THEIRS["Changing"](1)
    assert repr(ours) == repr(theirs) == "Changing(a=1, later=NOTHING)"
    ours.later, theirs.later = ours, theirs
    assert repr(ours) == repr(theirs) == "Changing(a=1, later=...)"
