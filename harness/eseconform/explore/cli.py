"""The commands `eseconform fuzz` and `eseconform enumerate`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from eseconform.errors import UsageError
from eseconform.options import TRANSPORT
from eseconform.transports import Transport

if TYPE_CHECKING:
    from eseconform.explore.player import Divergence

LENGTH_MAX = 8
"""Beyond it the states of an enumeration no longer fit into an afternoon."""

_OUT = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("repro"),
    show_default=True,
    help="Directory for repro.toml and test_repro.py, if a rule is broken.",
)


@click.command()
@click.option(
    "--examples",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="How many servers to try.",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=80,
    show_default=True,
    help="Steps on each.",
)
@click.option("--seed", type=int, default=None, help="Repeats a run  [default: a new one].")
@TRANSPORT
@_OUT
def fuzz(examples: int, steps: int, seed: int | None, transport: Transport, out: Path) -> None:
    """Draw servers, faults and calls, and hold the simulated server against model and law.

    The model is the order of calls, who backs up which group, and what is mounted; the law, that a
    backup that ended well can be restored. Needs the extra "fuzz" (Hypothesis).
    """
    try:
        from eseconform.explore.machine import exploration, fuzz_settings, run_machine
    except ImportError:
        raise UsageError("fuzz needs Hypothesis: pip install 'esesim[fuzz]'") from None
    seed = time.time_ns() % 1_000_000 if seed is None else seed
    click.echo(f"{examples} servers, {steps} steps on each, {transport.words}seed {seed}")
    machine = exploration(transport=transport)
    begin = time.perf_counter()
    divergence = run_machine(machine, fuzz_settings(examples, steps), seed)
    seconds = time.perf_counter() - begin
    seen = machine.seen
    click.echo(
        f"{seen['steps']} steps in {seconds:.1f} s ({seen['steps'] / seconds:.0f} a second), "
        f"{len(seen) - 1} kinds of outcomes, {seen.get('backup recovered', 0)} backups recovered"
    )
    _finish(divergence, out)


@click.command("enumerate")
@click.option(
    "--length",
    type=click.IntRange(1, LENGTH_MAX),
    default=4,
    show_default=True,
    help="Calls of a sequence.",
)
@click.option("--new", is_flag=True, help="On a server that was never backed up.")
@_OUT
def enumerate_(length: int, new: bool, out: Path) -> None:
    """Try every sequence of calls up to a length, on the smallest server."""
    from eseconform.explore.enumerate import SMALLEST, enumerate_calls
    from eseconform.explore.steps import Shape

    begin = time.perf_counter()
    found = enumerate_calls(length, Shape() if new else SMALLEST)
    seconds = time.perf_counter() - begin
    click.echo(
        f"{found.sequences:,} sequences of {length} calls out of {len(found.alphabet)}, covered by "
        f"{found.calls:,} calls in {found.states:,} states; {found.unchanged:,} of the calls "
        f"changed nothing, {found.joined:,} led where another sequence had led ({seconds:.1f} s)"
    )
    _finish(found.divergence, out)


COMMANDS = (fuzz, enumerate_)


def _finish(divergence: Divergence | None, out: Path) -> None:
    """Say how it ended; exit code 1 after a divergence, whose files are written before."""
    if divergence is None:
        click.echo("no rule was broken")
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "repro.toml").write_text(divergence.scenario.to_toml(), "utf-8")
        (out / "test_repro.py").write_text(divergence.scenario.to_test(), "utf-8")
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror or error}") from None
    click.echo(f"{divergence.summary}\nrepro.toml and test_repro.py are in {out}")
    sys.exit(1)
