"""File names from a server never become paths."""

from __future__ import annotations

import unicodedata
from pathlib import PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esebcli.names import (
    NAME_BYTES_MAX,
    NameAllocator,
    is_safe_name,
    last_component,
    printable,
    safe_name,
)

# Every code point, lone surrogates too: the API's strings are UTF-16 that nobody checked.
ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=300)


@pytest.mark.parametrize(
    ("original", "safe"),
    [
        ("C:\\Program Files\\Exchsrvr\\mdbdata\\priv1.edb", "priv1.edb"),
        ("priv1.edb", "priv1.edb"),
        ("C:/mixed\\up/E0000001.log", "E0000001.log"),
        ("..\\..\\..\\etc\\passwd", "passwd"),
        ("..", "_"),
        (".", "_"),
        ("", "_"),
        ("C:\\x\\", "_"),
        ("/etc/..", "_"),
        ("C:", "C_"),
        ("priv1.edb:stream", "priv1.edb_stream"),
        ("NUL", "_NUL"),
        ("C:\\x\\con.edb", "_con.edb"),
        ("Aux .txt", "_Aux .txt"),
        ("COM7.log", "_COM7.log"),
        ("com\u00b9", "_com\u00b9"),
        ("CONIN$", "_CONIN$"),
        ("console.log", "console.log"),
        ("LPT10.log", "LPT10.log"),
        (".manifest.json.new", "_.manifest.json.new"),
        ("trailing. . ", "trailing"),
        (" leading", "leading"),
        ("a\nb\x1b[2Jc\x7f.edb", "a_b_[2Jc_.edb"),
        ("right\u202eto\u200bleft.edb", "right_to_left.edb"),
        ("lone\ud800surrogate.edb", "lone_surrogate.edb"),
        ('<>:"|?*.log', "_______.log"),
        ("Postf\u00e4cher.edb", "Postf\u00e4cher.edb"),
        ("Postfa\u0308cher.edb", "Postf\u00e4cher.edb"),
    ],
)
def test_known_names(original: str, safe: str) -> None:
    assert safe_name(original) == safe


@given(ANY_TEXT)
@example("\u00b9" * 300 + ".edb")
@example("a" * 195 + ". . .edb")
@example("." * 300)
@example("con" + "." * 250)
def test_every_name_is_safe(original: str) -> None:
    name = safe_name(original)
    data = name.encode()  # strict: no surrogates
    assert 0 < len(data) <= NAME_BYTES_MAX
    assert not set(name) & set('/\\<>:"|?*\0')
    assert all(unicodedata.category(c) not in {"Cc", "Cs", "Cf"} for c in name)
    assert name[0] not in ". " and name[-1] not in ". "
    assert not PureWindowsPath(name).is_reserved()
    assert name == unicodedata.normalize("NFC", name)
    # Names read back from a manifest are checked with the same function.
    assert is_safe_name(name)


@given(st.lists(ANY_TEXT, max_size=12))
@example(["x" * 199 + ".edb", "x" * 199 + "y.edb", "X" * 199 + ".edb"])
@example(["a~2.edb", "a.edb", "A.EDB", "a~2.edb"])
@example(["stra\u00dfe", "STRASSE", "\ufb01x", "FIX"])
def test_no_two_names_collide_on_any_file_system(originals: list[str]) -> None:
    allocator = NameAllocator(reserved=["manifest.json"])
    names = [allocator.assign(original) for original in originals]
    comparable = {unicodedata.normalize("NFKC", name).casefold() for name in names}
    assert len(comparable) == len(names)
    assert "manifest.json" not in comparable
    assert all(is_safe_name(name) for name in names)


def test_collisions_keep_extension_and_order() -> None:
    allocator = NameAllocator()
    names = [allocator.assign(f"{drive}:\\priv1.edb") for drive in "CDE"]
    assert names == ["priv1.edb", "priv1~2.edb", "priv1~3.edb"]


def test_long_names_keep_extension_and_differ() -> None:
    first, second = (safe_name("x" * 400 + tail + ".edb") for tail in "12")
    assert first != second
    assert first.endswith(".edb") and second.endswith(".edb")


def test_last_component() -> None:
    assert last_component("C:\\a\\b.log") == "b.log"
    assert last_component("b.log") == "b.log"


def test_printable_shows_what_would_move_the_cursor() -> None:
    assert printable("a\x1b[2Jb\nc\u202ed\ud800") == "a\\x1b[2Jb\\nc\\u202ed\\ud800"
    assert printable("Postf\u00e4cher") == "Postf\u00e4cher"
