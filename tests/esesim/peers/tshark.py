"""tshark on a capture file: what its DCE/RPC dissector made of the packets."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

WARNING: Final = 0x00600000
"""Expert information is a chat, a note, a warning or an error; from here on it is a complaint."""

_FIELDS: Final = (
    "frame.number",
    "frame.protocols",
    "dcerpc.pkt_type",
    "dcerpc.cn_frag_len",
    "dcerpc.cn_call_id",
    "dcerpc.cn_ctx_id",
    "dcerpc.opnum",
    "dcerpc.cn_status",
    "dcerpc.cn_ack_result",
    "dcerpc.cn_bind_trans_btfn",
    "dcerpc.cn_max_recv",
    "dcerpc.cn_reject_reason",
    "dcerpc.reassembled.length",
    "dcerpc.fragment.error",
    "dcerpc.fragment.overlap",
    "dcerpc.fragment.multipletails",
    "dcerpc.fragment.toolongfragment",
    "epm.annotation",
    "epm.proto.tcp_port",
    "epm.proto.ip",
    "epm.rc",
    "mgmt.rc",
    "dcerpc.encrypted_stub_data",
    "dcerpc.decrypted_stub_data",
    "_ws.malformed",
    "_ws.expert.severity",
    "_ws.expert.message",
)
_BETWEEN: Final = "\x1f"  # values of one field in one packet


@frozen
class Dissected:
    """The packets of a capture: values by field, for each packet in order."""

    packets: Sequence[Mapping[str, Sequence[str]]]

    def values(self, field: str) -> list[str]:
        """All values of a field."""
        return [value for packet in self.packets for value in packet[field]]

    def numbers(self, field: str) -> list[int]:
        """All values of a field that is a number, decimal or hexadecimal."""
        return [int(value, 0) for value in self.values(field)]

    def types(self) -> Counter[int]:
        """PDUs by type."""
        return Counter(self.numbers("dcerpc.pkt_type"))

    def without_requests(self) -> Dissected:
        """Answers only: tshark finds small sealed requests malformed, whosever they are."""
        return Dissected([p for p in self.packets if "0" not in p["dcerpc.pkt_type"]])

    def complaints(self) -> list[str]:
        """Malformed packets, expert information from "warning" up, fragments that do not fit."""
        found = []
        for packet in self.packets:
            severities = [int(value) for value in packet["_ws.expert.severity"]]
            texts = packet["_ws.expert.message"]
            assert len(texts) == len(severities)
            wrong = [t for t, s in zip(texts, severities, strict=True) if s >= WARNING]
            wrong += [f for f in _FIELDS if f.startswith("dcerpc.fragment.") and packet[f]]
            wrong += packet["_ws.malformed"]
            found += [f"packet {packet['frame.number'][0]}: {text}" for text in wrong]
        return found


def dissect(path: Path, port: int, *options: str) -> Dissected:
    """Read a capture; everything from and to the port is DCE/RPC.

    It is told so because by itself tshark misses fragments in the middle of a stream.
    """
    command = ["tshark", "-n", "-r", str(path), "-d", f"tcp.port=={port},dcerpc", "-T", "fields"]
    command += ["-E", "occurrence=a", "-E", f"aggregator={_BETWEEN}"]
    for field in _FIELDS:
        command += ["-e", field]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = (line.split("\t") for line in done.stdout.splitlines())
    return Dissected(
        [
            {
                field: tuple(v.split(_BETWEEN)) if v else ()
                for field, v in zip(_FIELDS, row, strict=True)
            }
            for row in rows
        ]
    )
