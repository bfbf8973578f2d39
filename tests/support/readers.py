"""What independent readers of ESE files say is in a database.

Three programs that are not ours: pyesedb (libesedb-python), dissect.database, and esedbexport with
esedbinfo (Debian libesedb-utils, libesedb as of 2018). Each gives the rows of all user tables,
whatever the state in the header; the extra page at the end of a backup is of no interest to them.
Checksums of pages are looked at by ``checksum_mismatches`` alone.

    @each_reader
    def test(reader: Reader) -> None:
        assert reader.differences(path, {"Msg": rows}) == []
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen

UNREADABLE: Final = object()
"""Stands for a value that a reader takes for something else."""

type_Rows = dict[str, list[dict[str, Any]]]

_SYSTEM_PREFIX: Final = "MSys"
_LONG_VALUE_MIN: Final = 1024


class ReaderError(Exception):
    """A reader could not read the file: its own words."""


def rows_by_pyesedb(path: Path) -> type_Rows:
    """The rows of every user table as pyesedb reads them.

    libesedb passes over the NULL bits of fixed columns, and gives nothing for a text of no length:
    NULL, 0 and "" are not told apart. A piece of a long value that begins with the byte 18 is
    unpacked as if it were compressed, as newer engines than ours do: what comes out is UNREADABLE
    or wrong.
    """
    import pyesedb

    file = pyesedb.file()
    try:
        file.open(str(path))
        return {
            table.name: [pyesedb_row(record) for record in table.records]
            for table in file.tables
            if not table.name.startswith(_SYSTEM_PREFIX)
        }
    except OSError as error:
        raise ReaderError(f"pyesedb: {error}") from error
    finally:
        file.close()


# Column types by number: jethdr.h, JET_coltyp.
_BIT, _BINARY, _TEXT, _LONG_BINARY, _LONG_TEXT = 1, 9, 10, 11, 12
_NUMBERS: Final = {2: "<B", 3: "<h", 4: "<i", 5: "<q", 6: "<f", 7: "<d", 8: "<d", 17: "<H"}


def pyesedb_row(record: Any) -> dict[str, Any]:
    """The columns of one record of pyesedb's, by name."""
    return {
        record.get_column_name(i): _pyesedb_value(record, i, record.get_column_type(i))
        for i in range(record.get_number_of_values())
    }


def _pyesedb_value(record: Any, i: int, kind: int) -> Any:
    if record.is_long_value(i):
        value = record.get_value_data_as_long_value(i)
        try:
            return value.get_data_as_string() if kind == _LONG_TEXT else value.get_data()
        except OSError as error:
            if "decompress" in str(error):
                return UNREADABLE
            raise
    data = record.get_value_data(i)
    if not data:
        return None
    if kind in (_TEXT, _LONG_TEXT):
        return record.get_value_data_as_string(i)
    if kind in (_BINARY, _LONG_BINARY):
        return data
    return data != b"\0" if kind == _BIT else struct.unpack(_NUMBERS[kind], data)[0]


def rows_by_dissect(path: Path) -> type_Rows:
    """The rows of every user table as dissect.database reads them, going down all branches."""
    from dissect.database.ese import ESE

    with path.open("rb") as file:
        try:
            database = ESE(file)
            return {
                table.name: _dissect_rows(table)
                for table in database.tables()
                if not table.name.startswith(_SYSTEM_PREFIX)
            }
        except (EOFError, IndexError, KeyError, ValueError, TypeError) as error:
            raise ReaderError(f"dissect: {error!r}") from error


def _dissect_rows(table: Any) -> list[dict[str, Any]]:
    long_values = _dissect_long_values(table)
    return [
        {column.name: _dissect_value(record, column, long_values) for column in table.columns}
        for record in table.records()
    ]


def _dissect_value(record: Any, column: Any, long_values: Mapping[bytes, bytes]) -> Any:
    if column.is_tagged:
        field, data = record._data._get_tagged(column)
        if field is not None and field.flags & 4:  # separated
            value = long_values[bytes(data)[::-1]]
            return value if not column.is_text else value.decode(_dissect_codec(column))
        if data is not None:
            value = bytes(data)
            return value if not column.is_text else value.decode(_dissect_codec(column))
        return None
    if column.type.name in ("DateTime", "IEEEDouble"):
        data = record.get(column.name, raw=True)
        return None if data is None else struct.unpack("<d", data)[0]
    value = record.get(column.name)
    # Numbers come as objects of cstruct's own types.
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _dissect_codec(column: Any) -> str:
    return {1200: "utf-16-le", 1252: "cp1252"}[column.encoding.value]


def _dissect_long_values(table: Any) -> dict[bytes, bytes]:
    """All long values of a table by lid, put together from the nodes that dissect finds.

    Its own get_long_value (1.1) adds the offsets up wrongly from the third piece on, takes such
    pieces for compressed ones, and fails at an empty leaf.
    """
    if table._long_value_record is None:
        return {}
    found: dict[bytes, bytes] = {}
    sizes: dict[bytes, int] = {}
    for node in table.lv_page.iter_leaf_nodes():
        key, data = bytes(node.key), bytes(node.data)
        lid = key[:4]
        if len(key) == 4:
            sizes[lid] = struct.unpack("<II", data)[1]
            found[lid] = b""
        elif int.from_bytes(key[4:], "big") != len(found[lid]):
            raise ValueError(f"long value {lid.hex()}: a piece is missing")
        else:
            found[lid] += data
    short = [lid.hex() for lid, size in sizes.items() if len(found[lid]) != size]
    if short:
        raise ValueError(f"long values that are not whole: {short}")
    return found


def rows_by_esedbexport(path: Path, tmpdir: Path) -> type_Rows:
    """The rows of every user table as esedbexport writes them to text files below ``tmpdir``.

    NULL and "" look alike, a text ends at a NUL, characters beyond U+FFFF come out wrong, and long
    values outside their row come out empty (20181229). It takes a table named Msg for Exchange's
    own: binary columns whose names begin with S come out as if they were text, here UNREADABLE.
    """
    target = tmpdir / "esedb"
    done = _run("esedbexport", "-t", str(target), str(path))
    if done.returncode:
        raise ReaderError(f"esedbexport: {done.stderr.strip()}")
    types = _column_types(_esedbinfo(path))
    found: type_Rows = {}
    for number, (table, columns) in enumerate(types.items()):
        if table.startswith(_SYSTEM_PREFIX):
            continue
        text = (tmpdir / "esedb.export" / f"{table}.{number}").read_text("utf-8", "replace")
        header, *lines = text.split("\n")
        names = header.split("\t")
        found[table] = [
            {
                name: _exported_value(cell, columns[name])
                for name, cell in zip(names, line.split("\t"), strict=True)
            }
            for line in lines
            if line
        ]
    return found


def _exported_value(cell: str, kind: str) -> Any:
    if not cell:
        return None
    if kind == "Boolean":
        return cell == "true"
    if kind.startswith("Currency"):
        # Printed without a sign.
        return struct.unpack("<q", struct.pack("<Q", int(cell)))[0]
    if kind.startswith("Integer"):
        return int(cell)
    if kind.startswith("Floating point"):
        return float(cell)
    if "inary" in kind:
        return bytes.fromhex(cell) if re.fullmatch(r"([0-9a-f]{2})+", cell) else UNREADABLE
    if kind == "Date and time":
        raise ReaderError("esedbexport does not tell dates")
    return re.sub(r"\\(.)", lambda match: _ESCAPES[match[1]], cell)


_ESCAPES: Final = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r", "v": "\v", "b": "\b", "f": "\f"}


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin:/usr/local/bin"},
    )


def _esedbinfo(path: Path, *options: str) -> str:
    done = _run("esedbinfo", *options, str(path))
    if done.returncode:
        raise ReaderError(f"esedbinfo: {done.stderr.strip()}")
    return done.stdout + done.stderr


def _column_types(info: str) -> dict[str, dict[str, str]]:
    """The columns of each table with the names of their types, in the order of the catalog."""
    types: dict[str, dict[str, str]] = {}
    for line in info.splitlines():
        cells = line.strip("\t").split("\t")
        if line.startswith("Table: "):
            columns = types.setdefault(_name(line), {})
        elif line.startswith("\t") and len(cells) == 4 and cells[0].isdigit():
            columns[cells[2]] = cells[3]
    return types


def _name(line: str) -> str:
    match = re.search(r"\t([^\t]+) \(\d+\)$", line)
    assert match is not None, line
    return match[1]


def indexes_by_esedbinfo(path: Path) -> dict[str, list[str]]:
    """The names of the indexes of each user table, the primary one included."""
    indexes: dict[str, list[str]] = {}
    for line in _esedbinfo(path).splitlines():
        if line.startswith("Table: "):
            names = indexes.setdefault(_name(line), [])
        elif line.startswith("\tIndex: "):
            names.append(_name(line))
    return {
        table: names for table, names in indexes.items() if not table.startswith(_SYSTEM_PREFIX)
    }


def checksum_mismatches(path: Path) -> list[str]:
    """The pages whose checksum is wrong, in the words of ``esedbinfo -v``, among those it reads."""
    return [line for line in _esedbinfo(path, "-v").splitlines() if "mismatch" in line]


@frozen
class Reader:
    """A reader, and what it cannot tell apart."""

    name: str
    rows: Callable[[Path], type_Rows]
    tools: tuple[str, ...]
    tells_null: bool = False
    reads_separated: bool = True
    unpacks: bool = False

    def differences(
        self,
        path: Path,
        expected: Mapping[str, Iterable[Mapping[str, Any]]],
        *,
        key: str = "Id",
        ignore: Collection[str] = (),
    ) -> list[str]:
        """How the file differs from ``expected``, as far as this reader can see.

        Rows are expected in the order of column ``key``, which every table has; a column that an
        expected row lacks is NULL. Columns named in ``ignore`` are not compared, for instance
        ``Stream``, of which readers see the runs and not what they point to.
        """
        found = self.rows(path)
        if sorted(found) != sorted(expected):
            return [f"{self.name}: tables {sorted(found)}, expected {sorted(expected)}"]
        piece = _page_size(path) - 82  # bytes of a long value in one node
        return [
            f"{self.name}: {table}: {text}"
            for table, rows in expected.items()
            for text in self._table_differences(
                sorted(rows, key=lambda row: row[key]), found[table], key, piece, ignore
            )
        ]

    def _table_differences(
        self,
        expected: Sequence[Mapping[str, Any]],
        found: Sequence[Mapping[str, Any]],
        key: str,
        piece: int,
        ignore: Collection[str],
    ) -> list[str]:
        keys = [[row[key] for row in rows] for rows in (expected, found)]
        if keys[0] != keys[1]:
            missing = sorted(set(keys[0]) - set(keys[1]))
            extra = sorted(set(keys[1]) - set(keys[0]))
            return [
                f"{len(found)} rows, expected {len(expected)}; missing {missing[:5]}, extra"
                f" {extra[:5]}" + ("" if missing or extra else "; out of order or doubled")
            ]
        return [
            f"{key} {right[key]}: {name} is {value!r:.80}, expected {left.get(name)!r:.80}"
            for left, right in zip(expected, found, strict=True)
            for name, value in right.items()
            if name not in ignore and not self._same(left.get(name), value, piece)
        ]

    def _same(self, expected: Any, found: Any, piece: int) -> bool:
        if type(expected) is type(found) and expected == found:
            return True
        if not self.tells_null and not expected and not found:
            return True
        if not isinstance(expected, str | bytes):
            return False
        if found is UNREADABLE and not self.unpacks:
            return True
        data = expected.encode("utf-16-le") if isinstance(expected, str) else expected
        if len(data) < _LONG_VALUE_MIN:
            return False
        if self.unpacks:
            return any(data[offset] == 0x18 for offset in range(0, len(data), piece))
        return not self.reads_separated and found is None


def _page_size(path: Path) -> int:
    with path.open("rb") as file:
        return int(struct.unpack_from("<I", file.read(240), 236)[0])


def _rows_by_esedbexport(path: Path) -> type_Rows:
    with tempfile.TemporaryDirectory() as directory:
        return rows_by_esedbexport(path, Path(directory))


READERS: Final = (
    Reader("pyesedb", rows_by_pyesedb, ("pyesedb",), unpacks=True),
    Reader("dissect", rows_by_dissect, ("dissect.database",), tells_null=True),
    Reader(
        "esedbexport",
        _rows_by_esedbexport,
        ("esedbexport", "esedbinfo"),
        reads_separated=False,
    ),
)

each_reader = pytest.mark.parametrize(
    "reader",
    [
        pytest.param(
            reader, id=reader.name, marks=[pytest.mark.needs_tool(tool) for tool in reader.tools]
        )
        for reader in READERS
    ],
)
"""Runs a test once with each reader, as argument ``reader``; skips what is not installed."""
