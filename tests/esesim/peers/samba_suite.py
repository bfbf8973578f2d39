"""Runs Samba's own tests of the raw protocol against a server of ours, with Debian's Python.

Standard input is one JSON object: "port" of the server, and "leave_out", a regular expression for
names of tests that are not run. Standard output is one too: "passed", "left_out" and "failed", the
latter with the last line of what each test said.

The suite is run as it is shipped, with three adaptations to a server that isn't an Active Directory
domain controller on port 135. Connections to that port go to the given one. Presentation contexts
get numbers below 256, because Windows answers with the lower eight bits only. Tests that prove to
be nobody prove to be the user, as nobody is not let in by NTLM. Where the suite listens for
silence, which it does a thousand times, it waits a fraction of a millisecond.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import unittest
from typing import Any, Final

from samba.tests.dcerpc import raw_protocol, raw_testcase

SILENCE_SECONDS: Final = 0.0003


def adapt(port: int) -> None:
    """Point the suite at the server."""
    case = raw_testcase.RawDCERPCTest
    look_up, receive, bind = socket.getaddrinfo, case.recv_raw, case.do_generic_bind

    def getaddrinfo(host: Any, wanted: Any, *rest: Any) -> Any:
        return look_up(host, port if wanted == 135 else wanted, *rest)

    module: Any = socket
    module.getaddrinfo = getaddrinfo

    def recv_raw(self: Any, hexdump: Any = None, timeout: float | None = None) -> Any:
        return receive(self, hexdump, None if timeout is None else min(timeout, SILENCE_SECONDS))

    def do_generic_bind(self: Any, ctx: Any, *rest: Any, **more: Any) -> Any:
        ctx.context_id &= 0xFF
        return bind(self, ctx, *rest, **more)

    case.recv_raw, case.do_generic_bind = recv_raw, do_generic_bind
    case.get_anon_creds = case.get_user_creds


def main() -> None:
    """Run what is asked for."""
    asked = json.load(sys.stdin)
    adapt(asked["port"])
    case = raw_protocol.TestDCERPC_BIND
    names = unittest.defaultTestLoader.getTestCaseNames(case)
    left_out = [name for name in names if re.search(asked["leave_out"], name)]
    wanted = [name for name in names if name not in left_out]
    result = unittest.TestResult()
    unittest.TestSuite(map(case, wanted)).run(result)
    bad = [*result.failures, *result.errors, *result.skipped]
    failed = {test._testMethodName: text.strip().rpartition("\n")[2] for test, text in bad}
    passed = [name for name in wanted if name not in failed]
    json.dump({"passed": passed, "left_out": left_out, "failed": failed}, sys.stdout)


if __name__ == "__main__":
    main()
