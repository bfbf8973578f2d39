"""The same client before the same case twice, in process and over the wire: what differs.

Nothing may, but for what no two runs have in common or the wire can't carry:

* times, stacks, and names of folders and sets that are made up anew;
* the words in which a lost connection is told: the client of a wire sees no more than its end;
* a buffer of more than 4 MiB, which a read over the wire does not fill;
* how the calls of several threads follow each other, and so the numbers of calls: their transcripts
  are compared thread by thread (a thread works on one context).
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import cattrs

from eseconform.cases import Case, catalogue
from eseconform.events import EventStream
from eseconform.results import CaseResult
from eseconform.runner import Settings, run_case
from eseconform.sut import Sut
from eseconform.transports import Transport

_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LOST: Final = re.compile(r"(the connection broke during the call) \[[^\]]*\]")
_OWN_TO_A_RUN: Final = ("seconds", "reproduce", "trace")
_OF_THREADS: Final = ("steps", "logs", "call", "divergence")
_CALL_NUMBER: Final = re.compile(r"\bcalls? \d+")
_BUFFER: Final = re.compile(r'(?<="buffer":)\d+')
_READ_MAX: Final = 4 << 20
_NO_GROUP: Final = "context"


def differences(case: Case, sut: Sut, folder: Path) -> tuple[CaseResult, list[str]]:
    """The result of a case over the wire, and where it is not that of the run in process."""
    found: dict[Transport, CaseResult] = {}
    for transport in Transport:
        place = folder / transport.value
        events = EventStream(None, ())
        settings = Settings(sut, catalogue(), 1, place, events, False, transport)
        found[transport] = run_case(case, settings)
    threads = any(job.parallel for job in case.jobs)
    direct, wired = (_plain(found[t], folder / t.value, threads) for t in Transport)
    told = list(_unequal(direct, wired, case.id, _OF_THREADS if threads else ()))
    for one, other in _transcripts(case, folder):
        told += _unequal_lines(one, other, threads)
    return found[Transport.RPC], told


def _plain(result: CaseResult, folder: Path, threads: bool) -> Any:
    text = json.dumps(cattrs.unstructure(result), ensure_ascii=False)
    text = text.replace(str(folder), "FOLDER")
    text = _LOST.sub(r"\1", _GUID.sub("GUID", text))
    plain = json.loads(_CALL_NUMBER.sub("call N", text) if threads else text)
    for axis in plain["axes"] if threads else ():
        axis["findings"].sort(key=lambda finding: (finding["requirement"] or "", finding["text"]))
    return plain


def _unequal(one: Any, other: Any, where: str, ignored: tuple[str, ...]) -> Iterator[str]:
    """Leaves of plain data that differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one.keys() - {*_OWN_TO_A_RUN, *ignored}:
            yield from _unequal(one[key], other[key], f"{where}.{key}", ignored)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from _unequal(*pair, f"{where}[{index}]", ignored)
    elif one != other:
        yield f"{where}: {one!r} in process, {other!r} over the wire"


def _transcripts(case: Case, folder: Path) -> Iterator[tuple[Path, Path]]:
    direct, wired = (
        sorted((folder / t.value / "cases" / case.id).glob("*.jsonl")) for t in Transport
    )
    assert [path.name for path in direct] == [path.name for path in wired]
    assert direct
    yield from zip(direct, wired, strict=True)


def _unequal_lines(one: Path, other: Path, threads: bool) -> list[str]:
    if one.read_bytes() == other.read_bytes():
        return []
    texts = _lines(one), _lines(other)
    if texts[0] == texts[1]:
        return []
    if threads:
        if _by_thread(texts[0]) == _by_thread(texts[1]):
            return []
        return [f"{one.name}: the calls of a thread differ"]
    lines = zip(*texts, strict=False)
    differing = (n for n, (a, b) in enumerate(lines, 1) if a != b)
    return [f"{one.name}: differs at line {next(differing, 1 + min(map(len, texts)))}"]


def _lines(transcript: Path) -> list[str]:
    text = transcript.read_text("utf-8")
    return _BUFFER.sub(lambda found: str(min(int(found[0]), _READ_MAX)), text).splitlines()


def _by_thread(lines: list[str]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Calls by the storage group that their context is about, or by a context that is about none;
    handles are numbered anew in each.
    """
    calls = [json.loads(line) for line in lines]
    group_of = {call["args"].get("context"): call["group"] for call in calls if call["group"]}
    handles: dict[str, list[object]] = defaultdict(list)
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for call in calls:
        result = call.get("result")
        context = call["args"].get("context")
        if context is None and isinstance(result, dict):
            context = result.pop("context", None)
        group = call["group"] or group_of.get(context, f"{_NO_GROUP} {context}")
        call["args"].pop("context", None)
        for place in _handles_in(call):
            if place["handle"] not in handles[group]:
                handles[group].append(place["handle"])
            place["handle"] = handles[group].index(place["handle"])
        found[group].append({key: value for key, value in call.items() if key != "n"})
    named = (("" if g.startswith(_NO_GROUP) else g, calls) for g, calls in found.items())
    return sorted(named, key=json.dumps)


def _handles_in(call: dict[str, Any]) -> Iterator[dict[str, Any]]:
    result = call.get("result")
    for part in (call["args"], *(result if isinstance(result, list) else [result])):
        if isinstance(part, dict) and part.get("handle") is not None:
            yield part
