"""NTLM beside the numbers that its specification gives, and beside everything else.

The numbers are those of MS-NLMP 4.2.4: user "User", password "Password", domain "Domain", a fixed
nonce and a fixed session key.
"""

from __future__ import annotations

import contextlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eseback.rpc import (
    ACCEPTED_TYPES,
    AuthenticationFailed,
    AuthLevel,
    AuthToken,
    AuthType,
    RemoteProtocolError,
    open_acceptor,
)
from eseback.rpc.ciphers import arc4, nt_hash
from eseback.rpc.ntlm_acceptor import NtlmAcceptor
from eseback.rpc.ntlm_messages import (
    SIGNATURE,
    Authenticate,
    NtlmFlag,
    parse_av_pairs,
    parse_negotiate,
)
from eseback.rpc.ntlm_security import NtlmSecurity, check_flags
from eseback.rpc.spnego_tokens import NTLM_MECH, NegState, NegTokenInit, NegTokenResp
from tests.eseback.rpc.authenticated import Person, find

FLAGS = NtlmFlag(0xE28A8235) & NtlmFlag(sum(NtlmFlag))
NONCE = bytes.fromhex("0123456789abcdef")
SESSION_KEY = b"\x55" * 16
NAMES = (
    bytes.fromhex("02000c00")
    + "Domain".encode("utf-16-le")
    + bytes.fromhex("01000c00")
    + "Server".encode("utf-16-le")
    + bytes(4)
)
BLOB = bytes.fromhex("0101000000000000") + bytes(8) + b"\xaa" * 8 + bytes(4) + NAMES + bytes(4)
PROOF = bytes.fromhex("68cd0ab851e51c96aabc927bebef6a1c")
NEGOTIATE = SIGNATURE + struct.pack("<II", 1, FLAGS) + bytes(16)
USER = Person("User", nt_hash("Password"))


def authenticate(
    blob: bytes = BLOB,
    proof: bytes = PROOF,
    *,
    user: str = "User",
    flags: int = FLAGS,
    session_key: bytes = bytes.fromhex("c5dad2544fc9799094ce1ce90bc9d03e"),
    start: int = 88,
    mic: bytes = bytes(16),
) -> bytes:
    """An AUTHENTICATE_MESSAGE."""
    values = (bytes(24), proof + blob, "Domain", user, "COMPUTER", session_key)
    fields, payload = b"", b""
    for value in values:
        data = value if isinstance(value, bytes) else value.encode("utf-16-le")
        fields += struct.pack("<HHI", len(data), len(data), start + len(payload))
        payload += data
    version = bytes(8) if start >= 72 else b""
    head = SIGNATURE + struct.pack("<I", 3) + fields + struct.pack("<I", flags) + version
    return (head + mic)[:start].ljust(start, b"\0") + payload


def challenged(monkeypatch: pytest.MonkeyPatch) -> NtlmAcceptor:
    """An acceptor that has sent the specification's nonce."""
    monkeypatch.setattr(
        "eseback.rpc.ntlm_acceptor.secrets.token_bytes", lambda n: NONCE[:n] * (n // 8)
    )
    acceptor = NtlmAcceptor(lambda *who: USER if who == ("Domain", "User") else None, "Server")
    acceptor.challenge(NEGOTIATE)
    return acceptor


def test_the_numbers_of_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nt_hash("Password").hex() == "a4f49c406510bdcab6824ee7c30fd852"
    result = challenged(monkeypatch).authenticate(authenticate())
    assert result.account is USER
    assert result.session_key == SESSION_KEY
    security = NtlmSecurity(AuthType.NTLM, AuthLevel.PRIVACY, 1, FLAGS, SESSION_KEY, is_client=True)
    sealed, signature = security.protect(b"", ["Plaintext".encode("utf-16-le")], b"")
    assert b"".join(sealed).hex() == "54e50165bf1936dc996020c1811b0f06fb5f"
    assert signature.hex() == "010000007fb38ec5c55d497600000000"


def test_the_proof_is_made_over_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """However a client ends its pairs; what stands behind their end is under the proof as well."""
    key = hmac.digest(USER.nt_hash, "USERDomain".encode("utf-16-le"), "md5")
    for end in (b"", bytes(8), b"anything"):
        blob = BLOB[:-4] + end
        proof = hmac.digest(key, NONCE + blob, "md5")
        assert challenged(monkeypatch).authenticate(authenticate(blob, proof)).account is USER
        with pytest.raises(AuthenticationFailed, match="wrong password"):
            challenged(monkeypatch).authenticate(authenticate(blob + b"\0", proof))


@pytest.mark.parametrize("start", [64, 80, 88])
def test_the_integrity_code_of_the_messages(monkeypatch: pytest.MonkeyPatch, start: int) -> None:
    """Where a client says under its proof that there is one, it has to be there and right."""
    blob = BLOB[:28] + bytes.fromhex("0600040002000000") + NAMES
    key = hmac.digest(USER.nt_hash, "USERDomain".encode("utf-16-le"), "md5")
    proof = hmac.digest(key, NONCE + blob, "md5")
    encrypted = arc4(hmac.digest(key, proof, "md5"))(SESSION_KEY)
    acceptor = challenged(monkeypatch)
    message = authenticate(blob, proof, session_key=encrypted, start=start)
    monkeypatch.setattr("eseback.rpc.ntlm_acceptor.time.time", lambda: 0.0)
    with pytest.raises(AuthenticationFailed, match="changed on their way"):
        acceptor.authenticate(message)
    acceptor = NtlmAcceptor(lambda *_: USER, "Server", lambda: 1e9)
    mic_over = NEGOTIATE + acceptor.challenge(NEGOTIATE) + message
    mic = hmac.digest(SESSION_KEY, mic_over, "md5")
    at = {88: 72, 80: 64}.get(start)
    if at is not None:
        good = message[:at] + mic + message[at + 16 :]
        assert acceptor.authenticate(good).account is USER


def test_a_challenge_offers_no_more_than_was_asked_for() -> None:
    asked = NtlmFlag.UNICODE | NtlmFlag.SIGN | NtlmFlag.EXTENDED_SESSION_SECURITY
    acceptor = NtlmAcceptor(lambda *_: None, "EXCHSRV1", lambda: 0.0)
    challenge = acceptor.challenge(
        SIGNATURE + struct.pack("<II", 1, asked | 0x800 | 0x40) + bytes(16)
    )
    flags = struct.unpack_from("<I", challenge, 20)[0]
    assert NtlmFlag(flags) & ~asked == (
        NtlmFlag.REQUEST_TARGET | NtlmFlag.NTLM | NtlmFlag.TARGET_TYPE_SERVER | NtlmFlag.TARGET_INFO
    )
    size, _, start = struct.unpack_from("<HHI", challenge, 12)
    assert challenge[start : start + size].decode("utf-16-le") == "EXCHSRV1"
    size, _, start = struct.unpack_from("<HHI", challenge, 40)
    pairs = parse_av_pairs(challenge[start : start + size])
    assert pairs[7] == struct.pack("<Q", 116_444_736_000_000_000)
    assert pairs[1].decode("utf-16-le") == "EXCHSRV1"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (authenticate(user=""), "anonymous"),
        (authenticate(flags=FLAGS & ~1), "Unicode"),
        (authenticate(BLOB[:11]), "no NTLMv2"),
        (authenticate(b"", bytes(24)), "no NTLMv2"),
        (authenticate(user="x" * 257), "a name of"),
        (authenticate(session_key=bytes(15)), "another size"),
        (authenticate(user="Nobody"), "unknown user"),
        (authenticate(proof=bytes(16)), "wrong password"),
        (authenticate()[:60], "no NTLM message"),
        (authenticate()[:-1], "not within"),
        (SIGNATURE + struct.pack("<IHHI", 3, 9, 9, 1) + bytes(60), "not within"),
    ],
)
def test_answers_that_are_no_good(
    monkeypatch: pytest.MonkeyPatch, message: bytes, why: str
) -> None:
    with pytest.raises(AuthenticationFailed, match=why):
        challenged(monkeypatch).authenticate(message)


def test_pairs_that_do_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    for pairs in (b"", b"\1", bytes.fromhex("0600ffff00"), bytes.fromhex("06000200")):
        with pytest.raises(AuthenticationFailed):
            parse_av_pairs(pairs)


@pytest.mark.parametrize(
    ("level", "missing"),
    [
        (AuthLevel.PACKET, NtlmFlag.SIGN),
        (AuthLevel.INTEGRITY, NtlmFlag.EXTENDED_SESSION_SECURITY),
        (AuthLevel.INTEGRITY, NtlmFlag.KEY_128),
        (AuthLevel.PRIVACY, NtlmFlag.SEAL),
    ],
)
def test_weak_sessions_are_refused(level: AuthLevel, missing: NtlmFlag) -> None:
    with pytest.raises(AuthenticationFailed, match="not agreed on"):
        check_flags(FLAGS & ~missing, level)
    check_flags(FLAGS & ~missing, AuthLevel.CONNECT)


def test_sessions_without_a_key_exchange() -> None:
    """Then the checksums are not encrypted; both sides agree all the same."""
    flags = FLAGS & ~NtlmFlag.KEY_EXCHANGE
    client, server = (
        NtlmSecurity(AuthType.NTLM, AuthLevel.INTEGRITY, 1, flags, SESSION_KEY, is_client=client)
        for client in (True, False)
    )
    for text in (b"one", b"two"):
        _, signature = client.protect(b"head", [text], b"tail")
        assert server.unprotect(b"head", text, b"tail", signature) == text
    with pytest.raises(RemoteProtocolError, match="message 2"):
        server.unprotect(b"head", b"two", b"tail", signature)


# ---- SPNEGO's own tokens


def test_a_token_with_lengths_of_every_form() -> None:
    for size in (0, 1, 127, 128, 255, 256, 70_000):
        token = NegTokenResp(NegState.ACCEPT_INCOMPLETE, NTLM_MECH, bytes(size), b"mic")
        assert NegTokenResp.parse(token.pack()) == token


def test_the_tokens_of_another_implementation() -> None:
    from spnego._spnego import NegTokenInit as Theirs
    from spnego._spnego import NegTokenResp as TheirAnswer

    mechs = ["1.2.840.113554.1.2.2", "1.3.6.1.4.1.311.2.2.10"]
    init = NegTokenInit.parse(Theirs(mechs, mech_token=b"NTLMSSP\0").pack())
    assert init.mechs[1] == NTLM_MECH and len(init.mechs) == 2
    assert init.token == b"NTLMSSP\0"
    theirs = TheirAnswer(None, None, b"token", b"mic").pack()
    assert NegTokenResp.parse(theirs) == NegTokenResp(None, b"", b"token", b"mic")
    ours = TheirAnswer.unpack(
        NegTokenResp(NegState.REQUEST_MIC, NTLM_MECH, b"token", b"mic").pack()[2:]
    )
    assert int(ours.neg_state or 0) == NegState.REQUEST_MIC
    assert ours.supported_mech == mechs[1]
    assert (ours.response_token, ours.mech_list_mic) == (b"token", b"mic")


@pytest.mark.fuzz
@given(st.data())
def test_whatever_comes_there_is_one_kind_of_error(data: st.DataObject) -> None:
    whole = data.draw(
        st.sampled_from(
            (
                NEGOTIATE,
                authenticate(),
                NegTokenResp(NegState.ACCEPT_INCOMPLETE, NTLM_MECH, b"token", b"mic").pack(),
                bytes.fromhex("601c06062b0601050502a0123010a00e300c") + NTLM_MECH,
            )
        )
    )
    token = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 4))):
        token[data.draw(st.integers(0, len(token) - 1))] = data.draw(st.integers(0, 255))
    token = token[: data.draw(st.integers(0, len(token)))]
    for parse in (
        parse_negotiate,
        Authenticate.parse,
        NegTokenInit.parse,
        NegTokenResp.parse,
        NtlmAcceptor(lambda *_: None, "S").authenticate,
        *(open_acceptor(AuthToken(kind, 6, 1, b""), find, "S").step for kind in ACCEPTED_TYPES),
    ):
        with contextlib.suppress(AuthenticationFailed):
            parse(bytes(token))
