"""How files belong together: the rules that damage of single files doesn't reach."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import evolve

from eseback.formats.fields import Signature
from eseback.formats.logheader import LogHeader
from esebcli.consistency import backup_ends, chain_problem, check_group
from esebcli.contents import Depth, FileFacts, check_for
from esebcli.loglists import kind_of_listed, parse_listed_log
from esebcli.manifest import FileKind, Kind
from esebcli.render import size_text
from tests.esebcli.support_files import Image, LogStream

STREAM = LogStream.numbered(1)


def facts(name: str, data: bytes) -> FileFacts:
    check = check_for(kind_of_listed(name), name, len(data), Depth.PAGES)
    check.feed(memoryview(data))
    return check.finish()


def log(generation: int, stream: LogStream = STREAM) -> FileFacts:
    return facts(stream.name(generation), stream.log(generation))


def header(generation: int) -> LogHeader:
    found = log(generation).log
    assert found is not None
    return found


def problems(kind: Kind, files: Sequence[FileFacts]) -> list[str]:
    return [str(finding) for finding in check_group(kind, files)[1]]


def image_facts(image: Image) -> FileFacts:
    return facts("priv1.edb", image.edb())


IMAGE = Image(STREAM, 4, 6, has_streaming=False)


def test_a_good_group_in_any_order() -> None:
    files = [log(6), image_facts(IMAGE), log(4), log(5)]
    logs, found = check_group(Kind.FULL, files)
    assert found == () and logs is not None
    assert (logs.base_name, logs.low, logs.high) == ("E00", 4, 6)
    assert logs.signature == STREAM.signature.pack().hex()


def test_one_generation_twice() -> None:
    twin = evolve(log(5), name="E0000005~2.log")
    assert problems(Kind.INCREMENTAL, [log(4), log(5), twin]) == [
        "E0000005~2.log: generation 5 is there twice"
    ]


def test_two_base_names() -> None:
    other = LogStream(STREAM.signature, "E01")
    logs, found = check_group(Kind.INCREMENTAL, [log(4), log(5, other)])
    assert logs is None
    assert [str(f) for f in found] == ["logs of several base names: E00, E01"]


def test_a_signature_that_can_not_be_written_down() -> None:
    odd = facts("E0000004.log", STREAM.log(4))
    assert odd.log is not None
    sign = Signature(1, STREAM.signature.created, "x" * 16)
    logs, found = check_group(Kind.INCREMENTAL, [evolve(odd, log=evolve(odd.log, sign_log=sign))])
    assert logs is None and "log signature" in str(found[0])


@pytest.mark.parametrize(
    ("trailer", "message"),
    [
        ({"sign_log": Signature(9)}, "header and trailer are of different log streams"),
        ({"bkinfo": evolve(IMAGE.trailer().bkinfo, gen_high=3)}, "it asks for logs 4 to 3"),
    ],
)
def test_trailers_that_contradict(trailer: dict[str, object], message: str) -> None:
    good = image_facts(IMAGE)
    assert good.trailer is not None
    bad = evolve(good, trailer=evolve(good.trailer, **trailer))  # type: ignore[arg-type]
    assert problems(Kind.FULL, [bad, log(4), log(5), log(6)]) == [f"priv1.edb: {message}"]


def test_a_header_that_requires_an_older_log() -> None:
    good = image_facts(IMAGE)
    assert good.header is not None
    older = evolve(good, header=evolve(good.header, gen_min_required=3))
    assert problems(Kind.COPY, [older, log(4), log(5), log(6)]) == [
        "priv1.edb: it requires log 3; the first one here is 4"
    ]


def test_chain_problems() -> None:
    assert chain_problem(header(4), header(5)) is None
    assert "log 5 is missing before it" in (chain_problem(header(4), header(6)) or "")
    other = evolve(header(5), previous_created=header(5).created)
    assert "does not continue log 4" in (chain_problem(header(4), other) or "")
    foreign = evolve(header(5), sign_log=Signature(9))
    assert "another log stream" in (chain_problem(header(4), foreign) or "")


@pytest.mark.parametrize(
    ("name", "parsed", "kind"),
    [
        ("C:\\x\\E0000010.log", ("E00", 16), FileKind.LOG),
        ("e01000ff.LOG", ("E01", 255), FileKind.LOG),
        ("E0000000010.log", ("E00", 16), FileKind.LOG),
        ("E00.log", None, FileKind.DATABASE),
        ("E00tmp.log", None, FileKind.DATABASE),
        ("E0000000.log", None, FileKind.DATABASE),
        ("E00001.log", None, FileKind.DATABASE),
        ("E0000001.log.", None, FileKind.DATABASE),
        ("", None, FileKind.DATABASE),
        ("C:\\x\\PRIV1.STM", None, FileKind.STREAMING),
        ("priv1.Pat", None, FileKind.PATCH),
    ],
)
def test_kinds_of_listed_files(name: str, parsed: tuple[str, int] | None, kind: FileKind) -> None:
    assert parse_listed_log(name) == parsed
    assert kind_of_listed(name) is kind


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (3 << 40, "3.0 TiB"),
        (5 << 52, "20480.0 TiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


# --- Exchange 2000 RTM and SP1


OLD = Image(STREAM, 4, 6, has_streaming=False, ecc=False, has_trailer=False)
LOGS = [log(4), log(5), log(6)]


def patch_facts(image: Image) -> FileFacts:
    return facts("priv1.pat", image.pat(2))


def test_a_patch_file_takes_the_place_of_the_trailer() -> None:
    assert problems(Kind.FULL, [image_facts(OLD), patch_facts(OLD), *LOGS]) == []
    assert [end.name for end in backup_ends(image_facts(OLD), [patch_facts(OLD)])] == ["patch file"]
    both = evolve(OLD, has_trailer=True)
    assert problems(Kind.FULL, [image_facts(both), patch_facts(OLD), *LOGS]) == []


WITHOUT = "priv1.edb: it ends without a trailer, and no good patch file (.pat) of it was saved"


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        (None, [WITHOUT]),
        (
            evolve(OLD, seed=9),  # of another database
            [WITHOUT, "priv1.pat: it belongs to none of the databases"],
        ),
        (
            evolve(OLD, gen_high=5),  # the mark is another one: of another backup
            ["priv1.edb: header and patch file are of different backups"],
        ),
        (
            evolve(OLD, stream=LogStream.numbered(9)),
            ["priv1.edb: header and patch file are of different log streams"],
        ),
        (
            evolve(OLD, gen_low=2),  # a full with all logs
            ["priv1.edb: it needs logs from 2 on; the first one here is 4"],
        ),
    ],
)
def test_patch_files_that_do_not_fit(patch: Image | None, expected: list[str]) -> None:
    files = [image_facts(OLD), *([patch_facts(patch)] if patch else []), *LOGS]
    assert problems(Kind.FULL, files) == expected


def test_a_patch_file_beside_logs_alone() -> None:
    expected = ["priv1.pat: it belongs to none of the databases"]
    assert problems(Kind.INCREMENTAL, [patch_facts(OLD), *LOGS]) == expected
