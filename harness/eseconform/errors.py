"""Errors of the harness itself, each with the exit code it leads to."""

from __future__ import annotations


class HarnessError(Exception):
    """Something went wrong on our side; exit code 3."""


class UsageError(Exception):
    """A wrong argument, filter, file or setting; exit code 4. The text says what to do."""


class SutUnusable(Exception):
    """The client can't be used at all (cannot be imported, is dead); exit code 7."""
