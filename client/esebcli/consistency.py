"""How the files of one group belong together.

The rules are those that hard recovery applies (ESE source _log/logutil.cxx, backup.cxx): one stream
of logs without a gap, each chained to the one before; each database's trailer (or, from Exchange
2000 RTM and SP1, the header of its patch file) written by the same backup as its header; the logs
that it asks for are there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from attrs import frozen

from eseback.formats.dbheader import DatabaseHeader, DbFlag
from eseback.formats.errors import FormatError
from eseback.formats.fields import Signature
from eseback.formats.logheader import LogHeader
from eseback.formats.trailer import Trailer
from esebcli.contents import FileFacts
from esebcli.findings import Finding, Layer
from esebcli.loglists import logs_are, parse_listed_log
from esebcli.manifest import FileKind, Kind, LogRange


def check_group(
    kind: Kind, files: Sequence[FileFacts]
) -> tuple[LogRange | None, tuple[Finding, ...]]:
    """The logs that the files hold (None without a readable one), and what is wrong.

    Files whose header couldn't be read are left out: their own facts say so already.
    """
    findings: list[Finding] = []
    logs = sorted(
        ((file.name, file.log) for file in files if file.log), key=lambda log: log[1].generation
    )
    log_range = _log_range(logs, findings)
    databases = [file for file in files if file.kind is FileKind.DATABASE]
    if kind.has_databases and not databases:
        findings.append(Finding(Layer.CHAIN, f"a {kind.value} backup without a database"))
    if databases and not kind.has_databases:
        findings.append(Finding(Layer.CHAIN, f"a database in a {kind.value} backup"))
    for file in databases:
        ends = backup_ends(file, files)
        if file.without_trailer and not ends:
            text = "it ends without a trailer, and no good patch file (.pat) of it was saved"
            findings.append(Finding(Layer.TRAILER, text, file.name))
        if file.header:
            texts = _header_problems(file.header, log_range)
            for end in ends:
                texts += _end_problems(file, file.header, end, log_range)
            findings += [Finding(layer, text, file.name) for layer, text in texts]
    findings += _patch_findings(databases, files)
    findings += _streaming_findings(databases, files)
    if log_range is not None and logs:
        findings += _signature_findings(databases, logs[0][1].sign_log)
    return log_range, tuple(findings)


@frozen
class BackupEnd:
    """What says which logs the copy of a database needs. ``name`` is the word for it."""

    name: str
    page: Trailer


def backup_ends(database: FileFacts, files: Iterable[FileFacts]) -> tuple[BackupEnd, ...]:
    """The trailer of a database and the header of its patch file, as far as they are there."""
    ends = [BackupEnd("trailer", database.trailer)] if database.trailer else []
    if database.header:
        ends += [
            BackupEnd("patch file", file.patch)
            for file in files
            if file.patch and file.patch.sign_db == database.header.sign_db
        ]
    return tuple(ends)


def chain_problem(before: LogHeader, after: LogHeader) -> str | None:
    """Why one log does not follow another one, or None if it does."""
    if after.sign_log != before.sign_log:
        return "it belongs to another log stream (its signature differs)"
    if after.generation != before.generation + 1:
        return f"{logs_are(before.generation + 1, after.generation - 1)} missing before it"
    if after.previous_created != before.created:
        return f"it does not continue log {before.generation} (creation times differ)"
    return None


def _log_range(logs: Sequence[tuple[str, LogHeader]], findings: list[Finding]) -> LogRange | None:
    if not logs:
        return None
    for (_, before), (name, after) in itertools.pairwise(logs):
        if after.generation == before.generation:
            problem: str | None = f"generation {after.generation} is there twice"
        else:
            problem = chain_problem(before, after)
        if problem:
            findings.append(Finding(Layer.CHAIN, problem, name))
    bases = {named[0] for name, _ in logs if (named := parse_listed_log(name))}
    if len(bases) != 1:
        findings.append(
            Finding(Layer.CHAIN, f"logs of several base names: {', '.join(sorted(bases))}")
        )
        return None
    first, last = logs[0][1], logs[-1][1]
    try:
        signature = first.sign_log.pack().hex()
    except FormatError as error:
        findings.append(Finding(Layer.HEADER, f"log signature: {error.reason}", logs[0][0]))
        return None
    return LogRange(bases.pop(), first.generation, last.generation, signature)


def _header_problems(header: DatabaseHeader, logs: LogRange | None) -> list[tuple[Layer, str]]:
    problems = []
    if not header.bkinfo_full_cur.gen_low:
        problems.append((Layer.HEADER, "its header is not that of a backup (no bkinfoFullCur)"))
    if logs is not None and 0 < header.gen_min_required < logs.low:
        text = f"it requires log {header.gen_min_required}; the first one here is {logs.low}"
        problems.append((Layer.RANGE, text))
    return problems


def _end_problems(
    database: FileFacts, header: DatabaseHeader, backup_end: BackupEnd, logs: LogRange | None
) -> Iterable[tuple[Layer, str]]:
    name, page = backup_end.name, backup_end.page
    current, end = header.bkinfo_full_cur, page.bkinfo
    same = (current.mark, current.time) == (end.mark, end.time)
    # A patch file is finished when the logs are listed: it may ask for more than the header knew.
    if not same or (page is database.trailer and current.gen_low != end.gen_low):
        yield Layer.TRAILER, f"header and {name} are of different backups"
    if page.sign_db != header.sign_db:
        yield Layer.TRAILER, f"header and {name} are of different databases"
    if page.sign_log != header.sign_log:
        yield Layer.TRAILER, f"header and {name} are of different log streams"
    if end.gen_high < end.gen_low:
        yield Layer.TRAILER, f"it asks for logs {end.gen_low} to {end.gen_high}"
    if logs is None:
        return
    if end.gen_low < logs.low:
        first = f"the first one here is {logs.low}"
        yield Layer.RANGE, f"it needs logs from {end.gen_low} on; {first}"
    if end.gen_high > logs.high:
        last = f"the last one here is {logs.high}"
        yield Layer.RANGE, f"it needs logs up to {end.gen_high}; {last}"


def _patch_findings(
    databases: Sequence[FileFacts], files: Sequence[FileFacts]
) -> Iterable[Finding]:
    known = [file.header.sign_db for file in databases if file.header]
    for file in files:
        if file.patch and file.patch.sign_db not in known:
            yield Finding(Layer.CHAIN, "it belongs to none of the databases", file.name)


def _streaming_findings(
    databases: Sequence[FileFacts], files: Sequence[FileFacts]
) -> Iterable[Finding]:
    """An .edb and its .stm carry the same signature; neither is of use without the other."""
    streaming = [file for file in files if file.kind is FileKind.STREAMING and file.header]
    of_files = [file.header.sign_slv for file in streaming if file.header]
    of_databases = [
        file.header.sign_slv
        for file in databases
        if file.header and DbFlag.SLV_EXISTS in file.header.flags
    ]
    for file in streaming:
        if file.header and file.header.sign_slv not in of_databases:
            yield Finding(Layer.CHAIN, "it belongs to none of the databases", file.name)
    for file in databases:
        if (
            file.header
            and DbFlag.SLV_EXISTS in file.header.flags
            and file.header.sign_slv not in of_files
        ):
            yield Finding(Layer.CHAIN, "its streaming file (.stm) was not saved", file.name)


def _signature_findings(databases: Sequence[FileFacts], sign_log: Signature) -> Iterable[Finding]:
    for file in databases:
        if file.header and file.header.sign_log != sign_log:
            yield Finding(Layer.CHAIN, "it belongs to another log stream", file.name)
