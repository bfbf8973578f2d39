"""Fuzz the wire: ``python -m tools.fuzz_rpc --seconds 600``, or a saved case with ``--again FILE``.

Eight targets: the server's core, a whole server on a scripted socket, one that asks its clients who
they are, one for administrators, the whole client, its core, the decoders of every operation, and a
real server on a real socket with another client beside. They start from recorded conversations; a
case that goes a new way through the code is kept and changed further. The report has the counts;
the exit code is 1 if anything was found, and what was found is under build/fuzz.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from .rpcfuzz.administered import AdministeredTarget
from .rpcfuzz.api import ApiTarget
from .rpcfuzz.authenticated import AuthenticatedTarget
from .rpcfuzz.codec import ClientTarget, StubTarget
from .rpcfuzz.core import CoreTarget
from .rpcfuzz.live import LiveTarget
from .rpcfuzz.mutations import Case
from .rpcfuzz.runner import Fuzzer, Tally, load, save
from .rpcfuzz.scripted import ServerTarget
from .rpcfuzz.target import Exchange, Target

FOUND: Final = Path("build/fuzz")

# In this order: the last one also begins with what the others have kept. Share of the time.
TARGETS: Final[dict[str, tuple[float, Callable[[list[Exchange], list[Case]], Target]]]] = {
    "core": (0.2, lambda exchanges, _: CoreTarget(exchanges)),
    "server": (0.3, lambda _, __: ServerTarget()),
    "auth": (0.15, lambda _, __: AuthenticatedTarget()),
    "admin": (0.05, lambda _, __: AdministeredTarget()),
    "api": (0.05, lambda _, __: ApiTarget()),
    "client": (0.1, lambda exchanges, _: ClientTarget(exchanges)),
    "stubs": (0.1, lambda exchanges, _: StubTarget(exchanges)),
    "live": (0.1, LiveTarget),
}
_SERVERS: Final = ("core", "server")


def record() -> list[Exchange]:
    """The conversations that everything begins with."""
    server = ServerTarget()
    try:
        return server.record()
    finally:
        server.close()


def fuzz(names: Sequence[str], seconds: float, seed: int) -> Iterator[Tally]:
    """Try cases on each of these targets, together for so long; gives what became of each."""
    exchanges = record()
    kept: list[Case] = []
    whole = sum(TARGETS[name][0] for name in names)
    for name in names:
        share, make = TARGETS[name]
        fuzzer = Fuzzer(make(exchanges, kept), seed)
        try:
            fuzzer.go_on(seconds * share / whole)
        finally:
            fuzzer.target.close()
        if name in _SERVERS:
            kept += fuzzer.kept
        yield fuzzer.tally


def again(path: Path) -> None:
    """Try a saved case; what it raises is raised."""
    name, case = load(path)
    target = TARGETS[name][1](record(), [])
    try:
        target.run(case)
        target.measure(case)
    finally:
        target.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--seed", type=int, help="of everything random; without it, another one")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="only these")
    parser.add_argument("--again", type=Path, metavar="FILE", help="try one saved case")
    options = parser.parse_args(arguments)
    if options.again is not None:
        again(options.again)
        return 0
    seed = secrets.randbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    executions = found = 0
    for tally in fuzz(options.target or list(TARGETS), options.seconds, seed):
        print(tally.line(), flush=True)
        executions += tally.executions
        found += len(tally.crashes)
        for crash in tally.crashes.values():
            print(f"  {save(crash, FOUND)}: {crash.signature}", flush=True)
    print(f"{executions} executions, {found} unique findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
