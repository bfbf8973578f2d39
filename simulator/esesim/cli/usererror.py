"""How a command tells that the user has to put something right."""

from __future__ import annotations

import click


class UserError(click.ClickException):
    """Something that the user can put right; the message says how."""

    exit_code = 2
