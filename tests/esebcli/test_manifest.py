"""The manifest: what is written is what is read, and nothing else is taken for a manifest."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from esebcli import manifest as module
from esebcli.errors import SetError
from esebcli.manifest import (
    FileKind,
    Kind,
    LogRange,
    Manifest,
    SavedDatabase,
    SavedFile,
    SavedGroup,
    State,
    Truncation,
    decode,
    encode,
)

DIGEST = "ab" * 32
GROUP = SavedGroup(
    name="First Storage Group",
    folder="First Storage Group",
    state=State.COMPLETE,
    truncation=Truncation.UNKNOWN,
    error="lone surrogate \ud800 from a server",
    warnings=("one",),
    databases=(SavedDatabase("Mailbox", uuid.UUID(int=7), True, ("C:\\priv1.edb",)),),
    logs=LogRange("E00", 4, 6, "cd" * 28),
    files=(
        SavedFile("C:\\priv1.edb", FileKind.DATABASE, "priv1.edb", 8192, DIGEST),
        SavedFile("C:\\E0000004.log", FileKind.LOG, "E0000004.log", 0, DIGEST),
    ),
    deletable_logs=("C:\\E0000003.log",),
)
MANIFEST = Manifest(
    set_id=uuid.UUID(int=1),
    kind=Kind.INCREMENTAL,
    server="EXCH1",
    annotation="Microsoft Information Store",
    program="esebcli 0",
    started="2005-01-01T00:00:00Z",
    groups=(GROUP, SavedGroup("Second", "Second")),
    previous=uuid.UUID(int=2),
    finished=None,
)


def resealed(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The manifest after an edit by somebody who knows how to make a good digest."""
    document = json.loads(encode(MANIFEST))
    change(document)
    del document["sha256"]
    document["sha256"] = module._digest(document)
    return json.dumps(document).encode()


def test_round_trip() -> None:
    assert decode(encode(MANIFEST)) == MANIFEST


def test_written_form_is_readable_and_stable() -> None:
    document = json.loads(encode(MANIFEST))
    assert document["schema"] == 1
    assert document["kind"] == "incremental"
    assert document["groups"][0]["state"] == "complete"
    assert document["groups"][0]["files"][0]["original_name"] == "C:\\priv1.edb"
    assert encode(MANIFEST) == encode(decode(encode(MANIFEST)))


def test_state_of_the_whole_is_that_of_the_worst_group() -> None:
    assert MANIFEST.state is State.INCOMPLETE
    assert evolve(MANIFEST, groups=(GROUP,)).state is State.COMPLETE
    assert evolve(MANIFEST, groups=()).state is State.INCOMPLETE


def test_every_flipped_bit_is_found() -> None:
    good = encode(MANIFEST)
    for offset in range(len(good)):
        bad = bytearray(good)
        bad[offset] ^= 0x04
        try:
            read = decode(bytes(bad))
        except SetError:
            continue
        # Only whitespace between tokens may change without a meaning.
        assert read == MANIFEST, good[max(0, offset - 20) : offset + 20]


@pytest.mark.parametrize("size", [0, 1, 100, -2])
def test_cut_off(size: int) -> None:
    with pytest.raises(SetError, match="not JSON"):
        decode(encode(MANIFEST)[:size])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfe\0garbage", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1, 2]", "no JSON object"),
        (b"{}", "no schema number"),
        (b'{"schema": true}', "no schema number"),
        (b'{"schema": 0}', "no schema number"),
        (b'{"schema": 1}', "SHA-256 is wrong"),
        (b'{"schema": 2}', r"schema 2 is newer than this program understands \(1\)"),
    ],
)
def test_garbage(data: bytes, message: str) -> None:
    with pytest.raises(SetError, match=message):
        decode(data)


def _group(document: dict[str, Any]) -> dict[str, Any]:
    group: dict[str, Any] = document["groups"][0]
    return group


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: _group(d)["files"][0].update(name="../../evil"), "not a plain file name"),
        (lambda d: _group(d)["files"][0].update(name="NUL"), "not a plain file name"),
        (lambda d: _group(d).update(folder="/etc"), "not a plain file name"),
        (lambda d: _group(d).update(folder=""), "not a plain file name"),
        (lambda d: _group(d)["files"][0].update(size=-1), "size"),
        (lambda d: _group(d)["files"][0].update(size="12"), "is no int"),
        (lambda d: _group(d)["files"][0].update(sha256="xyz"), "sha256"),
        (lambda d: _group(d)["files"][0].update(kind="virus"), "kind"),
        (lambda d: _group(d)["files"][1].update(name="PRIV1.EDB"), "two files of the same name"),
        (lambda d: _group(d)["logs"].update(low=9), "upside down"),
        (lambda d: _group(d).update(logs=None), "complete but has no logs"),
        (lambda d: _group(d).update(state="fine"), "state"),
        (lambda d: _group(d).update(surprise=1), "surprise"),
        (lambda d: d["groups"][1].update(folder="FIRST STORAGE GROUP"), "same folder"),
        (lambda d: d["groups"][1].update(name="First Storage Group"), "same name"),
        (lambda d: d.update(set_id="nonsense"), "set_id"),
        (lambda d: d.update(groups=7), "groups"),
        (lambda d: d.pop("server"), "server"),
    ],
)
def test_well_sealed_nonsense(change: Callable[[dict[str, Any]], None], message: str) -> None:
    with pytest.raises(SetError, match=message) as caught:
        decode(resealed(change))
    assert "\n" not in str(caught.value)


def test_resealing_alone_changes_nothing() -> None:
    assert decode(resealed(lambda d: None)) == MANIFEST
