"""``esesim ctl``: look at a server that `esesim serve --admin` runs, set it up, disturb it.

Exit code 1: the server refuses, or the connection broke; 2: something that the user can put right.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from .usererror import UserError

if TYPE_CHECKING:
    from ..rpc.adminclient import AdminClient

_F = TypeVar("_F", bound=Callable[..., Any])
_OWN_RATE: Final = "topology"


class Refused(click.ClickException):
    """The server does not do it, or nobody knows whether it did."""

    exit_code = 1


class Target(NamedTuple):
    """Which server, and which of its computers; None for the first."""

    server: str | None
    computer: str | None

    @contextmanager
    def connect(self) -> Iterator[AdminClient]:
        """A connection; what goes wrong on it is told to the user."""
        from eseback.errors import EseBackupError
        from eseback.rpc import LocalProtocolError

        from ..rpc.adminclient import AdminClient, AdminUnavailable

        if self.server is None:
            raise UserError("which server? Give --server rpc:HOST:PORT, or set ESESIM_ENDPOINT")
        try:
            with AdminClient(self.server) as admin:
                yield admin
        except (AdminUnavailable, LocalProtocolError, ValueError) as error:
            raise UserError(_one_line(str(error))) from None
        except EseBackupError as error:
            text = _one_line(error.detail if error.row is None and error.detail else str(error))
            if error.row is None:
                raise UserError(text) from None
            raise Refused(text) from None


def _one_line(text: str) -> str:
    return " ".join(text.split())


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--server",
    envvar="ESESIM_ENDPOINT",
    show_envvar=True,
    metavar="rpc:HOST:PORT",
    help="Where `esesim serve --admin` listens.",
)
@click.option(
    "--computer",
    envvar="ESESIM_COMPUTER",
    show_envvar=True,
    metavar="NAME",
    help="One of several computers on that endpoint; without it the first.",
)
@click.pass_context
def ctl(context: click.Context, server: str | None, computer: str | None) -> None:
    """Look at a running server, set it up for a test, disturb it.

    The server has to be started with `esesim serve --admin`.
    """
    context.obj = Target(server, computer)


_target = click.make_pass_decorator(Target)
_json = click.option("--json", "as_json", is_flag=True, help="As JSON.")


def _show(found: object) -> None:
    click.echo(json.dumps(found, indent=2, ensure_ascii=False))


def _stores(function: _F) -> _F:
    return click.argument("group")(click.argument("store")(function))


# -- looking


@ctl.command()
@_json
@_target
def state(target: Target, as_json: bool) -> None:
    """Show storage groups, stores, logs, backups."""
    from .ctltext import state_lines

    with target.connect() as admin:
        computer, *groups = admin.rows("get_state", target.computer)
        names = [row["name"] for row in admin.rows("get_computers")]
    found = {**computer, "computers": names, "groups": groups}
    if as_json:
        _show(found)
    else:
        click.echo("\n".join(state_lines(found)))


@ctl.command()
@click.option("--since", type=click.IntRange(0), default=0, help="Leave out so many of the first.")
@_json
@_target
def events(target: Target, since: int, as_json: bool) -> None:
    """Show the event log."""
    from .ctltext import event_line

    with target.connect() as admin:
        found = list(admin.rows("get_events", target.computer, first=since))
    if as_json:
        _show(found)
    for event in () if as_json else found:
        click.echo(event_line(event))


@ctl.command()
@_json
@_target
def ledger(target: Target, as_json: bool) -> None:
    """Show what is committed in each store, and what backups bring back of it."""
    from .ctltext import ledger_lines

    with target.connect() as admin:
        found = list(admin.rows("get_ledger", target.computer))
    if as_json:
        _show(found)
    for row in () if as_json else found:
        click.echo("\n".join(ledger_lines(row)))


@ctl.command()
@_stores
@click.option(
    "--generation", type=click.IntRange(0), help="As it was when that log was closed; else now."
)
@_target
def journal(target: Target, group: str, store: str, generation: int | None) -> None:
    """Show the committed rows of a store, a JSON object on each line."""
    from eseback.rpc.admin import ALL_GENERATIONS

    wanted = ALL_GENERATIONS if generation is None else generation
    with target.connect() as admin:
        for text in admin.texts("get_journal", target.computer, group, store, wanted):
            click.echo(text)


@ctl.command()
@click.argument("action", type=click.Choice(("show", "on", "off")), default="show")
@click.option("--client", type=click.IntRange(0), default=0, help="Of one client, by its number.")
@click.option("--since", type=click.IntRange(0), default=0, help="Leave out so many of the first.")
@_json
@_target
def transcript(target: Target, action: str, client: int, since: int, as_json: bool) -> None:
    """Write clients' calls down from now on, no longer, or show them (on, off, show).

    With --json, each line is a line of a transcript; with --client those of one client, which
    together are its transcript.
    """
    from .ctltext import call_line

    with target.connect() as admin:
        if action != "show":
            admin.call("set_transcript", target.computer, int(action == "on"))
            return
        for text in admin.texts("get_transcript", target.computer, client, first=since):
            click.echo(text if as_json else call_line(json.loads(text)))


# -- setting up


@ctl.command()
@_stores
@_target
def mount(target: Target, group: str, store: str) -> None:
    """Mount a store."""
    with target.connect() as admin:
        admin.call("mount", target.computer, group, store)


@ctl.command()
@_stores
@_target
def dismount(target: Target, group: str, store: str) -> None:
    """Dismount a store."""
    with target.connect() as admin:
        admin.call("dismount", target.computer, group, store)


@ctl.command()
@_stores
@click.argument("value", type=click.Choice(("on", "off")), default="on")
@_target
def overwrite(target: Target, group: str, store: str, value: str) -> None:
    """Allow restores to overwrite a store (on), or forbid it (off)."""
    with target.connect() as admin:
        admin.call("set_overwritable", target.computer, group, store, int(value == "on"))


@ctl.command()
@click.argument("group")
@click.argument("steps", type=click.IntRange(1, 100_000))
@_target
def workload(target: Target, group: str, steps: int) -> None:
    """Let the users of a storage group take so many STEPS, and wait for that."""
    with target.connect() as admin:
        admin.call("run_workload", target.computer, group, steps)


@ctl.command()
@click.argument("steps_per_second")
@_target
def rate(target: Target, steps_per_second: str) -> None:
    """Set how busy the users of each storage group are.

    STEPS_PER_SECOND by the clock, 0 for not at all; or `topology`: as many at each call as the
    topology says.
    """
    from eseback.rpc.admin import OWN_RATE

    try:
        own = steps_per_second == _OWN_RATE
        wanted = OWN_RATE if own else round(float(steps_per_second) * 1000)
    except (ValueError, OverflowError):
        wanted = -1
    if not 0 <= wanted <= OWN_RATE:
        raise UserError(f"{steps_per_second!r} is neither a rate nor the word {_OWN_RATE!r}")
    with target.connect() as admin:
        admin.call("set_rate", target.computer, wanted)


@ctl.command()
@_target
def reset(target: Target) -> None:
    """Set the computer back to the state in which it was served first; snapshots are kept."""
    with target.connect() as admin:
        admin.call("reset", target.computer)


@ctl.command()
@_json
@_target
def snapshot(target: Target, as_json: bool) -> None:
    """Keep the computer's state; prints the number of the snapshot."""
    with target.connect() as admin:
        (number,) = admin.call("take_snapshot", target.computer)
    if as_json:
        _show({"snapshot": number})
    else:
        click.echo(number)


@ctl.command("restore-snapshot")
@click.argument("number", type=click.IntRange(1))
@_target
def restore_snapshot(target: Target, number: int) -> None:
    """Set the computer back to a state that was kept."""
    with target.connect() as admin:
        admin.call("restore_snapshot", target.computer, number)


@ctl.command("delete-snapshot")
@click.argument("number", type=click.IntRange(1))
@_target
def delete_snapshot(target: Target, number: int) -> None:
    """Forget a state that was kept."""
    with target.connect() as admin:
        admin.call("delete_snapshot", target.computer, number)


# -- disturbing


@ctl.command()
@click.option("--seed", type=click.IntRange(0, 0xFFFFFFFF), default=0, help="Decides what is lost.")
@_json
@_target
def crash(target: Target, seed: int, as_json: bool) -> None:
    """Let the computer lose power and start again; its clients' connections break."""
    with target.connect() as admin:
        lost, torn = admin.call("crash", target.computer, seed)
    if as_json:
        _show({"lost": lost, "torn": torn})
    else:
        click.echo(f"crashed and started again; unsynced writes: {lost} lost, {torn} torn")


@ctl.command()
@click.argument("group")
@click.argument("store", required=False)
@_target
def destroy(target: Target, group: str, store: str | None) -> None:
    """Delete the files of a dismounted STORE; without one, everything of a storage group."""
    with target.connect() as admin:
        if store is None:
            admin.call("destroy_group", target.computer, group)
        else:
            admin.call("destroy_store", target.computer, group, store)


@ctl.command()
@click.argument("plan", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--clear", is_flag=True, help="Take the plan away.")
@_json
@_target
def faults(target: Target, plan: Path | None, clear: bool, as_json: bool) -> None:
    """Show the rules of the fault plan and how often each fired; with PLAN, install that first.

    PLAN is a file in TOML or JSON, `-` for standard input.
    """
    from .ctltext import fault_line

    if clear and plan is not None:
        raise UserError("either a plan or --clear")
    text = "" if plan is None else _read(plan)
    with target.connect() as admin:
        if clear or plan is not None:
            admin.call("set_faults", target.computer, text)
        found = list(admin.rows("get_faults", target.computer))
    if as_json:
        _show(found)
    for rule in () if as_json else found:
        click.echo(fault_line(rule))


def _read(path: Path) -> str:
    try:
        with click.open_file(str(path), encoding="utf-8") as file:
            text: str = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
    if "\0" in text:
        raise UserError(f"{path}: is no text")
    return text
