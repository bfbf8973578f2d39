"""The server's core alone, with operations that do nothing: quick, and it can be made to sign."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from eseback.rpc import (
    BACKUP_INTERFACE,
    ENDPOINT_MAPPER,
    MANAGEMENT,
    NDR32,
    NEED_DATA,
    AuthContinued,
    AuthLevel,
    AuthToken,
    AuthType,
    BindRequested,
    Buffer,
    CallRefused,
    ClientConnection,
    ConnectionClosed,
    ContextOffer,
    FaultStatus,
    RemoteProtocolError,
    RequestReceived,
    Security,
    ServerConnection,
    ServerEvent,
)

from .mutations import Case
from .target import HELD_MAX, LIMITS, Exchange, Finding, peak_of

_INTERFACES: Final = (BACKUP_INTERFACE, MANAGEMENT, ENDPOINT_MAPPER)
_GROUP: Final = 1
_REFUSED, _MORE = b"no", b"more"  # tokens that are refused, and that are not the last ones
SIGNATURE: Final = b"sign"
_PROVIDERS: Final = (AuthType.NTLM, AuthType.SPNEGO)


class PretendedSecurity:
    """A security context that takes any signature but one of zeros, and seals nothing."""

    signature_size = len(SIGNATURE)

    def __init__(self, token: AuthToken) -> None:
        self.auth_type, self.context_id = token.auth_type, token.context_id
        self.level = int(AuthLevel.PACKET if token.level == AuthLevel.CALL else token.level)

    def protect(
        self, header: Buffer, body: Sequence[Buffer], trailer: Buffer
    ) -> tuple[Sequence[Buffer], bytes]:
        """See `Security`."""
        return body, SIGNATURE

    def unprotect(self, header: Buffer, body: Buffer, trailer: Buffer, signature: Buffer) -> Buffer:
        """See `Security`."""
        self.verify(header, [body], trailer, signature)
        return body

    def verify(
        self, header: Buffer, body: Sequence[Buffer], trailer: Buffer, signature: Buffer
    ) -> None:
        """See `Security`."""
        if not any(signature):
            raise RemoteProtocolError("the signature is wrong", FaultStatus.ACCESS_DENIED)


class CoreTarget:
    """`ServerConnection`. A case is what a client sends; every other call is answered late."""

    name: ClassVar[str] = "core"
    framed: ClassVar[bool] = True
    watch_every: ClassVar[int] = 1
    measure_every: ClassVar[int] = 50
    size_max: ClassVar[int] = 1 << 14

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self._corpus = [exchange.said for exchange in exchanges]
        self._corpus += [_authenticated(level) for level in (2, 3, 5, 6)]

    def corpus(self) -> list[Case]:
        """What clients said, and conversations that are signed."""
        return list(self._corpus)

    def refresh(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is held."""

    def measure(self, case: Case) -> None:
        """Bytes of memory: those received, those of incomplete calls, and answers."""
        peak, size = peak_of(lambda: self.run(case)), sum(map(len, case))
        if peak > 300_000 + 2 * HELD_MAX + 4 * size:
            raise Finding(f"{peak} bytes of memory for {size} bytes received")

    def run(self, case: Case) -> None:
        """Let it come in."""
        core = ServerConnection(
            [interface.syntax for interface in _INTERFACES],
            LIMITS,
            secondary_address="135",
            auth_types=_PROVIDERS,
        )
        for message in case:
            if not message:
                continue
            if not core.buffered and (request := core.take_request(message)) is not None:
                self._on_event(core, request)
                continue
            core.receive_data(message)
            try:
                while (event := core.next_event()) is not NEED_DATA:
                    self._on_event(core, event)
                    self._check(core)
            except RemoteProtocolError as error:
                self._check_error(core, error)
                return
            self._check(core)
        core.receive_data(b"")
        if not isinstance(core.next_event(), ConnectionClosed):
            raise Finding("the end of the stream is no end")

    @staticmethod
    def _on_event(core: ServerConnection, event: ServerEvent) -> None:
        if isinstance(event, BindRequested):
            group = core.assoc_group_id or _GROUP
            token = event.token
            if token is None:
                core.accept(group)
            elif token.token.startswith(_MORE):
                core.accept(group, b"go on", more=True)
            else:
                core.accept(group, b"done", security=PretendedSecurity(token))
        elif isinstance(event, AuthContinued):
            if event.token.token.startswith(_REFUSED):
                core.refuse_security()
            else:
                core.finish_security(PretendedSecurity(event.token))
        elif isinstance(event, RequestReceived):
            if len(event.stub) > LIMITS.call_max:
                raise Finding(f"a call of {len(event.stub)} bytes")
            if not core.concurrent or event.call_id % 2 or core.outstanding > 2:
                core.send_response(event.call_id, [event.stub])
        elif isinstance(event, CallRefused) and len(event.answer) != 1:
            raise Finding("a refusal that is not one fault")

    @staticmethod
    def _check(core: ServerConnection) -> None:
        """What holds whatever has come."""
        if core.buffered > HELD_MAX:
            raise Finding(f"{core.buffered} bytes held, at most {HELD_MAX}")
        if core.outstanding > LIMITS.outstanding_max:
            raise Finding(f"{core.outstanding} calls outstanding")
        if len(core.contexts) > LIMITS.contexts_max:
            raise Finding(f"{len(core.contexts)} presentation contexts")
        if not 1432 <= core.fragment_max <= LIMITS.fragment_max or core.fragment_max % 8:
            raise Finding(f"fragments of {core.fragment_max} bytes")

    @staticmethod
    def _check_error(core: ServerConnection, error: RemoteProtocolError) -> None:
        """An error ends the connection, with one fault or bind_nak."""
        if core.state.value != "closed" or not str(error):
            raise Finding(f"an error that leaves the connection {core.state.value}, or is wordless")
        if len(error.answer) != 1 or error.answer[0][2] not in (3, 13):
            raise Finding(f"an error that is answered with {error.answer!r}")


def _authenticated(level: int) -> Case:
    """A conversation with an authentication in three steps, and calls in several fragments."""
    token = AuthToken(AuthType.NTLM, level, 7, _MORE)
    client = ClientConnection(LIMITS)
    server = ServerConnection([BACKUP_INTERFACE.syntax], LIMITS, auth_types=_PROVIDERS)
    offers = [ContextOffer(0, BACKUP_INTERFACE.syntax, (NDR32,))]
    said = [b"".join(client.bind(offers, token=token, header_signing=True))]
    server.receive_data(said[0])
    server.next_event()
    client.receive_data(b"".join(server.accept(_GROUP, b"go on", more=True)))
    client.next_event()
    last = AuthToken(AuthType.NTLM, level, 7, b"last")
    said.append(b"".join(client.auth3(last)))
    security: Security = PretendedSecurity(last)
    client.set_security(security)
    for size in (0, 100, 7000):
        _, message = client.request(0, 0, [bytes(size)], maybe=True)
        said.append(b"".join(message))
    return tuple(said)
