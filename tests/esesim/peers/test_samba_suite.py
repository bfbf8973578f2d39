"""Samba's own tests of the raw protocol, which Windows passes too, against our server.

All of `samba.tests.dcerpc.raw_protocol` but what is left out below, for a reason that is given. The
server has what the suite expects of any: the management interface, the endpoint mapper, and an
interface with the UUID of netlogon, of which one operation is called.
"""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest

from eseback.rpc import AuthLevel, Limits, ServerConnection, SyntaxId, make_interface
from esesim.rpc import Authentication, RpcServer, ServerLimits, Service, User, Users, connection
from tests.esesim.peers.samba_peer import debian_environment
from tests.support.tools import DEBIAN_PYTHON

pytestmark = pytest.mark.needs_tool("samba-tests")

SCRIPT = Path(__file__).with_name("samba_suite.py")
ENVIRONMENT = {
    "SERVER": "127.0.0.1",
    "TARGET_HOSTNAME": "127.0.0.1",
    "DOMAIN": "EXAMPLE",
    "REALM": "EXAMPLE",
    "USERNAME": "backup",
    "PASSWORD": "secret",
}
NETLOGON = make_interface(
    "netlogon", SyntaxId(uuid.UUID("12345678-1234-abcd-ef00-01234567cffb"), 1), ()
)
SERVER_REQ_CHALLENGE = 4
PASSED_MIN = 142  # of 194 in Samba 4.17

# Patterns of names, each with the reason.
LEFT_OUT = {
    "krb5": "Kerberos is not offered",
    "lsa_multi_auth": "the pipe \\lsarpc of an SMB server is needed",
    "assoc_group_(ok2|fail3)": "the pipe \\lsarpc of an SMB server is needed",
    "multiple_auth|Next2$|Same2$|_reauth_": "one security context serves a connection",
    "bind_time_sec_ctx": "one security context serves a connection, and no more is agreed on",
    "orphaned_request_after_first": (
        "Windows goes on with an orphaned call whose last fragment has not come; C706 drops it"
    ),
    "no_ndr64$": "Windows refuses the second of two contexts for one interface in one PDU",
    "lastSame111": (
        "Windows takes no notice of context, operation and provider in later fragments of a call; "
        "here all fragments of a call have to agree"
    ),
    "pad_fail_auth3": "Windows answers wrong padding of an auth3 with `remote no memory`",
    "spnego_call_bind": (
        "Windows refuses the level CALL; MS-RPCE 2.2.1.1.8 has it treated as PACKET, as we do"
    ),
    "change_(abstract|transfer|auth_type2)": "two mistakes in one PDU: another one is named first",
    "fragmented_requests0[23]": "01 with another allocation hint: they pass, and take two seconds",
    "MPX_middle_(auth|all)": "two mistakes in one PDU: another one is named first",
    "(packet|integrity|privacy)_bind_none|privacy_bind_sign": (
        "a client whose NTLM did not ask for signatures: refused at once, with another status"
    ),
}


@pytest.fixture
def on_port_135(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections say that they belong to port 135: the suite checks it, and knows no other."""

    class On135(ServerConnection):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **{**more, "secondary_address": "135"})

    monkeypatch.setattr(connection, "ServerConnection", On135)


@pytest.mark.usefixtures("on_port_135")
def test_samba_finds_nothing_wrong() -> None:
    netlogon = Service(NETLOGON, {SERVER_REQ_CHALLENGE: lambda _, __: [bytes(12)]})
    user = User.make(ENVIRONMENT["DOMAIN"], ENVIRONMENT["USERNAME"], ENVIRONMENT["PASSWORD"])
    with RpcServer(
        [netlogon],
        limits=ServerLimits(call=Limits(fragment_max=5840)),  # what Windows takes at most
        authentication=Authentication(Users([user]), AuthLevel.NONE),
    ) as server:
        host, port = server.address
        server.address = (host, 135)  # where the endpoint mapper sends clients
        done = subprocess.run(
            [DEBIAN_PYTHON, str(SCRIPT)],
            input=json.dumps({"port": port, "leave_out": "|".join(LEFT_OUT)}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**debian_environment(), **ENVIRONMENT},
        )
    assert done.returncode == 0, done.stderr[-2000:]
    # Some tests print the PDUs that they send.
    found = json.loads(done.stdout[done.stdout.rindex('{"passed"') :])
    assert found["failed"] == {}
    assert len(found["passed"]) >= PASSED_MIN
    for pattern in LEFT_OUT:
        assert any(re.search(pattern, name) for name in found["left_out"]), pattern
