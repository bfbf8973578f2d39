"""The text of a server's address, with all that can be wrong about it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from eseback.rpc import (
    AuthLevel,
    AuthType,
    Credentials,
    LocalProtocolError,
    NoAddress,
    RpcAddress,
)

VARIABLE = "OUR_PASSWORD"
TIMES = {"timeout": 0.0, "connect-timeout": 10.0}
FILES = {"secret": "from the file\nand more\n", "empty": "", "late": "\nsecond line\n"}


def parse(text: str, environment: Mapping[str, str] | None = None) -> RpcAddress:
    """An address with two times, without files and environment but these."""
    return RpcAddress.parse(text, VARIABLE, environment or {}, FILES.__getitem__, TIMES)


def test_where() -> None:
    assert parse("host:1") == RpcAddress("host", 1, None, TIMES)
    assert parse("[::1]:135,timeout=2.5").times == {**TIMES, "timeout": 2.5}
    assert parse("[::1]:135").host == parse("::1:135").host == "::1"
    with pytest.raises(ValueError, match=r"unknown option 'timeout=1': user=, .* are$"):
        RpcAddress.parse("h:2,timeout=1", VARIABLE, {}, FILES.__getitem__, {})


def test_who() -> None:
    environment = {VARIABLE: "from the environment"}
    address = parse("h:2,user=EXAMPLE\\me", environment)
    assert address.credentials == Credentials(
        "EXAMPLE\\me", "from the environment", AuthType.NTLM, AuthLevel.PRIVACY
    )
    assert "environment" not in repr(address)
    address = parse("h:2,user=me,password-file=secret,level=packet,auth=spnego", environment)
    assert address.credentials == Credentials(
        "me", "from the file", AuthType.SPNEGO, AuthLevel.PACKET
    )
    with pytest.raises(LocalProtocolError, match="without a name"):
        parse("h:2,user=EXAMPLE\\", environment)


@pytest.mark.parametrize("name", ["empty", "late"])
def test_an_empty_first_line_is_no_password(name: str) -> None:
    with pytest.raises(ValueError, match=f"^no password for me: .*, or {VARIABLE} is it$"):
        parse(f"h:2,user=me,password-file={name}", {VARIABLE: "another"})


@pytest.mark.parametrize(
    "text", ["host", ":1", "[]:1", "host:", "host:x", "host:-1", "host:\u00b2"]
)
def test_no_address(text: str) -> None:
    with pytest.raises(NoAddress, match=r"^write rpc:HOST:PORT$"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("host:0", "there is no port 0"),
        ("host:65536", "there is no port 65536"),
        (
            "host:1,users=me",
            "unknown option 'users=me': "
            "timeout=, connect-timeout=, user=, password-file=, level=, auth= are",
        ),
        ("host:1,user=me", f"no password for me: .*, or {VARIABLE} is it"),
        ("host:1,user=me,password=secret,x", f"a password .* can be read by others: .*{VARIABLE}"),
        ("host:1,password-file=secret", "password-file= means nothing without user="),
        ("host:1,level=connect", "level= means nothing without user="),
        ("host:1,user=me,level=none", "level=none: one of connect, packet, integrity, privacy"),
        ("host:1,user=me,auth=kerberos", "auth=kerberos: one of ntlm, spnego"),
        ("host:1,timeout", "unknown option 'timeout': .* are"),
        ("host:1,timeout=soon", "timeout=soon is no number of seconds"),
        ("host:1,timeout=-1", "timeout=-1 is no number of seconds"),
        ("host:1,connect-timeout=nan", "connect-timeout=nan is no number of seconds"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        parse(text)
