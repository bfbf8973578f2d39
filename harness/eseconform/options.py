"""Options that several commands have."""

from __future__ import annotations

from typing import Final

import click

from eseconform.transports import Transport


def _transport(_: click.Context, __: click.Parameter, name: str) -> Transport:
    return Transport(name)


TRANSPORT: Final = click.option(
    "--transport",
    type=click.Choice([transport.value for transport in Transport]),
    default=Transport.INPROC.value,
    show_default=True,
    callback=_transport,
    help="How calls reach the server: directly, or by DCE/RPC over TCP on this computer.",
)
