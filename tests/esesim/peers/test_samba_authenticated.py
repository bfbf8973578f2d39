"""Samba's client proves who it is: NTLM and SPNEGO, at every level, in both byte orders.

It verifies our signatures and undoes our sealing, which Impacket does not. It can only authenticate
on an interface that it knows: so the server has one with the UUID of Samba's rpcecho.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from eseback.rpc import AuthLevel, SyntaxId, make_interface, operation
from eseback.rpc.ndr import ULONG
from eseback.rpc.ndr_arrays import BYTES
from eseback.rpc.ndr_struct import Count
from esesim.rpc import Authentication, RpcServer, Service, User, Users, plain
from tests.esesim.peers.samba_peer import NtStatusError, SambaPeer, binding, samba
from tests.esesim.peers.tshark import dissect
from tests.support.capture import Relay, count_types, pdus

pytestmark = pytest.mark.needs_tool("samba")

RPCECHO = make_interface(
    "rpcecho",
    SyntaxId(uuid.UUID("60a15ec5-4de8-11d7-a637-005056a20182"), 1),
    (
        operation(0, "AddOne", (("in_data", ULONG),), (("out_data", ULONG),)),
        operation(1, "EchoData", (("len", Count("data")), ("data", BYTES)), (("data", BYTES),)),
    ),
)
WHO = {"user": "backup", "password": "pass word ä"}
PLAIN = {"user": "tshark", "password": "ASCII"}  # tshark turns any other into nonsense
LOGON_FAILURE = 0xC000006D
ACCESS_DENIED = 0xC0000022
TEXT = b"written in clear, and read by others " * 600  # several fragments
ECHOED = (b"12345678" * 8, TEXT)

LEVELS = (("connect",), ("packet",), ("sign",), ("seal",), ("seal", "bigendian"))
OPTIONS = [(*level, provider) for provider in ("ntlm", "spnego") for level in LEVELS]


@pytest.fixture(scope="module")
def peer() -> Iterator[SambaPeer]:
    with samba() as found:
        yield found


@pytest.fixture(scope="module")
def server() -> Iterator[RpcServer]:
    """A server that lets in two users only, and echoes."""
    add_one, echo_data = RPCECHO.operations.values()
    handlers = {
        0: plain(add_one, lambda _, number: (number + 1,)),
        1: plain(echo_data, lambda _, data: (data,)),
    }
    users = Users([User.make("", who["user"], who["password"], True) for who in (WHO, PLAIN)])
    authentication = Authentication(users, AuthLevel.CONNECT)
    with RpcServer([Service(RPCECHO, handlers)], authentication=authentication) as found:
        yield found


@pytest.mark.parametrize("options", OPTIONS, ids="-".join)
def test_every_level(peer: SambaPeer, server: RpcServer, options: tuple[str, ...]) -> None:
    with Relay(server.address) as relay:
        peer.do("echo", binding=binding(relay.address, *options), **WHO)
        assert peer.do("add_one", number=0x01020304) == 0x01020305
        for data in (b"", b"\1\2\3", TEXT, b"once more"):
            assert peer.do("echo_data", data=data.hex()) == data.hex()
        with pytest.raises(NtStatusError, match="procedure number is out of range"):
            peer.request(9, b"")
        peer.do("close")
    (conversation,) = relay.conversations
    for from_client in (True, False):
        stream = conversation.stream(from_client)
        assert (TEXT[:30] in stream) is ("seal" not in options)
        calls = [one for one in pdus(stream) if one[2] in (0, 2)]
        assert {one[4] for one in calls} == {0 if from_client and "bigendian" in options else 16}
        assert all(one[10:12] != b"\0\0" for one in calls) is ("connect" not in options)


@pytest.mark.parametrize("provider", ["ntlm", "spnego"])
def test_the_wrong_password(peer: SambaPeer, server: RpcServer, provider: str) -> None:
    where = binding(server.address, "sign", provider)
    for wrong in (WHO | {"password": "another"}, WHO | {"user": "nobody"}):
        with pytest.raises(NtStatusError) as caught:
            peer.do("echo", binding=where, **wrong)
            peer.request(0, b"x")
        assert caught.value.status in (LOGON_FAILURE, ACCESS_DENIED)


def test_nobody_in_particular(peer: SambaPeer, server: RpcServer) -> None:
    syntax = RPCECHO.syntax
    peer.do("connect", binding=binding(server.address), uuid=str(syntax.uuid), version=1)
    with pytest.raises(NtStatusError) as caught:
        peer.request(0, b"x")
    assert caught.value.status == ACCESS_DENIED


@pytest.mark.needs_tool("tshark")
@pytest.mark.parametrize(
    "options", [("sign", "ntlm"), ("seal", "ntlm"), ("seal", "spnego")], ids="-".join
)
def test_tshark_unseals_our_answers(
    peer: SambaPeer, server: RpcServer, tmp_path: Path, options: tuple[str, ...]
) -> None:
    with Relay(server.address) as relay:
        peer.do("echo", binding=binding(relay.address, *options), **PLAIN)
        for data in ECHOED:
            assert peer.do("echo_data", data=data.hex()) == data.hex()
        peer.do("close")
    path = relay.write(tmp_path / "sealed.pcap", one_by_one=True)
    found = dissect(path, relay.address[1], "-o", f"ntlmssp.nt_password:{PLAIN['password']}")
    assert found.types() == count_types(relay.conversations)
    answers = found.without_requests()
    assert answers.complaints() == []
    # The packet with the last fragment of a call has the whole stub.
    clear = answers.values("dcerpc.decrypted_stub_data")
    stubs = [(len(data).to_bytes(4, "little") + data).hex() for data in ECHOED]
    if "sign" in options:
        assert clear == answers.values("dcerpc.encrypted_stub_data") == []
    elif "spnego" in options:
        assert stubs[0] in clear  # tshark loses its way in the key stream of SPNEGO, also Samba's
    else:
        assert set(stubs) <= set(clear)
