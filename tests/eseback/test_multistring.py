"""Multi-strings, byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback import multistring

EDB = "C:\\mdbdata\\priv1.edb"
STM = "C:\\mdbdata\\priv1.stm"


def test_golden_bytes() -> None:
    assert multistring.encode(("ab", "c")).encode("utf-16-le") == (
        b"a\x00b\x00\x00\x00c\x00\x00\x00\x00\x00"
    )


def test_an_empty_list_is_two_nuls() -> None:
    assert multistring.encode(()) == "\0\0"
    assert multistring.decode("\0\0") == ()


def test_streams_of_a_database_with_and_without_stm() -> None:
    assert multistring.encode_streams((EDB, STM)) == f"{EDB}\0{STM}\0\0"
    assert multistring.encode_streams((EDB,)) == f"{EDB}\0\0\0"
    assert multistring.decode(f"{EDB}\0\0\0") == (EDB,)
    assert multistring.decode(f"{EDB}\0{STM}\0\0") == (EDB, STM)


def test_a_database_has_a_stream() -> None:
    with pytest.raises(ValueError, match=r"\.edb"):
        multistring.encode_streams(())


@pytest.mark.parametrize("bad", ["", "a\0b", "\0"])
def test_what_would_end_the_list_early_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="end the list early"):
        multistring.encode(("a", bad, "c"))
    with pytest.raises(ValueError, match="end the list early"):
        multistring.encode_streams((bad,))


@pytest.mark.parametrize("block", ["", "a", "a\0", "a\0b\0"])
def test_a_block_without_an_end_is_refused(block: str) -> None:
    with pytest.raises(ValueError, match="without an end"):
        multistring.decode(block)


def test_what_follows_the_end_is_not_read() -> None:
    assert multistring.decode("a\0\0b\0\0") == ("a",)


@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1)))
def test_round_trip(strings: list[str]) -> None:
    block = multistring.encode(strings)
    assert multistring.decode(block) == tuple(strings)
    expected = sum(map(multistring.utf16_length, strings)) + len(strings) + (1 if strings else 2)
    assert multistring.utf16_length(block) == expected


def test_length_counts_utf16_units() -> None:
    assert multistring.utf16_length("a\0") == 2
    assert multistring.utf16_length("\N{GRINNING FACE}") == 2
    assert multistring.utf16_length("\ud800") == 1  # a lone surrogate, legal in a Windows name
