"""What a program is told about a job, and what it answers: two JSON files and the environment.

The task says all that :class:`eseconform.task.Task` does; the result is a
:class:`eseconform.task.Claim`. Both carry the number of their schema. A program that writes no
result claims success by exit status 0, and failure by any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, frozen

from eseconform.cmdfound import saved_files
from eseconform.cmdprocess import Ended
from eseconform.cmdspec import FLAGS, PLACEHOLDERS, Commands, Values, variable_of
from eseconform.cmdwatch import Received
from eseconform.task import Claim, ClaimError, Outcome, SavedFile, Task, as_claim

SCHEMA: Final = 1
RESULT_BYTES_MAX: Final = 64 << 20
_TASK: Final = "task.json"
_RESULT: Final = "result.json"
_FILES: Final = "server"


@frozen
class Desk:
    """Where a job and its program leave things for each other; beside the folder of the set.

    Attributes:
        task: the job.
        endpoint: where the server is, ``rpc:HOST:PORT``.
        folder: holds both JSON files.
        files: what stands for the server's drives.
    """

    task: Task
    endpoint: str
    folder: Path = field()

    @folder.default
    def _beside_the_set(self) -> Path:
        return folder_beside(self.task.set_folder)

    @property
    def result(self) -> Path:
        """Where the program writes its answer."""
        return self.folder / _RESULT

    @property
    def files(self) -> Path:
        """Below it the server's drives: ``C:\\a`` is ``FILES/C/a``."""
        return self.folder / _FILES

    def lay_out(self) -> None:
        """Make the folders and write the task. Nothing of an earlier job may be there."""
        self.folder.mkdir(parents=True)
        if self.task.files is not None:
            self.files.mkdir()
        text = json.dumps(self.as_json(), indent=1, ensure_ascii=False)
        (self.folder / _TASK).write_text(text + "\n", "utf-8")

    def as_json(self) -> dict[str, Any]:
        """The content of the task file."""
        task = self.task
        host, port = _host_and_port(self.endpoint)
        return {
            "schema": SCHEMA,
            "kind": str(task.kind),
            "endpoint": self.endpoint,
            "host": host,
            "port": port,
            "server": task.server,
            "annotation": task.annotation,
            "groups": list(task.groups),
            "databases": list(task.databases),
            "set_folder": str(task.set_folder.absolute()),
            "earlier_sets": [
                {"folder": str(folder.absolute()), "set": named_set(folder)}
                for folder in task.earlier_sets
            ],
            "target": task.target,
            "play_forward": task.play_forward,
            "mount": task.mount,
            "parallel": task.parallel,
            "files": None if task.files is None else str(self.files.absolute()),
            "result": str(self.result.absolute()),
        }

    def values(self, commands: Commands) -> Values:
        """The values of the placeholders."""
        task, plain = self.task, self.as_json()
        earlier = [str(folder.absolute()) for folder in task.earlier_sets]
        flags = {name: getattr(task, name) for name in FLAGS if name != "no_mount"}
        flags["no_mount"] = not task.mount
        values: dict[str, Sequence[str]] = {
            **commands.constants(),
            **{name: (str(plain[name]),) for name in ("endpoint", "host", "port", "kind")},
            **{name: (str(plain[name]),) for name in ("server", "annotation", "result")},
            **{flag: ("",) if is_set else () for flag, is_set in flags.items()},
            "group": task.groups,
            "database": task.databases,
            "set": (plain["set_folder"],),
            "earlier": earlier,
            "previous": earlier[-1:],
            "target": () if task.target is None else (task.target,),
            "files": () if task.files is None else (plain["files"],),
            "task": (str((self.folder / _TASK).absolute()),),
        }
        assert set(values) == set(PLACEHOLDERS), "each placeholder has its values"
        return values

    def claim(self, ended: Ended, opened: Mapping[str, Received]) -> Claim:
        """What the program claims by its result, or else by its exit status.

        Args:
            ended: how the program ended.
            opened: the files that it opened on the server, by their names there.

        Raises:
            ClaimError: the result is nonsense, or contradicts the exit status.
        """
        if self.result.exists():
            claim = self._claim_of_result()
            if claim.outcome is Outcome.SUCCESS and ended.status:
                raise ClaimError(f"its result says success, its exit status is {ended.status}")
        else:
            outcome = Outcome.FAILURE if ended.status else Outcome.SUCCESS
            claim = Claim(outcome, files=saved_files(self.task.set_folder, opened))
        if claim.outcome is Outcome.FAILURE and not claim.reason and ended.status:
            claim = evolve(claim, reason=ended.reason)
        return claim

    def _claim_of_result(self) -> Claim:
        plain = _read_json(self.result)
        if not isinstance(plain, dict):
            raise ClaimError(f"its result must be a JSON object, not {type(plain).__name__}")
        schema = plain.get("schema", SCHEMA)
        if schema != SCHEMA:
            raise ClaimError(f"its result is of schema {schema!r}; this harness reads {SCHEMA}")
        claim = as_claim(plain)
        folder = self.task.set_folder.absolute()
        files = [
            SavedFile(file.name, file.size, None if file.path is None else folder / file.path)
            for file in claim.files
        ]
        return Claim(claim.outcome, tuple(files), claim.restorable_to, claim.reason)


def folder_beside(set_folder: Path) -> Path:
    """The folder for the files about the job that made a set."""
    return set_folder.with_name(f"{set_folder.name}.job")


def named_set(set_folder: Path) -> str | None:
    """How the program called an earlier set, if it did: its ``set`` is handed back as it is."""
    try:
        plain = _read_json(folder_beside(set_folder) / _RESULT)
    except ClaimError:
        return None
    name = plain.get("set") if isinstance(plain, dict) else None
    return name if isinstance(name, str) else None


def environment(values: Values) -> dict[str, str]:
    """The values as variables, several of a kind on lines of their own; a flag is 1 or empty."""
    texts = {
        name: "1" if name in FLAGS and each else "\n".join(each) for name, each in values.items()
    }
    return {variable_of(name): text for name, text in texts.items()}


def _host_and_port(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.partition(":")[2].rpartition(":")
    return host.strip("[]"), int(port)


def _read_json(path: Path) -> object:
    try:
        if not path.is_file():
            raise ClaimError("its result is no file")
        if path.stat().st_size > RESULT_BYTES_MAX:
            raise ClaimError(f"its result is larger than {RESULT_BYTES_MAX >> 20} MiB")
        plain: object = json.loads(path.read_bytes())
    except OSError as error:
        raise ClaimError(f"its result can't be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ClaimError(f"its result is no JSON: {error}") from None
    return plain
