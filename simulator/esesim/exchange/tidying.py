"""What is deleted after a restore has succeeded."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from eseback.formats import names
from eseback.structures import RestoreEnvironment

from ..volume import Volume
from ..windows_path import path_key, to_volume_path
from .environment import ENVIRONMENT_NAME


# ASSUMED(restored-logs-deleted): after a successful Complete without KEEP_LOG_FILES the server
# deletes restore.env, the restored logs and the patch files from the restore's folder.
def remove_restored(volume: Volume, environment: RestoreEnvironment) -> None:
    """Delete restore.env, then the logs and patch files of the set."""
    folder = to_volume_path(environment.restore_log_path)
    base = environment.log_base_name
    # First what promises that the rest is there: a crash in between leaves nothing half promised.
    _delete(volume, folder, lambda name: name.casefold() == ENVIRONMENT_NAME)
    _delete(
        volume,
        folder,
        lambda name: (
            name.casefold().endswith(".pat")
            or (base is not None and environment.gen_low <= _generation(name, base))
        ),
    )


def remove_traces(volume: Volume, environment: RestoreEnvironment) -> None:
    """Delete what the recovering instance wrote for itself: its log, its checkpoint, side files.

    Only for folders that are no storage group's: there they are its log stream.
    """
    base = environment.log_base_name
    if base is None:
        return
    log_folder = to_volume_path(environment.restore_instance_log_path)
    restored = to_volume_path(environment.restore_log_path)
    with_set = path_key(log_folder) == path_key(restored)
    _delete(
        volume,
        log_folder,
        lambda name: (
            is_stream_file(name, base)
            and not (with_set and 0 < _generation(name, base) <= environment.gen_high)
        ),
    )
    system_folder = to_volume_path(environment.restore_instance_system_path)
    if path_key(system_folder) != path_key(log_folder):
        _delete(volume, system_folder, lambda name: is_system_file(name, base))


def remove_stream(volume: Volume, base: str, log_path: str, system_path: str) -> None:
    """Delete a whole log stream with its checkpoint (folders as Windows paths)."""
    reserves = {
        name.casefold() for digits in (5, 8) for name in names.reserve_log_names(base, digits)
    }
    _delete(
        volume,
        to_volume_path(log_path),
        lambda name: is_stream_file(name, base) or name.casefold() in reserves,
    )
    _delete(volume, to_volume_path(system_path), lambda name: is_system_file(name, base))


def is_stream_file(name: str, base: str) -> bool:
    """Whether a file is a log of the stream, or one of its system files."""
    logs = (names.current_log_name(base), names.temp_log_name(base))
    return (
        bool(_generation(name, base))
        or name.casefold() in [log.casefold() for log in logs]
        or is_system_file(name, base)
    )


def is_system_file(name: str, base: str) -> bool:
    """Whether a file is the checkpoint of the stream or a side file of one of its databases."""
    folded = name.casefold()
    checkpoint = names.checkpoint_name(base).casefold()
    starts = tuple(f"{base}{kind}".casefold() for kind in ("fl", "rs"))
    side = folded.startswith(starts) and folded.endswith(".tmp")
    return folded in (checkpoint, f"{checkpoint}.new") or side


def delete_files(volume: Volume, paths: Iterable[str]) -> None:
    """Delete files by their Windows paths, as far as they are there, durably."""
    for path in paths:
        place = to_volume_path(path)
        if volume.exists(place):
            volume.delete(place)
            volume.sync_directory(place.rpartition("/")[0])


def _generation(name: str, base: str) -> int:
    return names.parse_log_name(name, base) or 0


def _delete(volume: Volume, folder: str, chosen: Callable[[str], bool]) -> None:
    try:
        listed = volume.list(folder)
    except FileNotFoundError:
        return
    found = [name for name in listed if chosen(name)]
    for name in found:
        volume.delete(f"{folder}/{name}")
    if found:
        volume.sync_directory(folder)
