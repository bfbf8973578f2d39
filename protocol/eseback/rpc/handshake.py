"""The client's way to a connection that it can call on: the bind, and proving who we are.

What is sent and awaited is the caller's business, as is what to say of a server that refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from eseback.rpc.connection_client import ClientConnection
from eseback.rpc.errors import RemoteProtocolError
from eseback.rpc.events import BindAccepted
from eseback.rpc.initiator import Credentials, Initiator
from eseback.rpc.pdu import ContextOffer
from eseback.rpc.security import Buffer
from eseback.rpc.status import BindFeature

__all__ = ["bind_as"]

_STEPS_MAX: Final = 8  # of an authentication; NTLM takes two, SPNEGO three


def bind_as(
    credentials: Credentials | None,
    connection: ClientConnection,
    offer: ContextOffer,
    exchange: Callable[[list[Buffer]], BindAccepted],
    *,
    assoc_group_id: int = 0,
    concurrent: bool = False,
    features: BindFeature = BindFeature.NONE,
) -> bool:
    """Bind, and prove who we are in as many steps as it takes; calls are protected from then on.

    credentials: None for nobody in particular. exchange: sends a bind or alter_context and waits
    for its answer; raises if that is another one. False: the server does not have the interface
    that is offered, and nothing was proved. Raises what `exchange` does, MissingLibraryError,
    RemoteProtocolError for an authentication that leads nowhere, AuthenticationFailed.
    """
    initiator = None if credentials is None else Initiator(credentials)
    bind = connection.bind(
        [offer],
        assoc_group_id=assoc_group_id,
        token=None if initiator is None else initiator.first(),
        concurrent=concurrent,
        header_signing=initiator is not None,
        features=features,
    )
    event = exchange(bind)
    if offer.context_id not in event.accepted:
        return False
    if initiator is None:
        return True
    for _ in range(_STEPS_MAX):
        if event.token is None:
            raise RemoteProtocolError("the server leaves the authentication unanswered")
        token = initiator.step(event.token.token)
        if token is not None:
            # ASSUMED(last-step-in-alter-context): the client sends its last token in an
            # alter_context, where the server answers, also if an auth3 would do, to which
            # there is no answer: so a wrong password is known at once, and as what it is.
            event = exchange(connection.alter([offer], token))
        if initiator.is_done:
            connection.set_security(initiator.security())
            return True
    raise RemoteProtocolError("the authentication does not come to an end")
