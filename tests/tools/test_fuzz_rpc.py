"""The fuzzer of the wire: a short run finds nothing, and mistakes made on purpose are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eseback.rpc.client_calls import ClientCalls
from eseback.rpc.connection_client import ClientConnection
from eseback.rpc.connection_server import ServerConnection
from eseback.rpc.errors import BadStubData
from eseback.rpc.ndr import Reader
from eseback.rpc.scatter_signed import SignedRead
from eseback.rpc.server_calls import ServerCalls
from esesim.rpc.association import AssociationGroup
from esesim.rpc.connection import Connection
from esesim.rpc.limits import MemoryBudget
from tools import fuzz_rpc
from tools.rpcfuzz.mutations import BYTES_MAX, MESSAGES_MAX, mutate, split_pdus, with_length
from tools.rpcfuzz.runner import Crash, Fuzzer, load, save, signature_of
from tools.rpcfuzz.scripted import ServerTarget
from tools.rpcfuzz.target import Exchange, Finding

pytestmark = pytest.mark.uncovered  # it measures the way through the code itself

STEPS = {
    "core": 250,
    "server": 30,
    "auth": 60,
    "admin": 20,
    "api": 60,
    "client": 200,
    "stubs": 120,
    "live": 80,
}


@pytest.fixture(scope="module")
def exchanges() -> list[Exchange]:
    return fuzz_rpc.record()


@pytest.fixture
def fuzzer_of(exchanges: list[Exchange]) -> Iterator[Callable[[str], Fuzzer]]:
    made: list[Fuzzer] = []

    def make(name: str, seed: int = 1) -> Fuzzer:
        made.append(Fuzzer(fuzz_rpc.TARGETS[name][1](exchanges, []), seed))
        return made[-1]

    yield make
    for fuzzer in made:
        fuzzer.target.close()


@pytest.mark.fuzz
@pytest.mark.parametrize("name", list(fuzz_rpc.TARGETS))
def test_finds_nothing(fuzzer_of: Callable[[str], Fuzzer], name: str) -> None:
    fuzzer = fuzzer_of(name)
    for _ in range(STEPS[name]):
        fuzzer.step()
    fuzzer.target.refresh()  # what is left behind shows at the end
    tally = fuzzer.tally
    assert not tally.crashes, [crash.text for crash in tally.crashes.values()]
    assert tally.executions == STEPS[name] + tally.seeds
    assert (tally.kept > 0) == (name != "live")
    assert f"{tally.executions} executions" in tally.line()


@pytest.mark.parametrize("name", ["server", "auth", "admin"])
def test_conversations_can_be_said_again(
    fuzzer_of: Callable[[str], Fuzzer], exchanges: list[Exchange], name: str
) -> None:
    """Handles, challenges and keys are the same: so a changed conversation goes far."""
    target = fuzzer_of(name).target
    assert isinstance(target, ServerTarget)
    for exchange in exchanges if name == "server" else target.record():
        target.refresh()
        again, first = target.answers_to(exchange.said), b"".join(exchange.answers)
        # The endpoint mapper tells another port each time.
        assert [pdu[:4] for pdu in split_pdus(again)] == [pdu[:4] for pdu in split_pdus(first)]
        assert len(again) == len(first)


def test_the_client_is_answered_in_every_way(
    fuzzer_of: Callable[[str], Fuzzer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place, signed and not, at once, and step by step."""
    seen: set[str] = set()

    def note(place: type, name: str) -> None:
        method = getattr(place, name)

        def noted(*arguments: Any) -> Any:
            found = method(*arguments)
            if found is not None or name == "check":
                seen.add(name)
            return found

        monkeypatch.setattr(place, name, noted)

    note(SignedRead, "check")
    note(ClientConnection, "finish")
    note(ClientConnection, "take_response")
    note(ClientCalls, "on_response")
    note(ClientCalls, "on_fault")
    target = fuzzer_of("client").target
    for case in target.corpus():
        target.run(case)
    assert seen == {"check", "finish", "take_response", "on_response", "on_fault"}


def _generous(self: ServerCalls, frame: object, header: object) -> None:
    return None


def _unchecked(self: Reader, size: int, alignment: int = 1) -> memoryview:
    start = self.position + -self.position % alignment
    self.position = start + size
    return self._data[start : start + size]


def _forgetful(self: AssociationGroup) -> list[Exception]:
    return []


def _greedy(self: MemoryBudget, difference: int) -> bool:
    self._used += max(difference, 0)
    return True


def _open_ended(self: ServerConnection, error: Exception, call_id: int, *_: Any, **__: Any) -> Any:
    return error


def _announced(self: Reader, count: int, size: int) -> None:
    if count > 2:
        bytearray(min(count * size, 1 << 26))


def test_memory_is_measured(
    fuzzer_of: Callable[[str], Fuzzer], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = fuzzer_of("stubs").target
    case = next(case for case in target.corpus() if len(case[1]) > 1000)
    target.measure(case)
    monkeypatch.setattr(Reader, "check_room", _announced)
    with pytest.raises(Finding, match="bytes of memory for a stub"):
        target.measure((case[0], case[1].replace(b"\0\0\0", b"\0\0\1")))


def test_growth_is_found(
    fuzzer_of: Callable[[str], Fuzzer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that keeps a thousand objects for each piece that it receives."""
    target = fuzzer_of("live").target
    case = target.corpus()[0]
    for _ in range(2):  # the first numbers are the usual ones
        target.run(case)
        target.refresh()
    kept: list[object] = []
    receive = ServerConnection.receive_data

    def hoard(self: ServerConnection, data: bytes) -> None:
        kept.extend([number] for number in range(1000))
        receive(self, data)

    monkeypatch.setattr(ServerConnection, "receive_data", hoard)
    for _ in range(30):
        target.run(case)
    monkeypatch.undo()
    with pytest.raises(Finding, match="has grown by"):
        target.refresh()


def _clumsy(self: Connection, status: int, what: str) -> None:
    raise KeyError(status)


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("name", "place", "attribute", "mistake", "found"),
    [
        ("core", ServerCalls, "_refusal", _generous, "KeyError"),
        ("core", ServerConnection, "_condemn", _open_ended, "leaves the connection"),
        ("stubs", Reader, "take", _unchecked, "error"),
        ("server", AssociationGroup, "run_down", _forgetful, "left behind"),
        ("server", MemoryBudget, "change", _greedy, "are left"),
        ("auth", Connection, "_tell", _clumsy, "the server"),
        ("live", Connection, "_tell", _clumsy, "the server"),
    ],
)
def test_finds_mistakes(
    fuzzer_of: Callable[[str], Fuzzer],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    place: type,
    attribute: str,
    mistake: Callable[..., object],
    found: str,
) -> None:
    """Each within a few hundred cases, and those that come alone are known to."""
    fuzzer = fuzzer_of(name)
    fuzzer.begin()
    monkeypatch.setattr(place, attribute, mistake)
    for _ in range(1500):
        fuzzer.step()
        if any(found in signature for signature in fuzzer.tally.crashes):
            break
    else:
        pytest.fail(f"not found: {sorted(fuzzer.tally.crashes)}")
    monkeypatch.undo()
    fuzzer.target.refresh()


def test_mutations_repeat_and_stay_within_limits(exchanges: list[Exchange]) -> None:
    import random

    case, other = exchanges[0].said, exchanges[3].said
    first, again = ([mutate(random.Random(5), case, other) for _ in range(1)] for _ in range(2))
    assert first == again
    rng, seen = random.Random(6), set()
    for _ in range(300):
        changed = mutate(rng, case, other)
        assert 0 < len(changed) <= MESSAGES_MAX and sum(map(len, changed)) <= BYTES_MAX
        seen.add(changed)
    assert len(seen) > 280
    unframed = mutate(rng, (b"\1\0\1", b"stub"), (), framed=False)
    assert unframed[0] == b"\1\0\1" and len(unframed) == 2


def test_pdus_of_a_message(exchanges: list[Exchange]) -> None:
    message = b"".join(exchanges[0].said)
    assert b"".join(split_pdus(message + b"rest")) == message + b"rest"
    assert split_pdus(message + b"rest")[-1] == b"rest"
    longer = with_length(exchanges[0].said[0] + b"more")
    assert split_pdus(longer) == [longer]


def test_report_and_saved_cases(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    exchanges: list[Exchange],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fuzz_rpc, "record", lambda: exchanges)
    arguments = ["--seconds", "0.2", "--seed", "3", "--target", "stubs"]
    assert fuzz_rpc.main(arguments) == 0
    report = capsys.readouterr().out
    assert report.startswith("seed 3\nstubs") and report.endswith(" 0 unique findings\n")

    def raises(*_: object) -> None:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("tools.rpcfuzz.codec.decode_write", raises)
    assert fuzz_rpc.main(arguments) == 1
    assert "ZeroDivisionError in test_fuzz_rpc.py" in capsys.readouterr().out
    (saved,) = (tmp_path / fuzz_rpc.FOUND).iterdir()
    with pytest.raises(ZeroDivisionError):
        fuzz_rpc.main(["--again", str(saved)])
    monkeypatch.undo()
    assert fuzz_rpc.main(["--again", str(saved)]) == 0


def test_cases_are_saved_as_they_are(tmp_path: Path) -> None:
    crash = Crash("core", "some", (b"\0\xff", b""), "a text\nof two lines \ud800", True)
    assert load(save(crash, tmp_path)) == ("core", (b"\0\xff", b""))


def test_signatures() -> None:
    """A finding by its words, another error by its place."""
    assert signature_of(Finding("17 bytes held")) == signature_of(Finding("18 bytes held"))
    try:
        raise BadStubData("x")
    except BadStubData as error:
        assert signature_of(error).startswith("BadStubData in test_fuzz_rpc.py:")
