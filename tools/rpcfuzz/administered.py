"""A whole server with the administration interface: a client that may do anything to it, and does.

An administrator may have as much work done as he likes, which would take for ever here: so users
work a few steps at most, and not while time passes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final
from unittest import mock

from eseback.rpc import BACKUP_INTERFACE
from eseback.rpc.admin import ADMIN_INTERFACE, ADMIN_OPERATIONS, ALL_GENERATIONS
from esesim.rpc import RpcServer, adminservice, serve
from esesim.rpc.control import Control
from esesim.server import SimulatedServer

from .conversations import DISMOUNTED, GROUP, Script, Speaker
from .scripted import ServerTarget

_STEPS_MAX: Final = 3
_PLAN: Final = '{"rules": [{"action": "drop", "call": "backup_open_file"}]}'
_GROUP_2: Final = DISMOUNTED[:2]
_CALLS: Final[tuple[tuple[tuple[Any, ...], ...], ...]] = (
    (
        ("get_computers", 0, 10),
        ("get_state", None, 0, 10),
        ("set_transcript", None, 1),
        ("run_workload", None, GROUP, 2),
        ("get_events", None, 0, 5),
        ("get_ledger", None, 0, 5),
        ("get_journal", None, GROUP, "G1S1", ALL_GENERATIONS, 0, 5),
        ("get_transcript", None, 0, 0, 5),
        ("set_faults", None, _PLAN),
        ("get_faults", None, 0, 5),
    ),
    (
        ("take_snapshot", None),
        ("dismount", None, GROUP, "G1S1"),
        ("mount", None, GROUP, "G1S1"),
        ("set_overwritable", None, _GROUP_2, DISMOUNTED, 0),
        ("crash", None, 7),
        ("restore_snapshot", None, 1),
        ("delete_snapshot", None, 1),
        ("destroy_store", None, _GROUP_2, DISMOUNTED),
        ("destroy_group", None, _GROUP_2),
        ("reset", None),
    ),
)


def _script(calls: Iterable[tuple[Any, ...]]) -> Script:
    speaker = Speaker()
    yield from speaker.bind((ADMIN_INTERFACE, BACKUP_INTERFACE))
    for name, *arguments in calls:
        made = ADMIN_OPERATIONS[name]
        yield from speaker.plain(0, made.opnum, bytes(made.request.encode(arguments)))


def _work(control: Control, group: str, steps: int) -> None:
    control.run_workload(group, min(steps, _STEPS_MAX))


class AdministeredTarget(ServerTarget):
    """A server whose clients are administrators."""

    name: ClassVar[str] = "admin"
    _MEMORY_MAX: ClassVar[int] = 24 << 20  # a few snapshots of the server, and servers after those

    def __init__(self) -> None:
        less: dict[str, Any] = {"run_workload": _work, "set_rate": lambda *_: None}
        self._less = mock.patch.dict(adminservice._WITHOUT_RESULT, less)
        self._less.start()
        super().__init__()

    def close(self) -> None:
        """See ServerTarget."""
        super().close()
        self._less.stop()

    def _make_server(self, simulated: SimulatedServer) -> RpcServer:
        return serve(simulated, limits=self.limits, admin=True)

    def scripts(self) -> Iterable[Script]:
        """What an administrator says: looks at everything, and breaks everything."""
        return [_script(calls) for calls in _CALLS]

    def _check_backups(self) -> None:
        """Crashes and snapshots put other servers in the place of this one."""
