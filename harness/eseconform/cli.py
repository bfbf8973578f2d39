"""Command line of the harness. Exit codes: see :class:`eseconform.verdicts.ExitCode`."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

import eseconform
from eseconform.cli_reports import expect, report
from eseconform.errors import HarnessError, SutUnusable, UsageError
from eseconform.explore.cli import COMMANDS
from eseconform.options import TRANSPORT
from eseconform.transports import Transport

# Heavy modules are imported where they are used: `eseconform --version` must stay quick.


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(eseconform.__version__, prog_name="eseconform")
def cli() -> None:
    """Judge backup clients for the ESE streaming backup API against a simulated Exchange server.

    \b
    Exit codes: 0 conformant, 1 not conformant, 2 interrupted, 3 error of the harness,
    4 wrong usage, 5 nothing ran, 6 inconclusive, 7 the client can't be used.
    """


@cli.command()
@click.option(
    "--sut",
    metavar="SPEC",
    help="The client: python:package.module:factory, cmd:COMMAND or cmd:@FILE.toml.",
)
@click.option(
    "--server",
    metavar="SPEC",
    help="Judge a server instead: inproc (the simulator), inproc:VERSION of it, or inproc:MUTANT.",
)
@click.option("--suite", default="default", show_default=True, help="Which cases to run.")
@click.option(
    "--case",
    "patterns",
    multiple=True,
    metavar="ID",
    help="Run these cases instead of a suite; may hold * and may be given more than once.",
)
@click.option("--seed", default=1, show_default=True, help="Seed of the simulated servers.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("report"),
    show_default=True,
    help="Directory for results, transcripts and reports.",
)
@click.option("--json", "as_json", is_flag=True, help="Print results.json instead of a table.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many cases to run at once, each in a process.",
)
@click.option("--keep-sets", is_flag=True, help="Leave the saved bytes in the directory.")
@click.option(
    "--expect",
    "expected",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Failures that are known; a line that no longer holds breaks the run.",
)
@TRANSPORT
def check(
    sut: str | None,
    server: str | None,
    suite: str,
    patterns: tuple[str, ...],
    seed: int,
    out: Path,
    as_json: bool,
    jobs: int,
    keep_sets: bool,
    expected: Path | None,
    transport: Transport,
) -> None:
    """Judge a client, or with --server a server.

    The client is a factory: it is called as factory(api, task), does one job on the api (every call
    of eseback.api.BackupApi) and returns a claim about it; see eseconform.task. What it can do
    beyond a full backup it declares in an attribute `capabilities`, its own or its module's:
    incremental, copy, differential, partial, parallel, restore, play_forward, redirect. One that
    declares nothing is asked for incrementals; of one that restores, every set that it calls good
    is restored as well.

    Or it is a program of any language, run once for each job: cmd:"agent backup --server {endpoint}
    --out {set}". It always comes over the wire. cmd:@FILE.toml names its other commands and what it
    can do; docs/foreign-clients.md tells how it gets its task and gives its answer.
    """
    from eseconform.cases import catalogue
    from eseconform.dates import today
    from eseconform.events import EventStream
    from eseconform.expectations import applied, read_expectations
    from eseconform.report.html import write_html
    from eseconform.report.junit import write_junit
    from eseconform.report.markdown import write_markdown
    from eseconform.report.matrix import Source
    from eseconform.report.table import console_for, print_report, progress
    from eseconform.results import to_json, write_results
    from eseconform.runner import Settings
    from eseconform.serverside.run import CHECKS, chosen_checks, run_checks
    from eseconform.serverside.target import load_target
    from eseconform.suite import make_plan, run_plan
    from eseconform.sut import load_sut

    if sut is None and server is None:
        raise UsageError("Missing option '--sut', for a client, or '--server'")
    if sut is not None and server is not None:
        raise UsageError("--sut and --server exclude each other: judge one at a time")
    plan = None if sut is None else make_plan(catalogue(), suite, patterns)
    client = None if sut is None else load_sut(sut)
    if client is not None and client.over_wire:
        if transport is Transport.INPROC and _was_given("transport"):
            raise UsageError("a program always comes over the wire: leave out --transport inproc")
        transport = Transport.RPC
    target = None if server is None else load_target(server, transport)
    checks = () if server is None else chosen_checks(patterns)
    expectations = read_expectations(expected) if expected is not None else ()
    folder = _writable(out)
    with progress() as listener, EventStream(folder / "events.ndjson", (listener,)) as events:
        if target is not None:
            run = run_checks(checks, target, seed, events, jobs)
        elif plan is not None and client is not None:
            settings = Settings(client, catalogue(), seed, folder, events, keep_sets, transport)
            run = run_plan(plan, settings, jobs)
    if expected is not None:
        known = catalogue().cases if server is None else [check.id for check in CHECKS]
        run = applied(expectations, run, today=today(), known=known)
    write_results(run, folder)
    write_junit(run, folder)
    write_markdown([Source(run)], folder)
    write_html([Source(run)], folder)
    if as_json:
        click.echo(to_json(run), nl=False)
    else:
        console = console_for()
        print_report(run, console)
        for line in run.broken_expectations:
            console.print(f"{expected}, {line}", markup=False, soft_wrap=True)
        page = folder / "index.html"
        console.print(
            f"{page} shows it all; results.json and junit.xml are beside it", soft_wrap=True
        )
    sys.exit(int(run.exit_code))


@cli.command("list")
@click.option("--requirements", "what", flag_value="requirements", help="Name the rules instead.")
@click.option("--zoo", "what", flag_value="zoo", help="Name the zoo's clients instead.")
@click.option("--servers", "what", flag_value="servers", help="Name the checks of servers instead.")
@click.option(
    "--placeholders",
    "what",
    flag_value="placeholders",
    help="Name what a command of --sut cmd: can be told instead.",
)
def list_(what: str | None) -> None:
    """Name the cases, the rules, the clients of the zoo, or what a program can be told."""
    from eseconform.report.catalogue import (
        case_table,
        placeholder_table,
        requirement_table,
        server_table,
        zoo_table,
    )
    from eseconform.report.table import console_for

    makers = {
        "requirements": requirement_table,
        "zoo": zoo_table,
        "servers": server_table,
        "placeholders": placeholder_table,
    }
    console_for().print(makers.get(what or "", case_table)())


@cli.command()
@click.argument("name")
def show(name: str) -> None:
    """Tell everything about a case or a rule, by its id."""
    from eseconform.report.catalogue import description

    click.echo(description(name))


@cli.command()
@click.option("--demo", is_flag=True, help="Three broken clients on the demo server only.")
@click.option("--seed", default=1, show_default=True, help="Seed of the simulated servers.")
@click.option(
    "--only",
    type=click.Choice(["clients", "servers"]),
    default=None,
    help="One half of the zoo.  [default: both]",
)
@click.option(
    "--jobs",
    "--processes",
    "processes",
    type=click.IntRange(min=1),
    default=None,
    help="How many to run at once, each in a process  [default: one for each processor].",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Directory for the kill matrices (kill-matrix.md, kill-matrix-servers.md).",
)
def selftest(
    demo: bool, seed: int, only: str | None, processes: int | None, out: Path | None
) -> None:
    """Check the harness itself: are broken clients caught, and correct ones left in peace?

    And likewise servers: is each broken one found, and does the simulator pass?
    """
    from eseconform.report.table import console_for
    from eseconform.selftest import processors, run_selftest, run_server_selftest

    folder = _writable(out) if out is not None else None
    console, code = console_for(), 0
    if only != "servers":
        code = int(run_selftest(console, demo=demo, seed=seed, processes=processes, out=folder))
    if only != "clients" and not demo:
        jobs = processes or processors(8)
        code = max(code, int(run_server_selftest(console, seed=seed, jobs=jobs, out=folder)))
    sys.exit(code)


cli.add_command(report)
cli.add_command(expect)
for _command in COMMANDS:
    cli.add_command(_command)


def _was_given(option: str) -> bool:
    """Whether the user wrote an option of the command that runs."""
    source = click.get_current_context().get_parameter_source(option)
    return source is not click.core.ParameterSource.DEFAULT


def _writable(folder: Path) -> Path:
    """The directory, made if it is missing.

    Raises:
        UsageError: it can't be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".eseconform"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--out {folder}: {error.strerror or error}") from None
    return folder


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code."""
    try:
        cli.main(arguments, prog_name="eseconform", standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except click.ClickException as error:
        error.show()
        return 4
    except UsageError as error:
        return _failed(str(error), 4)
    except SutUnusable as error:
        return _failed(f"the client can't be used: {error}", 7)
    except (click.Abort, KeyboardInterrupt):
        return _failed("interrupted", 2)
    except HarnessError as error:
        return _failed(f"error of the harness: {error}", 3)
    except Exception:
        traceback.print_exc()
        return _failed("error of the harness; please report the lines above", 3)
    return 0


def _failed(text: str, code: int) -> int:
    click.echo(f"eseconform: {text}", err=True)
    return code


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
