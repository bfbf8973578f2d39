"""Checks of single files: fed in pieces of any size they find the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from esebcli.contents import Depth, FileFacts, check_for
from esebcli.findings import Layer
from esebcli.manifest import FileKind
from tests.esebcli.support_files import Image, LogStream

STREAM = LogStream.numbered(1)
IMAGE = Image(STREAM, 4, 6)
EDB = IMAGE.edb()
STM = IMAGE.stm()
LOG = STREAM.log(5)


def run(
    kind: FileKind,
    data: bytes,
    cuts: Iterable[int] = (),
    *,
    name: str = "E0000005.log",
    depth: Depth = Depth.PAGES,
) -> FileFacts:
    check = check_for(kind, name, len(data), depth)
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(places):
        check.feed(memoryview(data)[start:end])
    return check.finish()


def layers(facts: FileFacts) -> list[Layer]:
    return [finding.layer for finding in facts.findings]


def flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 0x10]) + data[offset + 1 :]


@pytest.mark.parametrize("depth", Depth)
@given(cuts=st.lists(st.integers(0, len(EDB)), max_size=12))
def test_good_files_in_any_pieces(depth: Depth, cuts: list[int]) -> None:
    edb = run(FileKind.DATABASE, EDB, cuts, depth=depth)
    assert edb.findings == ()
    assert edb.header == IMAGE.header() and edb.trailer == IMAGE.trailer()
    stm = run(FileKind.STREAMING, STM, cuts, depth=depth)
    assert stm.findings == () and stm.header is not None
    log = run(FileKind.LOG, LOG, cuts, depth=depth)
    assert log.findings == () and log.log is not None and log.log.generation == 5


@given(offset=st.integers(0, len(EDB) - 1), cuts=st.lists(st.integers(0, len(EDB)), max_size=12))
def test_every_flipped_bit_of_a_database_is_found_at_its_layer(
    offset: int, cuts: list[int]
) -> None:
    facts = run(FileKind.DATABASE, flipped(EDB, offset), cuts)
    page = offset // 4096
    if page < 2:
        assert layers(facts) == [Layer.HEADER]
    elif page == len(EDB) // 4096 - 1:
        assert layers(facts) == [Layer.TRAILER]
    else:
        assert layers(facts) == [Layer.PAGE]
        assert f"1 page(s): {page - 1}" in facts.findings[0].text


@pytest.mark.parametrize(("page_size", "ecc"), [(4096, False), (4096, True), (8192, True)])
def test_the_formats_of_all_versions(page_size: int, ecc: bool) -> None:
    image = Image(STREAM, 4, 6, page_size=page_size, ecc=ecc, has_streaming=False)
    data = image.edb()
    assert run(FileKind.DATABASE, data).findings == ()
    assert layers(run(FileKind.DATABASE, flipped(data, 5 * page_size + 9))) == [Layer.PAGE]


def test_a_page_in_the_wrong_place_is_found() -> None:
    swapped = EDB[:8192] + IMAGE.page(2) + IMAGE.page(1) + EDB[16384:]
    assert "2 page(s): 1, 2" in run(FileKind.DATABASE, swapped).findings[0].text


def test_many_bad_pages_are_counted_and_repairable_ones_told() -> None:
    data = EDB
    used = [pgno for pgno in range(1, 9) if pgno != 3]
    for pgno in used:
        data = flipped(data, (pgno + 1) * 4096 + 500)
    data = flipped(data, 2 * 4096 + 900)  # a second wrong bit in page 1
    text = run(FileKind.DATABASE, data).findings[0].text
    assert text == "wrong checksum of 7 page(s): 1, 2, 4, ... (6 with a single wrong bit)"


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 8192, 12288])
def test_databases_that_are_too_short(size: int) -> None:
    facts = run(FileKind.DATABASE, EDB[:size])
    assert facts.findings and set(layers(facts)) <= {Layer.FILE, Layer.HEADER}


def test_kinds_are_not_mistaken_for_each_other() -> None:
    assert layers(run(FileKind.DATABASE, STM))[0] is Layer.HEADER
    assert layers(run(FileKind.STREAMING, EDB)) == [Layer.HEADER]
    assert layers(run(FileKind.LOG, EDB)) == [Layer.HEADER]
    assert Layer.HEADER in layers(run(FileKind.DATABASE, LOG))


def test_streaming_files() -> None:
    assert layers(run(FileKind.STREAMING, STM[:-1])) == [Layer.FILE]
    assert layers(run(FileKind.STREAMING, b"")) == [Layer.HEADER]
    # Raw pages have no checksum of their own.
    assert run(FileKind.STREAMING, flipped(STM, 9000)).findings == ()


@pytest.mark.parametrize(
    ("data", "depth", "layer"),
    [
        (flipped(LOG, 10), Depth.HEADERS, Layer.HEADER),
        (flipped(LOG, 4200), Depth.PAGES, Layer.LOG),
        (LOG[:4096], Depth.PAGES, Layer.FILE),
        (LOG + bytes(512), Depth.HEADERS, Layer.FILE),
        (b"", Depth.PAGES, Layer.HEADER),
        (STREAM.log(6), Depth.PAGES, Layer.HEADER),
        (bytes(32 << 20), Depth.PAGES, Layer.FILE),
    ],
)
def test_bad_logs(data: bytes, depth: Depth, layer: Layer) -> None:
    assert layers(run(FileKind.LOG, data, depth=depth)) == [layer]


def test_headers_only_leaves_the_rest_unread() -> None:
    assert run(FileKind.LOG, flipped(LOG, 4200), depth=Depth.HEADERS).findings == ()
    assert run(FileKind.DATABASE, flipped(EDB, 9000), depth=Depth.HEADERS).findings == ()


# --- Exchange 2000 RTM and SP1: no trailer, patch files


OLD = Image(STREAM, 4, 6, ecc=False, has_trailer=False)
PAT = OLD.pat(5, 2, 5)


@pytest.mark.parametrize("ecc", [False, True])
@pytest.mark.parametrize("pages", [8, 3], ids=["a used page at the end", "an unused one"])
@given(cuts=st.lists(st.integers(0, 50_000), max_size=12))
def test_a_database_without_a_trailer(ecc: bool, pages: int, cuts: list[int]) -> None:
    """In the old format its last page has a checksum of the same kind as a trailer."""
    facts = run(FileKind.DATABASE, evolve(OLD, ecc=ecc, pages=pages).edb(), cuts)
    assert facts.findings == () and facts.without_trailer and facts.trailer is None


def test_a_trailer_is_no_page() -> None:
    facts = run(FileKind.DATABASE, evolve(OLD, has_trailer=True).edb())
    assert not facts.without_trailer and facts.trailer == OLD.trailer()


@pytest.mark.parametrize("depth", Depth)
@given(cuts=st.lists(st.integers(0, len(PAT)), max_size=12))
def test_a_patch_file_in_any_pieces(depth: Depth, cuts: list[int]) -> None:
    facts = run(FileKind.PATCH, PAT, cuts, depth=depth)
    assert facts.findings == () and facts.patch == OLD.trailer()


@given(offset=st.integers(0, len(PAT) - 1))
def test_every_flipped_bit_of_a_patch_file_is_found(offset: int) -> None:
    facts = run(FileKind.PATCH, flipped(PAT, offset))
    if offset < 4096:
        assert layers(facts) == [Layer.HEADER] and facts.patch is None
    else:
        assert layers(facts) == [Layer.PAGE]
        assert f"at byte {offset // 4096 * 4096}" in facts.findings[0].text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty or cut off"),
        (PAT[:100], "it is empty or cut off"),
        (PAT[:-1], "its size 16383 is no multiple of the page size 4096"),
        (PAT + bytes(4096), "wrong checksum of 1 page(s), at byte 16384"),
        (
            PAT[:4096] + b"x" * 5 * 4096,
            "wrong checksum of 5 page(s), at byte 4096, 8192, 12288, ...",
        ),
        # A page of the newer format does not carry its number.
        (PAT + IMAGE.page(2), "wrong checksum of 1 page(s), at byte 16384"),
    ],
)
def test_patch_files_that_are_none(data: bytes, message: str) -> None:
    assert [finding.text for finding in run(FileKind.PATCH, data).findings] == [message]


def test_headers_only_of_a_patch_file() -> None:
    assert run(FileKind.PATCH, flipped(PAT, 9000), depth=Depth.HEADERS).findings == ()


@given(data=st.binary(max_size=300), pad=st.sampled_from([0, 4096, 16384, 20000]))
def test_rubbish_is_never_taken_for_a_file_and_never_crashes(data: bytes, pad: int) -> None:
    for kind in FileKind:
        assert run(kind, data.ljust(pad, b"\xa5")).findings
