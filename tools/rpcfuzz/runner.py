"""The loop: take a case, change it, try it, keep it if it went a new way; and the report."""

from __future__ import annotations

import faulthandler
import random
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from .feedback import Feedback
from .mutations import Case, mutate
from .target import Finding, Target

SECONDS_MAX: Final = 5.0
"""How long one case may take, in an interpreter that is watched and so slowed down."""
_REFRESH_EVERY: Final = 500
_HANG_SECONDS: Final = 120.0
# What of a case's way is looked at: everything that takes bytes from the network.
_WATCHED: Final = ("eseback/rpc/", "esesim/rpc/", "esesim/session/", "esebcli/rpc")


@frozen
class Crash:
    """What a target found. signature: error and place, one finding for each. alone: whether it
    comes again when the case is tried by itself.
    """

    target: str
    signature: str
    case: Case
    text: str
    alone: bool


@define
class Tally:
    """What became of one target. crashes: by signature. slowest: seconds of one case."""

    target: str
    seeds: int = 0
    executions: int = 0
    kept: int = 0
    steps: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    crashes: dict[str, Crash] = field(factory=dict)

    def line(self) -> str:
        """One line of the report."""
        rate = self.executions / self.seconds if self.seconds else 0.0
        return (
            f"{self.target:8} {self.executions:9} executions {rate:7.0f}/s  corpus {self.seeds}"
            f" + {self.kept} kept  {self.steps:6} steps  slowest {self.slowest:.2f} s"
            f"  {len(self.crashes)} unique findings"
        )


class Fuzzer:
    """Tries cases on one target. seed: of everything random."""

    def __init__(self, target: Target, seed: int) -> None:
        self.target = target
        self.tally = Tally(target.name)
        self._rng = random.Random(f"{seed}/{target.name}")
        self._feedback = Feedback(*_WATCHED)
        self._corpus: list[Case] = []
        self._seeds: list[Case] = []

    @property
    def kept(self) -> list[Case]:
        """Cases that went new ways, without those of the start."""
        return self._corpus[len(self._seeds) :]

    def begin(self) -> None:
        """Try the corpus as it is."""
        self._seeds = self.target.corpus()
        self.tally.seeds = len(self._seeds)
        for case in self._seeds:
            self._try(case)
        self._corpus = list(self._seeds)

    def go_on(self, seconds: float) -> None:
        """Try changed cases for so long."""
        if not self._corpus:
            self.begin()
        end = time.perf_counter() + seconds
        faulthandler.dump_traceback_later(seconds + _HANG_SECONDS, exit=True, file=2)
        try:
            while time.perf_counter() < end:
                self.step()
        finally:
            faulthandler.cancel_dump_traceback_later()

    def step(self) -> None:
        """Try one changed case."""
        if not self._corpus:
            self.begin()
        case = mutate(self._rng, self._choose(), self._choose(), framed=self.target.framed)
        if self._try(case) and sum(map(len, case)) <= self.target.size_max:
            self._corpus.append(case)
            self.tally.kept += 1

    def _choose(self) -> Case:
        """Half of the time one of those that were kept last: nobody has built on them yet."""
        if self._rng.random() < 0.5:
            return self._rng.choice(self._corpus[-32:])
        return self._rng.choice(self._corpus)

    def _try(self, case: Case) -> bool:
        """Whether a case was seen to go a new way."""
        tally, target = self.tally, self.target
        tally.executions += 1
        is_new = False
        # Time of this thread: how busy the computer is with other things is nothing to find.
        started, worked = time.perf_counter(), time.thread_time()
        try:
            if tally.executions % _REFRESH_EVERY == 0:
                target.refresh()
            if tally.executions % target.measure_every == 0:
                target.measure(case)
            elif tally.executions % target.watch_every == 0:
                is_new = self._feedback.watch(lambda: target.run(case))
            else:
                target.run(case)
        except Exception as error:
            self._note(error, case)
        took = time.thread_time() - worked
        tally.seconds += time.perf_counter() - started
        tally.slowest = max(tally.slowest, took)
        tally.steps = len(self._feedback.steps)
        if took > SECONDS_MAX:
            self._note(Finding(f"a case took {took:.1f} s"), case)
        return is_new

    def _note(self, error: Exception, case: Case) -> None:
        signature = signature_of(error)
        if signature in self.tally.crashes:
            return
        text = "".join(traceback.format_exception(error))
        crash = Crash(self.target.name, signature, case, text, self._comes_again(signature, case))
        self.tally.crashes[signature] = crash
        with suppress(Finding):  # what is left behind is what was found
            self.target.refresh()

    def _comes_again(self, signature: str, case: Case) -> bool:
        try:
            self.target.refresh()
            self.target.run(case)
        except Exception as error:
            return signature_of(error) == signature
        return False


def signature_of(error: Exception) -> str:
    """Error and place; the text too, without its numbers, where a target says what it found."""
    if isinstance(error, Finding):
        return "".join(char for char in str(error) if not char.isdigit())[:200]
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"


def save(crash: Crash, directory: Path) -> Path:
    """Write a case and what it did, to be tried again with `--again`."""
    directory.mkdir(parents=True, exist_ok=True)
    number = len(list(directory.glob(f"{crash.target}-*.case")))
    path = directory / f"{crash.target}-{number}.case"
    notes = f"{crash.signature}; alone: {crash.alone}\n{crash.text}".splitlines()
    lines = [crash.target, *(message.hex() for message in crash.case), *(f"# {n}" for n in notes)]
    path.write_text("\n".join(lines) + "\n", "utf-8", errors="backslashreplace")
    return path


def load(path: Path) -> tuple[str, Case]:
    """The target's name and the case of a file that :func:`save` has written."""
    lines = path.read_text("utf-8").splitlines()
    return lines[0], tuple(bytes.fromhex(line) for line in lines[1:] if not line.startswith("#"))
