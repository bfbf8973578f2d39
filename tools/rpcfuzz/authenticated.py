"""A whole server that asks its clients who they are: tokens of NTLM and SPNEGO, and signatures.

Challenges are predictable here and time stands still, so that a recorded proof is good again.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from types import ModuleType
from typing import ClassVar, Final
from unittest import mock

from eseback.calls import CALL_BY_METHOD
from eseback.constants import INFORMATION_STORE
from eseback.rpc import (
    BACKUP_INTERFACE,
    NDR32,
    AuthLevel,
    AuthType,
    BindAccepted,
    ClientConnection,
    ContextOffer,
    Credentials,
    Initiator,
    Limits,
    ntlm_acceptor,
)
from eseback.rpc.backup_calls import encode_arguments
from esesim.rpc import Authentication, RpcServer, User, Users, association, serve
from esesim.server import SimulatedServer

from .conversations import SERVER, Script
from .mutations import Case
from .scripted import ServerTarget
from .target import Exchange

_NOW: Final = 1_100_000_000.0  # seconds since 1970
_USERS: Final = (("backup", True), ("guest", False))
_PASSWORD: Final = "secret"
_ROWS: Final = (
    (AuthType.NTLM, AuthLevel.CONNECT, "backup"),
    (AuthType.NTLM, AuthLevel.INTEGRITY, "backup"),
    (AuthType.NTLM, AuthLevel.PRIVACY, r"EXAMPLE\backup"),
    (AuthType.SPNEGO, AuthLevel.INTEGRITY, "backup"),
    (AuthType.SPNEGO, AuthLevel.PRIVACY, "guest"),
    (AuthType.NTLM, AuthLevel.PACKET, "nobody"),
)


def _script(auth_type: AuthType, level: AuthLevel, user: str, *, auth3: bool) -> Script:
    """Bind, prove who one is, and make a few calls of one and of several fragments."""
    core = ClientConnection(Limits(fragment_max=1432))
    initiator = Initiator(Credentials(user, _PASSWORD, auth_type, level))
    offer = ContextOffer(0, BACKUP_INTERFACE.syntax, (NDR32,))
    message = core.bind([offer], token=initiator.first(), header_signing=True)
    while True:
        core.receive_data((yield b"".join(message)))
        event = core.next_event()
        token = event.token if isinstance(event, BindAccepted) else None
        if token is None or initiator.is_done:
            break
        answer = initiator.step(token.token)
        if answer is None:
            break
        if auth3 and auth_type == AuthType.NTLM:
            yield b"".join(core.auth3(answer))
            break
        message = core.alter([offer], answer)
    if core.state.value == "open":
        yield from _calls(core, initiator)


def _calls(core: ClientConnection, initiator: Initiator) -> Generator[bytes, bytes, None]:
    core.set_security(initiator.security())
    for method, arguments in (
        ("get_nodes", (None,)),
        ("get_registered", (SERVER, "x" * 2000, 0)),
        ("backup_prepare", (SERVER, INFORMATION_STORE)),
        ("backup_end", (b"\0\0\0\0" + b"\1" * 16,)),
    ):
        stub = encode_arguments(method, arguments)
        opnum = CALL_BY_METHOD[method].opnum or 0
        core.receive_data((yield b"".join(core.request(0, opnum, [stub])[1])))
        core.next_event()
        if core.state.value != "open":
            return


class AuthenticatedTarget(ServerTarget):
    """A server with users. Only what clients say is recorded: answers are signed."""

    name: ClassVar[str] = "auth"
    _RANDOM: ClassVar[tuple[ModuleType, ...]] = (association, ntlm_acceptor)

    def __init__(self) -> None:
        users = (User.make("", name, _PASSWORD, may) for name, may in _USERS)
        self._authentication = Authentication(Users(users))
        # The clock is a default argument.
        make = ntlm_acceptor.NtlmAcceptor.__init__
        self._clock = mock.patch.object(make, "__defaults__", (lambda: _NOW,))
        self._clock.start()
        super().__init__()

    def close(self) -> None:
        """See ServerTarget."""
        super().close()
        self._clock.stop()

    def _make_server(self, simulated: SimulatedServer) -> RpcServer:
        return serve(simulated, limits=self.limits, authentication=self._authentication)

    def scripts(self) -> Iterable[Script]:
        """Every provider and level, the last token in an alter_context or in an auth3."""
        return [_script(*row, auth3=auth3) for row in _ROWS for auth3 in (False, True)]

    def corpus(self) -> list[Case]:
        """What clients said."""
        exchanges: list[Exchange] = self.record()
        return [exchange.said for exchange in exchanges]
