"""Messages that a test writes by hand, where a workload by chance would not do."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from esesim.engine.database import Database
from esesim.engine.page import Page, PageFlag
from esesim.engine.table import Row, Table
from esesim.engine.transaction import Transaction
from tests.support.engine import SPEC, Rig

_OF_NO_ROWS = PageFlag.EMPTY | PageFlag.SPACE_TREE

EMPTY = evolve(SPEC, messages=0)
"""A workload that puts no messages into a new database."""


def message(number: int, subject: str = "subject", body: str = "body") -> Row:
    """A row of the table Msg without streams and separated values (bodies below 500 letters)."""
    return {
        "Id": number,
        "FolderId": 1,
        "Size": len(body),
        "Received": 0,
        "Unread": False,
        "Subject": subject,
        "Sender": "somebody",
        "MessageClass": "IPM.Note",
        "Body": body,
        "Raw": None,
        "Stream": None,
    }


def messages(database: Database) -> Table:
    """The table of messages."""
    return database.tables["Msg"]


def insert(rig: Rig, rows: Iterable[Row], name: str = "priv1") -> None:
    """Insert and commit rows in one transaction."""
    transaction = rig.instance.begin()
    for row in rows:
        messages(rig.database(name)).insert(transaction, row)
    transaction.commit()


def delete(rig: Rig, numbers: Iterable[int], name: str = "priv1") -> None:
    """Delete messages and commit that, in one transaction."""
    table = messages(rig.database(name))
    transaction = rig.instance.begin()
    for number in numbers:
        table.delete(transaction, table.key({"Id": number}))
    transaction.commit()


def change(rig: Rig, transaction: Transaction, number: int, subject: str) -> None:
    """Give a message another subject; the caller ends the transaction."""
    messages(rig.database()).replace(transaction, message(number, subject))


def subjects(rows: dict[bytes, Row]) -> dict[int, str]:
    """Subject of each message by its Id."""
    return {int(str(row["Id"])): str(row["Subject"]) for row in rows.values()}


def leaves_in(image: bytes, objid: int, page_size: int = 4096) -> dict[int, Page]:
    """The leaves of one tree among the pages of a database file, by page number."""
    found = {}
    for pgno in range(1, len(image) // page_size - 2):
        data = image[(pgno + 1) * page_size : (pgno + 2) * page_size]
        page = Page.from_bytes(data, pgno)
        if page.objid == objid and page.is_leaf and not page.flags & _OF_NO_ROWS:
            found[pgno] = page
    return found
