"""What can go wrong on the client's side, apart from errors that the server returns.

Errors of the server are :class:`eseback.errors.EseBackupError`. The types here say whose turn it
is: a :class:`UserError` is put right on the command line (exit code 2), a :class:`SetError` is
about a backup set on disk, a :class:`RestoreRefused` about what several of them are together, a
:class:`JobError` ends the backup or the restore of a storage group (all of these exit code 1).
"""

from __future__ import annotations


class EsebcliError(Exception):
    """Base of the errors raised by this package; the text is one line and says what to do."""


class UserError(EsebcliError):
    """An argument can't be used as it was given."""


class SetError(EsebcliError):
    """A folder holds no set that can be read: its manifest is missing, damaged or too new."""


class RestoreRefused(EsebcliError):
    """The sets can't be restored as asked; nothing on the server was changed."""


class JobError(EsebcliError):
    """The server answered, but not so that the backup or the restore could go on."""


class JobCancelled(JobError):
    """The caller asked the job to stop."""
