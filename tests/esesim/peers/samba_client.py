"""Samba's DCE/RPC client, driven line by line: run by Debian's own Python, for which it is built.

Each line of standard input is a JSON object with "do" and what that needs; each line of standard
output is the result, or {"nt": NTSTATUS, "text": ...} for what Samba raised.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from samba import NTSTATUSError, WERRORError, credentials, ndr, param
from samba.dcerpc import base, echo, epmapper, mgmt, misc


class Client:
    """One connection at a time."""

    def __init__(self) -> None:
        self.settings = param.LoadParm()
        self.anonymous = credentials.Credentials()
        self.anonymous.set_anonymous()
        self.connection: Any = None

    def do_connect(self, binding: str, uuid: str, version: int) -> None:
        """Bind to any interface, without credentials."""
        self.connection = base.ClientConnection(
            binding, (uuid, version), self.settings, self.anonymous
        )

    def do_echo(self, binding: str, user: str, password: str) -> None:
        """Bind to rpcecho with credentials: the plain connection has none of libdcerpc's providers
        in its table, and crashes."""
        who = credentials.Credentials()
        who.set_username(user)
        who.set_password(password)
        who.set_domain("WORKGROUP")
        who.set_workstation("CLIENT")
        who.set_kerberos_state(credentials.DONT_USE_KERBEROS)
        self.connection = echo.rpcecho(binding, self.settings, who)

    def do_request(self, opnum: int, stub: str) -> str:
        """Make a call with this stub."""
        found: bytes = self.connection.request(opnum, bytes.fromhex(stub))
        return found.hex()

    def do_echo_data(self, data: str) -> str:
        """Operation 1 of rpcecho, with Samba's NDR."""
        return bytes(self.connection.EchoData(list(bytes.fromhex(data)))).hex()

    def do_add_one(self, number: int) -> int:
        """Operation 0 of rpcecho."""
        found: int = self.connection.AddOne(number)
        return found

    def do_close(self) -> None:
        """Let the connection go."""
        self.connection = None

    def do_management(self, binding: str) -> dict[str, Any]:
        """All five operations."""
        client = mgmt.mgmt(binding, self.settings, self.anonymous)
        return {
            "interfaces": [
                [str(entry.id.uuid), entry.id.if_version] for entry in client.inq_if_ids().if_id
            ],
            "statistics": list(client.inq_stats(4, 0).statistics),
            "listening": list(client.is_server_listening()),
            "stop": _refusal(client.stop_server_listening),
            "name": _refusal(lambda: client.inq_princ_name(10, 64)),
        }

    def do_lookup(self, binding: str) -> list[Any]:
        """Everything that the endpoint mapper knows."""
        client = epmapper.epmapper(binding, self.settings, self.anonymous)
        _, entries, result = client.epm_Lookup(0, None, None, 1, misc.policy_handle(), 100)
        return [
            result,
            [[e.annotation, *_where(e.tower.tower)] for e in entries],
        ]

    def do_map(self, binding: str, uuid: str, version: int) -> list[Any]:
        """Where an interface is, as the endpoint mapper tells."""
        client = epmapper.epmapper(binding, self.settings, self.anonymous)
        syntax = misc.ndr_syntax_id()
        syntax.uuid, syntax.if_version = misc.GUID(uuid), version
        asked = epmapper.epm_twr_t()
        asked.tower = _tower(syntax)
        _, towers, result = client.epm_Map(misc.GUID(), asked, misc.policy_handle(), 4)
        return [result, [_where(tower.twr.tower) for tower in towers]]


def _refusal(call: Callable[[], Any]) -> int:
    """The Win32 error that a call ends with."""
    try:
        call()
    except WERRORError as error:
        status: int = error.args[0]
        return status
    return 0


def _floor(protocol: int, left: bytes = b"", right: bytes | None = None, **rest: Any) -> Any:
    floor = epmapper.epm_floor()
    left_side = epmapper.epm_lhs()
    left_side.protocol, left_side.lhs_data = protocol, left
    floor.lhs = left_side
    if right is not None:
        floor.rhs = epmapper.epm_rhs_uuid()
        floor.rhs.unknown = right
    for name, value in rest.items():
        setattr(floor.rhs, name, value)
    return floor


def _tower(interface: Any) -> Any:
    asked, transfer = (ndr.ndr_pack(s) for s in (interface, base.transfer_syntax_ndr()))
    floors = [
        _floor(epmapper.EPM_PROTOCOL_UUID, asked[:18], asked[18:]),
        _floor(epmapper.EPM_PROTOCOL_UUID, transfer[:18], transfer[18:]),
        _floor(epmapper.EPM_PROTOCOL_NCACN, minor_version=0),
        _floor(epmapper.EPM_PROTOCOL_TCP, port=135),
        _floor(epmapper.EPM_PROTOCOL_IP, ipaddr="0.0.0.0"),
    ]
    tower = epmapper.epm_tower()
    tower.num_floors, tower.floors = len(floors), floors
    return tower


def _where(tower: Any) -> list[Any]:
    floors = tower.floors
    return [floors[0].lhs.lhs_data.hex(), floors[3].rhs.port, floors[4].rhs.ipaddr]


def main() -> None:
    """Until the end of standard input."""
    client = Client()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            result = getattr(client, f"do_{asked.pop('do')}")(**asked)
            answer = {"result": result}
        except NTSTATUSError as error:
            answer = {"nt": error.args[0], "text": error.args[1]}
        except Exception as error:
            answer = {"mistake": repr(error)}  # of this script; the test that asked for it fails
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
