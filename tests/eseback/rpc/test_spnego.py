"""What SPNEGO adds to NTLM: who may choose the mechanism, and how that is protected (RFC 4178)."""

from __future__ import annotations

import pytest
from spnego._spnego import NegState as TheirState
from spnego._spnego import NegTokenInit as ClientInit
from spnego._spnego import NegTokenResp as ClientResp
from spnego._spnego import pack_mech_type_list

from eseback.rpc import (
    AuthenticationFailed,
    AuthLevel,
    AuthToken,
    AuthType,
    Initiator,
    Step,
    open_acceptor,
)
from eseback.rpc.ntlm_security import NtlmSecurity
from eseback.rpc.spnego_tokens import NTLM_MECH, NegState, NegTokenResp
from tests.eseback.rpc.authenticated import credentials, find

KERBEROS, NTLM = "1.2.840.113554.1.2.2", "1.3.6.1.4.1.311.2.2.10"


class Negotiation:
    """A client made by hand: NTLM by pyspnego, what is around it from here."""

    def __init__(self, *mechs: str, level: AuthLevel = AuthLevel.INTEGRITY) -> None:
        self.mechs = list(mechs)
        self.ntlm = Initiator(credentials(level=level))
        offer = AuthToken(AuthType.SPNEGO, level, 3, b"")
        self.acceptor = open_acceptor(offer, find, "SRV")
        self.negotiate = self.ntlm.first().token

    def begin(self, token: bytes) -> NegTokenResp:
        """The answer to the first token, which carries `token` for the first mechanism."""
        init = ClientInit(self.mechs, mech_token=token or None).pack()
        return NegTokenResp.parse(self.acceptor.step(init).token)

    def go_on(self, token: bytes) -> NegTokenResp:
        """The answer to a later token."""
        return NegTokenResp.parse(self.acceptor.step(ClientResp(response_token=token).pack()).token)

    def end(self, challenge: bytes, mech_list: list[str] | None = None) -> Step:
        """What comes of the last token, with a MIC over a list of mechanisms, if one is given."""
        answer = self.ntlm.step(challenge)
        assert answer is not None
        mic = None
        if mech_list is not None:
            mic = self.security().sign(pack_mech_type_list(mech_list))
        last = ClientResp(response_token=answer.token, mech_list_mic=mic)
        return self.acceptor.step(last.pack())

    def security(self) -> NtlmSecurity:
        """The client's session, from its very first signature on."""
        return self.ntlm.security()


def test_the_usual_case_has_a_mic_and_goes_on_after_it() -> None:
    client = Negotiation(NTLM)
    challenge = client.begin(client.negotiate)
    assert (challenge.state, challenge.mech) == (NegState.ACCEPT_INCOMPLETE, NTLM_MECH)
    step = client.end(challenge.token, [NTLM])
    answer = NegTokenResp.parse(step.token)
    assert answer.state is NegState.ACCEPT_COMPLETED and not answer.token
    mine, server = client.security(), step.security
    assert server is not None and (server.auth_type, server.context_id) == (AuthType.SPNEGO, 3)
    mine.check(pack_mech_type_list([NTLM]), answer.mic)
    # Both streams begin again, both sequences go on.
    mine = client.security()
    mine.skip(1, 1)
    _, signature = mine.protect(b"h", [b"text"], b"t")
    assert server.unprotect(b"h", b"text", b"t", signature) == b"text"
    _, signature = server.protect(b"h", [b"text"], b"t")
    assert mine.unprotect(b"h", b"text", b"t", signature) == b"text"


def test_without_a_mic_where_ntlm_was_the_first_choice() -> None:
    """As some clients do at the level CONNECT, where nothing can be signed."""
    for level in (AuthLevel.CONNECT, AuthLevel.INTEGRITY):
        client = Negotiation(NTLM, level=level)
        step = client.end(client.begin(client.negotiate).token)
        assert NegTokenResp.parse(step.token) == NegTokenResp(NegState.ACCEPT_COMPLETED)
        assert step.security is not None
        _, signature = client.security().protect(b"h", [b"text"], b"t")
        assert step.security.unprotect(b"h", b"text", b"t", signature) == b"text"


def test_a_client_that_would_rather_have_another_mechanism() -> None:
    client = Negotiation(KERBEROS, NTLM)
    asked = client.begin(b"for Kerberos")
    assert (asked.state, asked.mech, asked.token) == (NegState.REQUEST_MIC, NTLM_MECH, b"")
    challenge = client.go_on(client.negotiate)
    assert client.end(challenge.token, [KERBEROS, NTLM]).account is not None


def test_a_client_without_a_first_token() -> None:
    client = Negotiation(NTLM)
    asked = client.begin(b"")
    assert (asked.state, asked.mech, asked.token) == (NegState.ACCEPT_INCOMPLETE, NTLM_MECH, b"")
    assert client.end(client.go_on(client.negotiate).token).account is not None


def test_a_better_mechanism_taken_out_of_the_list_is_noticed() -> None:
    client = Negotiation(NTLM)
    challenge = client.begin(client.negotiate)
    with pytest.raises(AuthenticationFailed, match=r"mechListMIC.*signature"):
        client.end(challenge.token, [KERBEROS, NTLM])
    client = Negotiation(KERBEROS, NTLM)
    client.begin(b"for Kerberos")
    with pytest.raises(AuthenticationFailed, match="no mechListMIC"):
        client.end(client.go_on(client.negotiate).token)


def test_very_old_clients_repeat_their_token_in_place_of_the_mic() -> None:
    client = Negotiation(NTLM)
    challenge = client.begin(client.negotiate)
    answer = client.ntlm.step(challenge.token)
    assert answer is not None
    token = ClientResp(response_token=answer.token, mech_list_mic=answer.token).pack()
    step = client.acceptor.step(token)
    assert NegTokenResp.parse(step.token) == NegTokenResp(NegState.ACCEPT_COMPLETED)


def test_ntlm_without_anything_around_it() -> None:
    """Which Windows sends where it knows no other mechanism."""
    client = Negotiation(NTLM)
    challenge = client.acceptor.step(client.negotiate).token
    answer = client.ntlm.step(challenge)
    assert answer is not None
    step = client.acceptor.step(answer.token)
    assert step.account is not None and not step.token
    assert step.security is not None and step.security.auth_type == AuthType.SPNEGO


def test_what_ends_a_negotiation() -> None:
    client = Negotiation(KERBEROS)
    with pytest.raises(AuthenticationFailed, match="without NTLM"):
        client.begin(b"for Kerberos")
    for last in (
        ClientResp(neg_state=TheirState.reject),
        ClientResp(mech_list_mic=b"mic"),
        ClientResp(),
    ):
        client = Negotiation(NTLM)
        client.begin(client.negotiate)
        with pytest.raises(AuthenticationFailed, match="broke"):
            client.acceptor.step(last.pack())
