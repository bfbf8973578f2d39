"""All sequences of calls: the counts, and that the reduction leaves nothing out."""

from __future__ import annotations

import os

import pytest

from eseconform.explore import Shape
from eseconform.explore.enumerate import ALPHABET, SMALLEST, enumerate_calls, every_sequence
from eseconform.explore.steps import Act, Step
from tests.support.brokenservers import DatabaseAfterList, WrongError

pytestmark = pytest.mark.uncovered

# One of each kind that the state can answer in its own way.
SMALL = tuple(
    Step(act)
    for act in (
        Act.SETUP_FULL,
        Act.SETUP_LOGS,
        Act.OPEN_EDB,
        Act.OPEN_LOG,
        Act.OPEN_UNKNOWN,
        Act.READ,
        Act.CLOSE,
        Act.LOG_LIST,
        Act.TRUNCATE,
        Act.END_SUCCESS,
        Act.END_ERROR,
        Act.END,
        Act.STOP,
        Act.DISMOUNT,
    )
)


def test_all_calls_of_a_client_are_letters() -> None:
    acts = {step.act for step in ALPHABET}
    assert set(Act) - acts == {Act.READ_OTHERS, Act.CLOSE_OTHERS, Act.READ_SOME}
    assert len(ALPHABET) == len(set(ALPHABET)) == 32


@pytest.mark.parametrize("shape", [SMALLEST, Shape()], ids=["backed up", "new"])
def test_all_sequences_of_three_calls(shape: Shape) -> None:
    found = enumerate_calls(3, shape)
    assert found.divergence is None, str(found.divergence)
    assert found.sequences == len(ALPHABET) ** 3
    assert found.calls % len(ALPHABET) == 0
    assert found.calls > 500


@pytest.mark.slow
def test_all_sequences_of_five_calls() -> None:
    found = enumerate_calls(5)
    assert found.divergence is None, str(found.divergence)
    assert found.sequences == 32**5 == 33_554_432
    # All calls in each state that four calls can reach: 313 states when this was written.
    assert found.calls % 32 == 0
    assert 300 * 32 < found.calls < 500 * 32
    assert found.states > found.calls // 32


def test_the_reduction_leaves_nothing_out_of_two_calls() -> None:
    assert compare(2, ALPHABET) == len(ALPHABET) ** 2


@pytest.mark.fuzz
@pytest.mark.slow
def test_the_reduction_leaves_nothing_out_of_three_calls() -> None:
    # All letters take a minute: `make fuzz` has it.
    alphabet = ALPHABET if os.environ.get("ESESIM_HYPOTHESIS_PROFILE") == "fuzz" else SMALL
    assert compare(3, alphabet) == len(alphabet) ** 3


def compare(length: int, alphabet: tuple[Step, ...]) -> int:
    """Carry out all sequences without reduction; how many were what the reduced graph says."""
    graph = enumerate_calls(length, alphabet=alphabet)
    count = 0
    for letters, outcomes in every_sequence(length, alphabet=alphabet):
        assert graph.trace(letters) == outcomes, [str(alphabet[letter]) for letter in letters]
        count += 1
    return count


@pytest.mark.parametrize(("wrap", "calls"), [(WrongError, 3), (DatabaseAfterList, 4)])
def test_a_broken_server_is_found(
    wrap: type[WrongError] | type[DatabaseAfterList], calls: int
) -> None:
    found = enumerate_calls(3, wrap=wrap)
    assert found.divergence is not None
    assert len(found.divergence.scenario.steps) == calls
    assert found.sequences < len(ALPHABET) ** 3
