"""Commands must not load what they do not need: a CI calls them hundreds of times."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.support.project import run_python

HEAVY = ("asyncio", "attr", "cattrs", "hypothesis", "jinja2", "junitparser", "rich", "ssl")

PROGRAM = """
import sys
from {package}.cli import main
sys.argv = [{package!r}, "--version"]
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
print(*[name for name in {heavy!r} if name in sys.modules], sep=",")
"""


@pytest.mark.parametrize("package", ["esesim", "esebcli", "eseconform"])
def test_version_loads_nothing_heavy(package: str) -> None:
    done = run_python("-c", PROGRAM.format(package=package, heavy=HEAVY))
    assert done.returncode == 0, done.stderr
    version, loaded = done.stdout.splitlines()
    assert version.endswith("0.1.0")
    assert loaded == ""


# Heavy, for what comes with the first client, or for what most servers never see: restores,
# directories, users, the client's side.
UNSERVED = (
    *(name for name in HEAVY if name != "attr"),
    "base64",
    "difflib",
    "hmac",
    "importlib.resources",
    "json",
    "spnego",
    "tempfile",
    "zipfile",
    "subprocess",
    "tomllib",
    "eseback.order",
    "eseback.restoreorder",
    "eseback.rpc.acceptor",
    "eseback.rpc.address",
    "eseback.rpc.admin",
    "eseback.rpc.backup_calls",
    "eseback.rpc.backup_interface",
    "eseback.rpc.connection",
    "eseback.rpc.connection_client",
    "eseback.rpc.connection_server",
    "eseback.rpc.epm",
    "eseback.rpc.events",
    "eseback.rpc.handshake",
    "eseback.rpc.initiator",
    "eseback.rpc.ntlm_acceptor",
    "eseback.rpc.ntlm_messages",
    "eseback.rpc.ntlm_security",
    "eseback.rpc.pdu",
    "eseback.rpc.spnego_tokens",
    "esesim.cli.ctl",
    "esesim.engine.backup",
    "esesim.engine.ballast",
    "esesim.engine.virtual",
    "esesim.engine.hardrecovery",
    "esesim.engine.restoredimage",
    "esesim.engine.restorelogs",
    "esesim.engine.softrecovery",
    "esesim.exchange.recovery",
    "esesim.exchange.restore",
    "esesim.faultplans",
    "esesim.faults",
    "esesim.rpc.adminserver",
    "esesim.rpc.authentication",
    "esesim.rpc.backup",
    "esesim.layer",
    "esesim.rpc.connection",
    "esesim.rpc.standard",
    "esesim.rpc.users",
    "esesim.server.directory",
    "esesim.server.snapshot",
    "esesim.session",
    "esesim.transcript",
    "esesim.volume.directory",
)

# As far as the line that says where the server listens: then it loads what the first client needs.
SERVE = """
import sys
before = set(sys.modules)  # what measures coverage is no part of it
import esesim.cli.serve
from esesim.cli import main
def announce(*_, **__):
    print(*[name for name in {unserved!r} if name in sys.modules and name not in before], sep=",")
    sys.exit()
sys.modules["esesim.cli.serve"]._announce = announce
sys.argv = ["esesim", "serve", "minimal"]
main()
"""


def test_serving_loads_nothing_that_it_does_not_need() -> None:
    done = run_python("-c", SERVE.format(unserved=UNSERVED))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    "name",
    ["eseback", "eseback.rpc", "esesim.engine", "esesim.rpc", "esesim.server", "esesim.volume"],
)
def test_names_that_are_loaded_later_are_there(name: str) -> None:
    package = import_module(name)
    for exported in package.__all__:
        assert getattr(package, exported) is not None
    with pytest.raises(AttributeError, match=f"'{name}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018
