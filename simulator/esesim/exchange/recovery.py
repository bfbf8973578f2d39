"""What Complete does: hard recovery of a restore, tidying up, and mounting if asked to.

One recovery of a storage group's backup runs at a time. While it runs, the storage groups that it
writes to or reads logs from are locked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from attrs import evolve

from eseback.constants import RecoverStatus, RestoreComplete
from eseback.data import frozen
from eseback.errors import JetErr, hresult_of_jet
from eseback.restoreorder import RestoreCall, restore_cell

from ..engine.config import InstanceConfig
from ..engine.errors import JetError
from ..engine.event import EventSink
from ..volume import VolumeError
from ..windows_path import path_key, to_volume_path
from .configs import recovery_config
from .group import StorageGroup
from .restore import Restore
from .tidying import remove_restored, remove_traces

if TYPE_CHECKING:
    from .information_store import InformationStore

POLLS: Final = 2
"""How often GetEnvironment shows a recovery that nobody waits for as running."""


@frozen
class RecoveryPlan:
    """What a Complete was asked to do, once its arguments are known to be good.

    ``target``: the running storage group whose later logs are replayed too. ``own``: the storage
    group whose own folders the recovery works in, because it doesn't run: its logs are replayed.
    """

    system_path: str
    log_path: str
    target: StorageGroup | None
    own: StorageGroup | None
    flags: RestoreComplete


def make_plan(
    server: InformationStore,
    restore: Restore,
    checkpoint_path: str,
    log_path: str,
    target_instance: str | None,
    flags: RestoreComplete,
) -> RecoveryPlan:
    """Hold the arguments of a Complete against the server.

    Raises JetError: -1003 for contradicting ones, -577 for a target that is none, -1083, -1084 and
    -1850 for folders that another instance works in.
    """
    environment = restore.environment
    if not environment.databases:
        raise JetError(JetErr.INVALID_PARAMETER, "no database was added")
    own = server.owners.group_of_folder(log_path)
    system = server.owners.group_of_folder(checkpoint_path)
    if own is not system:
        # ASSUMED(target-by-paths): a storage group that does not run is named as target by its own
        # folders as checkpoint and log path; one of the two alone is a bad argument, and so are
        # both together with a name.
        raise JetError(
            JetErr.INVALID_PARAMETER, "only one of the two paths is that of a storage group"
        )
    if own is not None and target_instance is not None:
        raise JetError(JetErr.INVALID_PARAMETER, "a target is given by name and by its paths")
    if own is not None:
        _check_own(own, environment.log_base_name, log_path, checkpoint_path)
    else:
        server.restores.check_recovery_folder(log_path, restore)
        server.restores.check_recovery_folder(checkpoint_path, restore)
    target = None if target_instance is None else _target(server, restore, target_instance)
    return RecoveryPlan(checkpoint_path, log_path, target, own, flags)


def _check_own(own: StorageGroup, base: str | None, log_path: str, checkpoint_path: str) -> None:
    if own.instance is not None:
        # ASSUMED(recover-running-instance): the folders of a running storage group mean that
        # instance, which cannot be restored any more.
        raise JetError(JetErr.AFTER_INITIALIZATION, f"{own.name} runs in {log_path}")
    spec = own.spec
    if _key(log_path) != _key(spec.log_path) or _key(checkpoint_path) != _key(spec.system_path):
        raise JetError(JetErr.INVALID_PARAMETER, f"the paths of {own.name} are the wrong way round")
    if base is not None and base != spec.base:
        raise JetError(
            JetErr.BAD_RESTORE_TARGET_INSTANCE,
            f"{own.name} has logs {spec.base}, the backup has {base}",
        )


def _target(server: InformationStore, restore: Restore, name: str) -> StorageGroup:
    group = server.find_group(name)
    if group is None or group.instance is None:
        raise JetError(JetErr.BAD_RESTORE_TARGET_INSTANCE, f"no instance {name!r} is running")
    base = restore.environment.log_base_name
    if base is not None and group.spec.base != base:
        raise JetError(
            JetErr.BAD_RESTORE_TARGET_INSTANCE,
            f"{name} has logs {group.spec.base}, the backup has {base}",
        )
    return group


def recover(server: InformationStore, restore: Restore, plan: RecoveryPlan) -> None:
    """Carry out a plan to its end. The caller holds the restore's lock.

    Raises JetError: what recovery or mounting failed with; it can be tried again.
    """
    with _locked(server, restore, plan) as groups:
        times = [group.clock.milliseconds for group in groups]
        restore.clock.milliseconds = max([restore.clock.milliseconds, *times])
        if not restore.recovered and not _has_succeeded(restore):
            _note_start(restore, plan)
            try:
                _recover(server, restore, plan, groups)
            except (JetError, VolumeError, OSError) as error:
                failure = error if isinstance(error, JetError) else _disk_error(error)
                _note_end(restore, failure.err)
                raise failure from error
            _note_end(restore, None)
        for group in groups:
            group.clock.milliseconds = max(group.clock.milliseconds, restore.clock.milliseconds)
        _finish(server, restore, plan)


def start(restore: Restore, plan: RecoveryPlan) -> None:
    """Begin a recovery that the client does not wait for."""
    # ASSUMED(recovery-without-waiting): a recovery that nobody waits for takes place when the
    # client asks for the environment a third time, or when its context, its storage group or the
    # server need it to be over: never beside other calls, so that runs can be repeated.
    restore.plan = plan
    restore.polls_left = POLLS
    _note_start(restore, plan)


def poll(server: InformationStore, restore: Restore) -> None:
    """The client looks how far the recovery is."""
    if restore.plan is not None:
        if restore.polls_left:
            restore.polls_left -= 1
        else:
            finish(server, restore)


def finish(server: InformationStore, restore: Restore) -> None:
    """Carry a recovery that nobody waits for to its end; its outcome goes to the environment."""
    plan, restore.plan = restore.plan, None
    if plan is None:
        return
    call = RestoreCall.RECOVERY_ENDED
    try:
        recover(server, restore, plan)
    except JetError as error:
        call = RestoreCall.RECOVERY_FAILED
        if restore.recovered:
            # ASSUMED(attach-without-waiting): where recovery succeeds and mounting fails, the
            # environment of a context that did not wait shows the error of the mount.
            restore.note(hr_last_recover=hresult_of_jet(error.err))
    restore.state = restore_cell(restore.state, call).next_state


@contextmanager
def _locked(
    server: InformationStore, restore: Restore, plan: RecoveryPlan
) -> Iterator[list[StorageGroup]]:
    """The storage groups that a recovery concerns, in order, with their locks held."""
    # ASSUMED(recoveries-in-turn): the databases of a storage group are recovered one after the
    # other, also when several restores of it are completed at the same time.
    groups = {group.id: group for group in (*restore.groups(), plan.target, plan.own) if group}
    ordered = [groups[number] for number in sorted(groups)]
    with ExitStack() as held:
        held.enter_context(server.recovery_lock(restore.environment.source_instance_name))
        for group in ordered:
            held.enter_context(group.lock)
        yield ordered


def _has_succeeded(restore: Restore) -> bool:
    # ASSUMED(complete-again): where the environment says that recovery succeeded since the last
    # file was announced, Complete does not recover again; it only tidies up and mounts.
    environment = restore.environment
    ended = environment.status_last_recover is RecoverStatus.ENDED
    return ended and not environment.hr_last_recover


# ASSUMED(environment-of-recovery): Complete keeps paths, status, error and time of the recovery in
# restore.env, also if the client has not saved it.
def _note_start(restore: Restore, plan: RecoveryPlan) -> None:
    restore.note(
        restore_instance_system_path=plan.system_path,
        restore_instance_log_path=plan.log_path,
        target_instance_name=None if plan.target is None else plan.target.name,
        status_last_recover=RecoverStatus.STARTED,
        hr_last_recover=0,
        time_last_recover=restore.clock.now(),
    )
    restore.save()


def _note_end(restore: Restore, error: JetErr | None) -> None:
    restore.note(
        status_last_recover=RecoverStatus.ENDED,
        hr_last_recover=0 if error is None else hresult_of_jet(error),
        time_last_recover=restore.clock.now(),
    )
    restore.save()


def _recover(
    server: InformationStore, restore: Restore, plan: RecoveryPlan, groups: list[StorageGroup]
) -> None:
    environment = restore.environment
    base = environment.log_base_name
    # Here, as a server that nobody restores to need not load it.
    from ..engine.hardrecovery import RestoredDatabase, hard_recover

    if base is None:
        raise JetError(
            JetErr.MISSING_RESTORE_LOG_FILES,
            "no log was announced with OpenFile; a restore needs those of the backup set",
        )
    _check_still(plan)
    config = _config(server, restore, plan, base)
    for path in (config.system_path, config.log_path):
        server.volume.make_directory(to_volume_path(path))
    target_log_path, target_gen_max = None, None
    if plan.target is not None and not plan.target.spec.circular_logging:
        target_log_path = plan.target.spec.log_path
        target_gen_max = plan.target.running.roll_log()
    events: EventSink = groups[0].events.append if groups else restore.events.append
    hard_recover(
        server.volume,
        [
            RestoredDatabase(
                database.source_streams[0],
                database.destination_streams[0],
                database.destination_streams[1] if len(database.destination_streams) > 1 else None,
            )
            for database in environment.databases
        ],
        config=config,
        gen_low=environment.gen_low,
        gen_high=environment.gen_high,
        backup_log_path=environment.restore_log_path,
        target_log_path=target_log_path,
        target_gen_max=target_gen_max,
        clock=restore.clock,
        events=events,
    )


def _check_still(plan: RecoveryPlan) -> None:
    """What was so when Complete was called may have changed before a recovery without waiting."""
    if plan.target is not None and plan.target.instance is None:
        raise JetError(
            JetErr.BAD_RESTORE_TARGET_INSTANCE, f"{plan.target.name} is not running any more"
        )
    if plan.own is not None and plan.own.instance is not None:
        raise JetError(JetErr.AFTER_INITIALIZATION, f"{plan.own.name} runs by now")


def _config(
    server: InformationStore, restore: Restore, plan: RecoveryPlan, base: str
) -> InstanceConfig:
    source = server.find_group(restore.environment.source_instance_name)
    groups = restore.groups()
    group = source or plan.target or (groups[0] if groups else None)
    config = recovery_config(
        server.topology,
        None if group is None else group.spec,
        name=groups[0].name if groups else restore.environment.source_instance_name,
        base=base,
        system_path=plan.system_path,
        log_path=plan.log_path,
    )
    return config if plan.own is None else evolve(config, name=plan.own.name)


def _finish(server: InformationStore, restore: Restore, plan: RecoveryPlan) -> None:
    """Recovery has succeeded: tell of the new rows, free the databases, tidy up, mount."""
    places = [restore.place_of(database) for database in restore.environment.databases]
    stores = [place for place in places if place is not None]
    if not restore.recovered:
        for place in stores:
            server.restored(place.group, place.store)
        _tidy_up(server, restore, plan)
        restore.recovered = True
    restore.release()
    if RestoreComplete.ATTACH_DBS in plan.flags:
        # ASSUMED(attach-what-is-a-store): of databases that were restored to files that belong to
        # no store of the server there is nothing to mount.
        for place in stores:
            server.mount(place.group, [place.store.name])


def _tidy_up(server: InformationStore, restore: Restore, plan: RecoveryPlan) -> None:
    environment = restore.environment
    if plan.own is None:
        remove_traces(server.volume, environment)
    # Where a client has restored into the folder of a storage group, the logs there are its own.
    in_group = server.owners.group_of_folder(environment.restore_log_path) is not None
    if RestoreComplete.KEEP_LOG_FILES not in plan.flags and not in_group:
        remove_restored(server.volume, environment)
    server.restores.note_saved(restore, succeeded=True)


def _disk_error(error: Exception) -> JetError:
    # ASSUMED(recovery-disk-error): a file or folder that the system does not let recovery use is
    # JET_errDiskIO.
    return JetError(JetErr.DISK_IO, str(error))


def _key(path: str) -> str:
    return path_key(to_volume_path(path))
