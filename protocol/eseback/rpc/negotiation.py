"""What a server answers to a bind, and what a client makes of it. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from eseback.data import frozen
from eseback.rpc.errors import LocalProtocolError, RemoteProtocolError
from eseback.rpc.header import FRAGMENT_MIN
from eseback.rpc.pdu import Bind, BindAck, ContextOffer, ContextReply
from eseback.rpc.status import BindFeature, ContextResult, ProviderReason
from eseback.rpc.syntax import NDR32, NDR64, SyntaxId, feature_bits

__all__ = [
    "Agreement",
    "accepted_contexts",
    "agree_on_contexts",
    "agree_on_size",
    "check_offers",
]

_INSTEAD_OF_TOO_LITTLE: Final = 2048


def agree_on_size(offered_xmit: int, offered_recv: int, own_max: int) -> int:
    """Fragment size in bytes for both directions, a multiple of 8.

    The smallest of all sizes. An offer of less than what every receiver has to take (C706
    12.6.3.2) is no offer; Windows answers it with 2048. One size for both directions is what
    Windows answers, and no client is harmed by fragments that are smaller than it allows.
    """
    offered = min(offered_xmit, offered_recv)
    if offered < FRAGMENT_MIN:
        offered = _INSTEAD_OF_TOO_LITTLE
    return min(offered, own_max) & ~7


@frozen
class Agreement:
    """Outcome for the contexts of one bind or alter_context.

    replies: one for each proposal, in its order. accepted: new contexts by id, with the server's
    interface. features: None where the client offered none.
    """

    replies: tuple[ContextReply, ...]
    accepted: Mapping[int, SyntaxId]
    features: BindFeature | None


def agree_on_contexts(
    offers: Iterable[ContextOffer],
    interfaces: Iterable[SyntaxId],
    existing: Mapping[int, SyntaxId],
    features: BindFeature,
) -> Agreement:
    """Judge every proposal by itself.

    A proposal whose first transfer syntax is the one of bind-time features offers features and
    nothing else (MS-RPCE 3.3.1.5.3). Raises RemoteProtocolError for a second one of those, for a
    proposal without transfer syntaxes and for an id that is in use for another interface or
    another transfer syntax of ours: Windows ends such connections.
    """
    served = tuple(interfaces)
    accepted: dict[int, SyntaxId] = {}
    replies = []
    agreed: BindFeature | None = None
    for offer in offers:
        if not offer.transfers:
            raise RemoteProtocolError(f"context {offer.context_id} has no transfer syntax")
        offered = feature_bits(offer.transfers[0])
        if offered is not None:
            if agreed is not None:
                raise RemoteProtocolError("bind-time features are offered twice")
            agreed = offered & features
            replies.append(ContextReply(ContextResult.NEGOTIATE_ACK, int(agreed)))
            continue
        known = accepted.get(offer.context_id) or existing.get(offer.context_id)
        if known is not None:
            changed = NDR32 not in offer.transfers and NDR64 in offer.transfers
            if changed or not known.serves(offer.abstract):
                raise RemoteProtocolError(f"context {offer.context_id} is in use for {known}")
        interface = known or _find(served, offer.abstract)
        reply = _judge(offer, interface)
        replies.append(reply)
        if interface is not None and reply.result == ContextResult.ACCEPTANCE:
            accepted[offer.context_id] = interface
    return Agreement(tuple(replies), accepted, agreed)


def _find(served: tuple[SyntaxId, ...], wanted: SyntaxId) -> SyntaxId | None:
    for interface in served:
        if interface.serves(wanted):
            return interface
    return None


def _judge(offer: ContextOffer, interface: SyntaxId | None) -> ContextReply:
    if interface is None:
        reason = ProviderReason.ABSTRACT_SYNTAX_NOT_SUPPORTED
    elif NDR32 not in offer.transfers:
        reason = ProviderReason.TRANSFER_SYNTAXES_NOT_SUPPORTED
    else:
        return ContextReply(ContextResult.ACCEPTANCE, 0, NDR32)
    return ContextReply(ContextResult.PROVIDER_REJECTION, reason)


def check_offers(contexts: Sequence[ContextOffer]) -> Sequence[ContextOffer]:
    """What a client wants to propose; raises LocalProtocolError."""
    ids = {offer.context_id for offer in contexts}
    if not contexts or len(ids) != len(contexts):
        raise LocalProtocolError("contexts have to be proposed, each with an id of its own")
    return contexts


def accepted_contexts(bind: Bind, ack: BindAck) -> tuple[dict[int, SyntaxId], BindFeature]:
    """Contexts that were accepted, and features that were agreed on.

    The server's answer is held against what was proposed; raises RemoteProtocolError.
    """
    if len(ack.replies) != len(bind.contexts):
        raise RemoteProtocolError(
            f"{len(ack.replies)} results for {len(bind.contexts)} presentation contexts"
        )
    accepted, features = {}, BindFeature.NONE
    for offer, reply in zip(bind.contexts, ack.replies, strict=True):
        offered = feature_bits(offer.transfers[0])
        if reply.result == ContextResult.NEGOTIATE_ACK:
            if offered is None or reply.reason & ~offered:
                raise RemoteProtocolError(f"features 0x{reply.reason:X} were not offered")
            features = BindFeature(reply.reason)
        elif reply.result == ContextResult.ACCEPTANCE:
            if reply.transfer not in offer.transfers or offered is not None:
                raise RemoteProtocolError(f"transfer syntax {reply.transfer} was not offered")
            accepted[offer.context_id] = offer.abstract
        elif reply.result > ContextResult.NEGOTIATE_ACK:
            raise RemoteProtocolError(f"context result {reply.result} does not exist")
    return accepted, features
