"""The model's view of injected faults: which of a session's calls is hit, and how."""

from __future__ import annotations

from enum import Enum

from eseconform.explore.steps import Act, Fault
from esesim.faults import FaultAction, FaultRule, When


class Verdict(Enum):
    """What a fault does to a call."""

    NONE = "none"
    ERROR_BEFORE = "error before"  # the server never sees the call
    ERROR_AFTER = "error after"  # it has carried it out
    DROP_BEFORE = "drop before"
    DROP_AFTER = "drop after"
    DROPPED = "dropped"  # the connection was lost before


def fault_rule(fault: Fault) -> FaultRule:
    """The rule that makes the simulator's injector do what a fault says."""
    action = FaultAction.DROP if fault.jet is None else FaultAction.HRESULT
    when = When.AFTER if fault.after else When.BEFORE
    return FaultRule(action, call=fault.method, nth=fault.nth, when=when, jet=fault.jet)


class FaultModel:
    """Counts calls as the injector must. ``jet`` of a dropping fault counts as 0."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self._faults = faults
        self._matched = [0] * len(faults)
        self._dropped: set[int] = set()

    def judge(self, session: int, act: Act, succeeds: bool) -> tuple[Verdict, int]:
        """What happens to a call that the server would let succeed or not, with the JET error."""
        if session in self._dropped:
            return Verdict.DROPPED, 0
        if not self._faults:
            return Verdict.NONE, 0
        for after in (False, True):
            if after and not succeeds:
                break
            # All of one moment are counted before the first of them acts.
            hits = [
                fault
                for place, fault in enumerate(self._faults)
                if self._hit(place, session, act, after)
            ]
            if hits and hits[0].jet is None:
                self._dropped.add(session)
                return (Verdict.DROP_AFTER if after else Verdict.DROP_BEFORE), 0
            if hits:
                return (Verdict.ERROR_AFTER if after else Verdict.ERROR_BEFORE), hits[0].jet or 0
        return Verdict.NONE, 0

    def _hit(self, place: int, session: int, act: Act, after: bool) -> bool:
        fault = self._faults[place]
        if (fault.session, fault.method, fault.after) != (session, act.method, after):
            return False
        self._matched[place] += 1
        return self._matched[place] == fault.nth

    def is_dropped(self, session: int) -> bool:
        """Whether the session's connection is gone."""
        return session in self._dropped

    def forget(self, session: int) -> None:
        """The session is a new one, without faults."""
        self._dropped.discard(session)
        self._faults, self._matched = self._without(session)

    def _without(self, session: int) -> tuple[tuple[Fault, ...], list[int]]:
        kept = [
            (f, n) for f, n in zip(self._faults, self._matched, strict=True) if f.session != session
        ]
        return tuple(fault for fault, _ in kept), [matched for _, matched in kept]

    def key(self) -> object:
        """All that later verdicts depend on."""
        return self._faults, tuple(self._matched), frozenset(self._dropped)
