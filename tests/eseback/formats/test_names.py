"""Names of log files, both ways, as strict as the engine's own tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback.formats import (
    checkpoint_name,
    current_log_name,
    log_name,
    parse_log_name,
    reserve_log_names,
    temp_log_name,
)


def test_names() -> None:
    assert log_name("E00", 1) == "E0000001.log"
    assert log_name("E00", 0x10) == "E0000010.log"
    assert log_name("E03", 0xABCDE) == "E03ABCDE.log"
    assert log_name("E00", 1, digits=8) == "E0000000001.log"
    assert current_log_name("E00") == "E00.log"
    assert temp_log_name("R00") == "R00tmp.log"
    assert checkpoint_name("E01") == "E01.chk"
    assert reserve_log_names("E00") == ("res1.log", "res2.log")
    assert reserve_log_names("E00", 8) == ("E00res00001.jrs", "E00res00002.jrs")


@given(st.integers(1, 0xFFFFF), st.sampled_from([5, 8]), st.booleans())
def test_round_trip(generation: int, digits: int, lower: bool) -> None:
    name = log_name("E0A", generation, digits)
    assert parse_log_name(name.lower() if lower else name, "e0a") == generation


@pytest.mark.parametrize(
    "name",
    [
        "E00.log",
        "E00tmp.log",
        "E000001.log",  # 4 digits
        "E00000001.log",  # 6
        "E0000000001x.log",
        "E00000000001.log",  # 9
        "E0100001.log",  # another base
        "E0000001.lo",
        "E0000001.logs",
        "E0000001log",
        "E000000G.log",
        "E00+0001.log",
        "E00 0001.log",
        "E00\uff10\uff10\uff10\uff10\uff11.log",  # digits, but not of ASCII
        "xE0000001.log",
        "E0000001.log\n",
        "E0000000.log",  # no generation 0
        "",
    ],
)
def test_what_is_no_log_name(name: str) -> None:
    assert parse_log_name(name, "E00") is None


@pytest.mark.parametrize("generation", [0, -1, 0x100000])
def test_generation_without_a_name(generation: int) -> None:
    with pytest.raises(ValueError, match="no name"):
        log_name("E00", generation)


def test_largest_generations() -> None:
    assert log_name("E00", 0xFFFFF) == "E00FFFFF.log"
    assert log_name("E00", 0x7FFFFFFF, 8) == "E007FFFFFFF.log"


@pytest.mark.parametrize("base", ["", "E0", "E000", "E/0", "..."])
def test_bad_base(base: str) -> None:
    for make in (current_log_name, temp_log_name, checkpoint_name):
        with pytest.raises(ValueError, match="base name"):
            make(base)
    with pytest.raises(ValueError, match="digits"):
        log_name("E00", 1, digits=6)
