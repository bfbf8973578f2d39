"""``esesim serve``: servers on the network, until a signal or a command of the user's ends."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from attrs import evolve

from eseback.data import frozen
from eseback.rpc import Limits

from ..inproc import open_transport
from ..rpc import ServerLimits, serve

if TYPE_CHECKING:
    from ..rpc import Authentication, RpcServer
    from ..server import SimulatedServer

ENDPOINT_VARIABLE: Final = "ESESIM_ENDPOINT"
_SOON: Final = 0.01  # seconds in which a client does not come yet
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SIGNALLED: Final = 128  # a shell's exit code for a program that a signal ended, without its number


@frozen
class ServeOptions:
    """What to serve, to whom, and how to tell. targets: topologies or directories, one for each
    computer. users: the user file; level: a call's least one, by its name. admin: with the
    administration interface; rate: steps of users per second, None as the topology says.
    """

    targets: Sequence[str]
    host: str
    port: int
    limits: ServerLimits
    ready_file: Path | None = None
    as_json: bool = False
    quiet: bool = False
    users: Path | None = None
    level: str | None = None
    admin: bool = False
    rate: float | None = None


def make_limits(given: Mapping[str, float | None]) -> ServerLimits:
    """The limits, those that are given in place of the usual ones. Raises LocalProtocolError."""
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    names = {
        "call_max": "call_max",
        "fragment_max": "fragment_max",
        "outstanding": "outstanding_max",
        "presentation_contexts": "contexts_max",
    }
    call = Limits(**{names[name]: wanted.pop(name) for name in names if name in wanted})
    return ServerLimits(call=call, **wanted)


def run(options: ServeOptions, command: Sequence[str] = ()) -> int:
    """Serve until a signal comes, or until ``command`` ends; gives the exit code.

    Raises what starting a server does (ValueError, OSError), OSError for a command that cannot be
    started.
    """
    logging.basicConfig(
        format="esesim: %(message)s", level=logging.ERROR if options.quiet else logging.INFO
    )
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in _SIGNALS}
    try:
        with ExitStack() as stack:
            authentication = _authentication(options)
            computers = [stack.enter_context(open_transport(target)) for target in options.targets]
            if authentication is not None:
                authentication = evolve(authentication, name=computers[0].topology.server.name)
            server = stack.enter_context(
                serve(
                    *computers,
                    host=options.host,
                    port=options.port,
                    limits=options.limits,
                    authentication=authentication,
                    admin=options.admin,
                    rate=options.rate,
                )
            )
            gc.freeze()  # a sixth of a short server's time was a last search through its modules
            gc.enable()
            _announce(options, server, computers, to_stdout=not command)
            if options.ready_file is not None:
                stack.callback(options.ready_file.unlink, missing_ok=True)
            if command:
                return _run_command(command, server, stop)
            if not stop.wait(_SOON):  # first let those go on who have waited for the line
                server.prepare()
            while not stop.wait(3600):  # a wait without an end cannot be interrupted on Windows
                pass
            return 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _authentication(options: ServeOptions) -> Authentication | None:
    """Who may come in. Raises ValueError, OSError, MissingLibraryError."""
    if options.users is None:
        if options.level is not None:
            raise ValueError("--min-auth-level means nothing without --users")
        return None
    from eseback.rpc import AuthLevel

    from ..rpc import Authentication, Users

    return Authentication(
        Users.load(options.users), AuthLevel[(options.level or "connect").upper()]
    )


def endpoint_of(server: RpcServer) -> str:
    """Where clients find the server: ``esebcli --server`` takes it as it is."""
    host, port = server.address
    return f"rpc:[{host}]:{port}" if ":" in host else f"rpc:{host}:{port}"


def _announce(
    options: ServeOptions,
    server: RpcServer,
    computers: Sequence[SimulatedServer],
    *,
    to_stdout: bool,
) -> None:
    """One line that says where the server is; the ready file appears whole or not at all."""
    line = endpoint_of(server)
    if options.as_json:
        import json

        line = json.dumps(_described(server, computers))
    if options.ready_file is not None:
        partial = options.ready_file.with_name(f"{options.ready_file.name}.new")
        partial.write_text(line + "\n", "utf-8")
        partial.replace(options.ready_file)
    if to_stdout:
        click.echo(line)


def _described(server: RpcServer, computers: Sequence[SimulatedServer]) -> dict[str, Any]:
    host, port = server.address
    return {
        "endpoint": endpoint_of(server),
        "host": host,
        "port": port,
        "pid": os.getpid(),
        "computers": [
            {
                "name": computer.topology.server.name,
                "services": [service.annotation for service in computer.topology.services],
                "groups": [group.name for group in computer.groups],
            }
            for computer in computers
        ],
        "interfaces": [
            {"uuid": str(syntax.uuid), "version": f"{syntax.major}.{syntax.minor}"}
            for syntax in server.services
        ],
    }


def _run_command(command: Sequence[str], server: RpcServer, stop: threading.Event) -> int:
    """Run it with the endpoint in its environment; its exit code is ours."""
    import subprocess

    sys.stdout.flush()
    environment = {**os.environ, ENDPOINT_VARIABLE: endpoint_of(server)}
    with subprocess.Popen(command, env=environment) as process:
        server.prepare()  # while the command makes a start
        while True:
            try:
                code = process.wait(0.05)
                break
            except subprocess.TimeoutExpired:
                if stop.is_set():
                    process.terminate()
    return _SIGNALLED - code if code < 0 else code
