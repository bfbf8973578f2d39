"""Samba's client as a process of its own; see `tests.esesim.peers.samba_client`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.tools import DEBIAN_PYTHON

_SCRIPT: Final = Path(__file__).with_name("samba_client.py")


class NtStatusError(Exception):
    """Samba raised. status: its NTSTATUS."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"0x{status:08X} {text}")
        self.status = status


def debian_environment() -> dict[str, str]:
    """For Debian's interpreter: nothing of this one's, and no configuration of Samba's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COVERAGE"))}
    return {**kept, "SMB_CONF_PATH": os.devnull, "PYTHONDONTWRITEBYTECODE": "1"}


class SambaPeer:
    """A running client. Its calls raise NtStatusError."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def do(self, what: str, **arguments: Any) -> Any:
        """One of the script's actions."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        assert line, f"Samba's client ended with {process.wait(10)}"
        answer = json.loads(line)
        if "nt" in answer:
            raise NtStatusError(answer["nt"], answer["text"])
        assert "mistake" not in answer, answer["mistake"]
        return answer["result"]

    def request(self, opnum: int, stub: bytes) -> bytes:
        """A call on the connection that was made last."""
        return bytes.fromhex(self.do("request", opnum=opnum, stub=stub.hex()))


@contextmanager
def samba() -> Iterator[SambaPeer]:
    """A client, until the end of the block."""
    with subprocess.Popen(
        [DEBIAN_PYTHON, str(_SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libdcerpc writes there what it also raises
        text=True,
        env=debian_environment(),
    ) as process:
        try:
            yield SambaPeer(process)
        finally:
            process.kill()


def binding(address: tuple[str, int], *options: str) -> str:
    """A string binding."""
    host, port = address
    return f"ncacn_ip_tcp:{host}[{','.join((str(port), *options))}]"
