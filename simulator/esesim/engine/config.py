"""What an instance is made of: names, folders, sizes, and the era's habits as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from eseback.data import frozen

from .quirk import Quirk

DATABASES_MAX: Final = 6
"""User databases of an instance; slot 0 is the temporary one (ESE source, ATTACHINFO space)."""


@frozen
class InstanceConfig:
    """One storage group as the engine sees it. Sizes in bytes, folders as Windows paths."""

    name: str
    base: str
    system_path: str
    log_path: str
    log_file_size: int = 5 * 1024 * 1024
    page_size: int = 4096
    revision: int = 0xB
    generation_digits: int = 5
    log_major: int = 7
    log_minor: int = 3704
    log_update: int = 8
    circular: bool = False
    # ASSUMED(logging-off): with logging off the engine still logs for itself; only backups are
    # refused.
    logging: bool = True
    generation_first: int = 1
    generation_max: int = 0xFFFFF - 16
    checkpoint_depth_max: int = 1008
    # Exchange 2000 RTM and SP1: no trailer; pages that took moved rows go to a patch file.
    patch_files: bool = False
    has_streaming: bool = True
    # Exchange 2000: an error with a file ends the backup in every phase, a missing one is -1811.
    any_failure_cancels: bool = False
    # Exchange 2007: the header also remembers copies and differentials.
    copy_marks: bool = False
    quirks: frozenset[Quirk] = frozenset()
    computer: str = ""
    initial_pages: int = 256
    cache_pages: int = 8192
    # ASSUMED(lazy-writer): pages written per background slice, and how many generations the
    # checkpoint may lag before the writer hurries.
    flush_per_slice: int = 2
    checkpoint_lag: int = 6
    # -1003 for reads that aren't whole pages is the engine's own rule; the session hides it.
    resolve: Callable[[str], str] = lambda path: path
