"""A server on the wire, as a process of its own: prints the port and serves until it is killed.

python -m benchmarks.rpc_peer [--virtual GIB] [--groups N] [--fragment BYTES] [--verify]
                              [--portable] [--users]
"""

from __future__ import annotations

import argparse
import threading

from attrs import evolve

from benchmarks.servers import MIB, quiet_topology, write_out
from eseback.rpc import Limits
from esesim import SimulatedServer, Topology
from esesim.engine.goodpages import GoodPages
from esesim.rpc import (
    Authentication,
    BackupService,
    Computers,
    RpcServer,
    ServerLimits,
    User,
    Users,
)

USER = "bench"
PASSWORD = "not a secret"


class NothingKnown(GoodPages):
    """Forgets at once: every read verifies every page."""

    def covers(self, first: int, count: int) -> bool:
        """No page is in the set."""
        return not count


def large_topology() -> Topology:
    """One store of 40 MB, so that opening and closing it does not count."""
    topology = quiet_topology(messages=600, body_size_max=512 << 10, log_size=MIB)
    return evolve(topology, server=evolve(topology.server, profile="exchange-2003-rtm"))


def verify_everything(server: SimulatedServer) -> None:
    """Let no page pass unverified."""
    for group in server.groups:
        for database in group.running.databases.values():
            database.pages.known_good = NothingKnown()


def groups_of_2007(count: int) -> Topology:
    """Storage groups with one store of some megabytes each."""
    topology = quiet_topology(messages=20, body_size_max=512 << 10, log_size=MIB)
    (group,) = topology.groups
    groups = tuple(
        evolve(
            group,
            name=f"Group {number}",
            base=f"E{number:02}",
            log_path=rf"C:\Exchsrvr\Group {number}",
            system_path=rf"C:\Exchsrvr\Group {number}",
            stores=(evolve(group.stores[0], name=f"Store {number}", edb="", stm=""),),
        )
        for number in range(count)
    )
    return evolve(topology, server=evolve(topology.server, profile="exchange-2007"), groups=groups)


def virtual_topology(gib: int) -> Topology:
    """One virtual store of so many GiB."""
    topology = quiet_topology(messages=40, log_size=MIB)
    (group,) = topology.groups
    stores = (evolve(group.stores[0], size=gib << 30),)
    return evolve(topology, groups=(evolve(group, stores=stores),))


def topology_of(options: argparse.Namespace) -> Topology:
    """What is to be served."""
    if options.virtual:
        return virtual_topology(options.virtual)
    return groups_of_2007(options.groups) if options.groups else large_topology()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--virtual", type=int, default=0)
    parser.add_argument("--groups", type=int, default=0)
    parser.add_argument("--fragment", type=int, default=Limits().fragment_max)
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--portable", action="store_true")
    parser.add_argument("--users", action="store_true")
    options = parser.parse_args()

    limits = ServerLimits(call=Limits(fragment_max=options.fragment))
    authentication = None
    if options.users:
        authentication = Authentication(Users([User.make("", USER, PASSWORD, may_back_up=True)]))
    with SimulatedServer(topology_of(options)) as simulated:
        if not options.virtual:
            write_out(simulated)
        if options.verify:
            verify_everything(simulated)
        computers = Computers([simulated])
        backup = BackupService(computers.session, computers.connection_lost, limits.read_max)
        with RpcServer(
            [backup.service()],
            limits=limits,
            authentication=authentication,
            gather=not options.portable,
        ) as server:
            print(server.address[1], flush=True)
            threading.Event().wait()


if __name__ == "__main__":
    main()
