"""The event table: ids, placeholders, and that the order tables use no other events."""

from __future__ import annotations

import pytest

from eseback import BACKUP_ORDER, EVENTS, EventRow, Severity

IDS = {
    200, 201, 202, 203, 204, 205, 206, 207, 210, 211, 212, 213, 214, 215, 217, 218, 219, 220, 221,
    222, 223, 224, 225, 226, 227, 300, 301, 302, 399, 420, 421, 422, 430, 431, 432, 433, 434, 435,
    436, 438, 450, 452, 453, 454, 457, 458, 459, 460, 461, 463, 464, 465, 474, 478, 479, 480, 481,
    493, 520, 619, 904,
}  # fmt: skip


def test_every_published_event_has_a_row() -> None:
    assert set(EVENTS) >= IDS
    assert all(number == row.id for number, row in EVENTS.items())


@pytest.mark.parametrize(
    ("number", "severity", "fields"),
    [
        (210, Severity.INFORMATION, ()),
        (214, Severity.ERROR, ("error",)),
        (217, Severity.ERROR, ("error", "file")),
        (219, Severity.WARNING, ("error",)),
        (220, Severity.INFORMATION, ("file", "size")),
        (222, Severity.INFORMATION, ("file", "read", "size")),
        (223, Severity.INFORMATION, ("first", "last")),
        (459, Severity.ERROR, ("file",)),
        (520, Severity.WARNING, ()),
    ],
)
def test_severity_and_insertion_order(
    number: int, severity: Severity, fields: tuple[str, ...]
) -> None:
    assert EVENTS[number].severity is severity
    assert EVENTS[number].fields == fields


@pytest.mark.parametrize("row", EVENTS.values(), ids=lambda row: str(row.id))
def test_texts_can_be_filled(row: EventRow) -> None:
    text = row.render(**{name: f"<{name}>" for name in row.fields})
    assert all(f"<{name}>" in text for name in row.fields)
    assert "{" not in text


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="size"):
        EVENTS[220].render(file="priv1.edb")


def test_the_backup_layer_is_another_source() -> None:
    assert EVENTS[904].source == "ESE BACKUP"
    assert {row.source for row in EVENTS.values() if row.id != 904} == {"ESE"}


def test_order_table_uses_known_events() -> None:
    assert {number for cell in BACKUP_ORDER.values() for number in cell.events} <= set(EVENTS)
