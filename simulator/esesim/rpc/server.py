"""The RPC server: listens, gives each connection a thread, watches them, and stops gracefully.

What deals with connections is loaded with the first client, or by `RpcServer.prepare`: a server is
to listen soon.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from .association import Associations
from .limits import MemoryBudget, ServerLimits
from .phases import overdue

if TYPE_CHECKING:
    from eseback.rpc import SyntaxId

    from .association import AssociationGroup
    from .authentication import Authentication
    from .connection import Connection
    from .registry import Service

log: Final = logging.getLogger("esesim.rpc")
_BACKLOG: Final = 1024  # clients that come all at once wait seconds to try again otherwise
# ASSUMED(keep-alive): a connection that is silent for a minute is probed every ten seconds, and is
# over after six probes without an answer; the systems' own default is two hours.
_KEEP_ALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))
_TICK_MAX: Final = 0.5  # seconds between two looks at all connections


class NotLoopbackError(ValueError):
    """Without authentication a server listens on this computer only."""


class RpcServer:
    """Serves ``services``, and with them management and the endpoint mapper, from :meth:`start`
    (or a ``with`` block) to :meth:`stop`.

    services: what to serve, or what makes it, which is called when it is first wanted.
    host, port: where to listen; port 0 takes a free one, which :attr:`address` tells.
    authentication: who may come in; without it everybody on this computer may. gather: send
    without joining buffers, where the system can (it can't on Windows). Raises NotLoopbackError,
    OSError where the address can't be used.
    """

    def __init__(
        self,
        services: Iterable[Service] | Callable[[], Iterable[Service]],
        host: str = "127.0.0.1",
        port: int = 0,
        limits: ServerLimits | None = None,
        *,
        authentication: Authentication | None = None,
        gather: bool = hasattr(socket.socket, "sendmsg"),
    ) -> None:
        self.limits = limits or ServerLimits()
        self.authentication = authentication
        self.memory = MemoryBudget(self.limits.memory)
        self.associations = Associations(self.limits.handles)
        self.tally = [0, 0, 0, 0]  # see counts; roughly, no lock is held
        self._stopped = threading.Event()
        self.is_stopping = False
        """Whether :meth:`stop` was called."""
        self._is_full = False  # whether a client was sent away since the last one was let in
        self._gather = gather
        self._connections: set[Connection] = set()
        self._lock = threading.Lock()
        self._own_services = services
        self._services: Mapping[SyntaxId, Service] | None = None
        if not callable(services):
            self._services = self._registered()
        self._gone = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._listener = _listen(host, port, authentication)
        found = self._listener.getsockname()
        self.address: tuple[str, int] = (found[0], found[1])
        """Address and port that clients connect to."""

    @property
    def services(self) -> Mapping[SyntaxId, Service]:
        """What is served, by interface."""
        with self._lock:  # two threads may be the first
            if self._services is None:
                self._services = self._registered()
            return self._services

    def _registered(self) -> Mapping[SyntaxId, Service]:
        """Raises ValueError where an interface is there twice."""
        from .standard import EndpointMapper, management

        own = self._own_services
        found: dict[SyntaxId, Service] = {}
        mapper = EndpointMapper(self._endpoints, lambda: self.address)
        standard = (management(self._interfaces, lambda: self.counts), mapper.service())
        for service in (*(own() if callable(own) else own), *standard):
            if service.interface.syntax in found:
                raise ValueError(f"interface {service.interface.syntax} is registered twice")
            found[service.interface.syntax] = service
        return found

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    @property
    def counts(self) -> list[int]:
        """Calls in and out, packets in and out."""
        with self._lock:
            repeated = sum(connection.repeated for connection in self._connections)
        return [count + repeated for count in self.tally]

    def start(self) -> Self:
        """Let clients in."""
        for name, target in (("accept", self._accept), ("watch", self._watch)):
            thread = threading.Thread(target=target, name=f"esesim-rpc-{name}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def prepare(self) -> None:
        """Load what the first client would otherwise have to wait for, at any time."""
        log.debug("%d interfaces, %s", len(self.services), _connection_class().__name__)

    def stop(self) -> None:
        """Let nobody in any more, let running calls come to their end, then close everything.

        Contexts that are open are run down. Stopping twice is allowed.
        """
        self.is_stopping = True
        self._stopped.set()
        # On Linux only a shutdown wakes a thread that accepts; elsewhere only closing does.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        deadline = time.monotonic() + self.limits.stop_seconds
        while connections := self._snapshot():
            late = time.monotonic() >= deadline
            for connection in connections:
                if late or not connection.is_busy:
                    connection.cut("the server stops")
            if time.monotonic() >= deadline + 1:
                log.warning("%d calls did not end in time", len(connections))
                break
            self.wait_for_end(0, 0.01)
        for thread in self._threads:
            thread.join(1)

    def cut(
        self, reason: str, of: Callable[[AssociationGroup | None], bool] = lambda _: True
    ) -> None:
        """Break all connections, or those of some clients, by their association groups (None
        before the bind); whoever connects from now on is served.
        """
        for connection in self._snapshot():
            if of(connection.joined):
                connection.cut(reason)

    def wait_for_end(self, connections: int, seconds: float) -> bool:
        """Wait until there are no more than so many connections, and the others' contexts are run
        down; whether that came about in time.
        """
        with self._gone:
            return self._gone.wait_for(lambda: len(self._connections) <= connections, seconds)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # ---- threads

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                sock, peer = self._listener.accept()
            except OSError as error:
                if self.is_stopping:
                    return
                # Out of descriptors, or the client has gone again: neither ends the server.
                log.warning("a connection could not be accepted: %s", error)
                time.sleep(0.05)
                continue
            try:
                self._admit(sock, peer[0])
            except (OSError, RuntimeError) as error:  # RuntimeError: no more threads
                log.warning("%s: not served: %s", peer[0], error)
                sock.close()

    def _admit(self, sock: socket.socket, peer: str) -> None:
        if len(self._connections) >= self.limits.connections:
            if not self._is_full:  # said once: a flood of clients shall be none of the log
                log.warning("%s: not served: %d connections already", peer, self.limits.connections)
            self._is_full = True
            sock.close()
            return
        self._is_full = False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(sock)
        is_remote = not _is_loopback(peer)
        connection = _connection_class()(self, sock, peer, is_remote, gather=self._gather)
        with self._lock:
            self._connections.add(connection)
        thread = threading.Thread(
            target=self._run, args=(connection,), name="esesim-rpc-client", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            self._forget(connection)
            raise

    def _run(self, connection: Connection) -> None:
        try:
            connection.run()
        finally:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        with self._gone:
            if connection in self._connections:
                self._connections.remove(connection)
                self.tally[:] = [count + connection.repeated for count in self.tally]
            self._gone.notify_all()

    def _snapshot(self) -> list[Connection]:
        with self._lock:
            return list(self._connections)

    def _watch(self) -> None:
        limits = self.limits
        shortest = min(limits.handshake_seconds, limits.stall_seconds, limits.idle_seconds)
        while not self._stopped.wait(min(shortest / 4, _TICK_MAX)):
            now = time.monotonic()
            for connection in self._snapshot():
                phase, since = connection.phase, connection.unchanged_since(now)
                seconds = overdue(phase, limits, connection.holds_contexts)
                # Looked at twice: phase and time are not written in one.
                if seconds is not None and now - since > seconds and connection.phase is phase:
                    connection.cut(f"{phase.value} for more than {seconds:g} s")

    # ---- what the standard interfaces tell

    def _interfaces(self) -> Sequence[SyntaxId]:
        return tuple(self.services)

    def _endpoints(self) -> Sequence[tuple[SyntaxId, str]]:
        """Interfaces with annotations."""
        return tuple((syntax, found.interface.name) for syntax, found in self.services.items())


def _connection_class() -> type[Connection]:
    from .connection import Connection

    return Connection


def keep_alive(sock: socket.socket) -> None:
    """Have the system find out whether the client's computer is still there, where nothing is sent.

    A client may rest as long as it likes with a context; one that has vanished without a word must
    not hold its storage group for longer than the two minutes that this takes.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int, authentication: Authentication | None) -> socket.socket:
    """A listening socket. Raises NotLoopbackError, OSError."""
    may_be_remote = authentication is not None and authentication.keeps_strangers_out
    # As bytes a plain name does not load the encoding of international ones.
    name = host.encode() if host.isascii() else host
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for *_, address in found:
        if not may_be_remote and not _is_loopback(str(address[0])):
            raise NotLoopbackError(
                f"{host} can be reached from other computers, and there is no authentication: "
                "name a user file (--users) and a level, or listen on 127.0.0.1"
            )
    family, _, _, _, address = found[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
