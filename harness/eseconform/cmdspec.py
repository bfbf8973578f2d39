"""``--sut cmd:...``: how a program is named that is a client.

``cmd:COMMAND LINE`` is the program's backup command and declares nothing. ``cmd:@FILE.toml`` says
it all: the commands ``backup``, ``restore`` and ``verify`` (a line, or a list of arguments), the
``capabilities``, ``seconds`` for one job, and ``secrets``, environment variables whose values no
report may show. No shell is involved: a line is split as a shell would, and nothing else.

``{name}`` in an argument stands for a value of the job (see :data:`PLACEHOLDERS`), ``{{`` and
``}}`` for braces. Some names stand for any number of values: such an argument is repeated for each
of them, and left out where there is none.
"""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import string
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import field, frozen

from eseconform.errors import SutUnusable, UsageError
from eseconform.task import Capability

PREFIX: Final = "cmd"
FROM_FILE: Final = "@"

PLACEHOLDERS: Final[Mapping[str, str]] = {
    "endpoint": "where the server is, as rpc:HOST:PORT",
    "host": "its host",
    "port": "its port",
    "kind": "what to do: full, copy, incremental, differential or restore",
    "server": "computer name for Prepare and RestoreOpen",
    "annotation": "service annotation for these",
    "group": "storage groups to save or to restore: one argument for each",
    "database": "names of the only databases to save or to restore; none: all",
    "set": "folder for the new set, empty",
    "earlier": "folders of the sets to continue or to restore, oldest first",
    "previous": "the last of these",
    "target": "storage group to restore into; none: the same",
    "play_forward": "empty, and there only if logs still on the server are to be replayed",
    "mount": "empty, and there only if the databases are to be mounted after the restore",
    "no_mount": "empty, and there only if they are not",
    "parallel": "empty, and there only if the groups are to be done at the same time",
    "files": "folder that holds the server's drives, for a restore; otherwise none",
    "task": "file that holds all of this as JSON",
    "result": "file for the answer as JSON",
    "here": "folder of the TOML file, else the current one",
    "python": "the Python that runs the harness",
}
"""What an argument may name. Each is in the environment as well, ``ESESIM_`` and its name in
capitals; several values are lines, none is empty, and a flag is 1."""
FLAGS: Final = ("play_forward", "mount", "no_mount", "parallel")


def variable_of(placeholder: str) -> str:
    """The environment variable that says the same."""
    return f"ESESIM_{placeholder.upper()}"


Values = Mapping[str, Sequence[str]]
"""The values of a job, by placeholder."""

_KEYS: Final = ("backup", "restore", "verify", "capabilities", "seconds", "secrets")


@frozen
class Commands:
    """The commands of a program, as templates.

    Attributes:
        backup: arguments of the command that saves.
        restore: of the one that restores; empty when there is none.
        verify: of the one that checks a set after a successful backup; empty when there is none.
        declared: what the program declares that it can do; None when it declares nothing.
        seconds: time limit of one job; None for that of the case.
        secrets: names of environment variables whose values must not be shown.
        here: what ``{here}`` stands for.
    """

    backup: tuple[str, ...]
    restore: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    declared: frozenset[Capability] | None = None
    seconds: float | None = None
    secrets: tuple[str, ...] = ()
    here: Path = field(factory=Path.cwd)

    def constants(self) -> Values:
        """The values that are the same for every job."""
        return {"here": (str(self.here),), "python": (sys.executable,)}


def read_commands(rest: str) -> Commands:
    """What follows ``cmd:``.

    Raises:
        UsageError: it is malformed, or names a placeholder that there is not.
        SutUnusable: a program is not there, or can't be run.
    """
    commands = (
        _from_file(Path(rest[1:])) if rest.startswith(FROM_FILE) else Commands(split_line(rest))
    )
    for name in ("backup", "restore", "verify"):
        arguments: tuple[str, ...] = getattr(commands, name)
        for argument in arguments:
            _check_template(argument)
        if arguments:
            _check_program(filled(arguments[:1], commands.constants())[:1])
    _check_restore(commands)
    return commands


def split_line(line: str, windows: bool = os.name == "nt") -> tuple[str, ...]:
    """The arguments of a command line. On Windows a backslash is part of a path.

    Raises:
        UsageError: a quotation mark is not closed, or there is nothing.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    if windows:
        lexer.escape = ""
    try:
        arguments = tuple(lexer)
    except ValueError as error:
        raise UsageError(f"--sut cmd:{line}: {error}") from None
    if not arguments:
        raise UsageError("--sut cmd: the command is missing; write cmd:COMMAND or cmd:@FILE.toml")
    return arguments


def filled(template: Sequence[str], values: Values) -> tuple[str, ...]:
    """The arguments of a job; a name that ``values`` lacks stays as it is."""
    return tuple(argument for part in template for argument in _filled(part, values))


def _filled(part: str, values: Values) -> Iterator[str]:
    pieces = list(string.Formatter().parse(part))
    names = list(dict.fromkeys(name for _, name, _, _ in pieces if name))
    for chosen in itertools.product(*(values.get(name, (f"{{{name}}}",)) for name in names)):
        known = dict(zip(names, chosen, strict=True))
        yield "".join(text + (known[name] if name else "") for text, name, _, _ in pieces)


def _check_template(argument: str) -> None:
    try:
        pieces = list(string.Formatter().parse(argument))
    except ValueError as error:
        raise UsageError(f"--sut: {argument!r}: {error}; a brace itself is {{{{ or }}}}") from None
    for _, name, form, conversion in pieces:
        if name is None:
            continue
        if name not in PLACEHOLDERS or form or conversion:
            known = ", ".join(PLACEHOLDERS)
            raise UsageError(f"--sut: {argument!r}: there is no {{{name}}}; known: {known}")


def _check_program(arguments: Sequence[str]) -> None:
    """That the program can be started is found out before the first case."""
    program = arguments[0] if arguments else ""
    if "{" in program:
        raise UsageError(f"--sut: the program {program!r} can't differ from job to job")
    if shutil.which(program) is not None:
        return
    if Path(program).exists():
        raise SutUnusable(f"{program!r} is there, but is no program that can be started")
    raise SutUnusable(f"there is no program {program!r}; looked in PATH and {Path.cwd()}")


def _check_restore(commands: Commands) -> None:
    able = Capability.RESTORE in (commands.declared or ())
    if able and not commands.restore:
        raise UsageError("--sut: `restore` is among the capabilities, and there is no such command")
    if commands.restore and not able:
        raise UsageError("--sut: there is a command `restore`: declare it among the capabilities")


def _from_file(path: Path) -> Commands:
    try:
        plain = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"--sut cmd:@{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageError(f"--sut cmd:@{path}: {error}") from None
    try:
        return _commands(plain, path.absolute().parent)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _commands(plain: Mapping[str, Any], here: Path) -> Commands:
    unknown = sorted(set(plain) - set(_KEYS))
    if unknown:
        raise UsageError(f"there is no setting {unknown[0]!r}; known: {', '.join(_KEYS)}")
    if "backup" not in plain:
        raise UsageError("the command `backup` is missing")
    seconds = plain.get("seconds")
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (number and seconds > 0):
        raise UsageError(f"seconds must be a number above 0, not {seconds!r}")
    return Commands(
        backup=_arguments(plain, "backup"),
        restore=_arguments(plain, "restore"),
        verify=_arguments(plain, "verify"),
        declared=_capabilities(plain),
        seconds=None if seconds is None else float(seconds),
        secrets=_strings(plain, "secrets"),
        here=here,
    )


def _arguments(plain: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = plain.get(key)
    if value is None:
        return ()
    arguments = split_line(value) if isinstance(value, str) else _strings(plain, key)
    if not arguments:
        raise UsageError(f"{key} must be a command line, or a list of arguments, not {value!r}")
    return arguments


def _strings(plain: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = plain.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UsageError(f"{key} must be a list of strings, not {value!r}")
    return tuple(value)


def _capabilities(plain: Mapping[str, Any]) -> frozenset[Capability] | None:
    if "capabilities" not in plain:
        return None
    try:
        return frozenset(Capability(name) for name in _strings(plain, "capabilities"))
    except ValueError as error:
        known = ", ".join(Capability)
        raise UsageError(f"capabilities: {error}; known: {known}") from None
