"""The packaged topologies, read from their files by tools/gen_topologies.py.

Made from ``esesim/topologies/*.toml``: change those, not this.
"""

from __future__ import annotations

from .specs import GroupSpec, ServerSpec, ServiceSpec, StoreSpec, Topology, WorkloadSpec


def demo() -> Topology:
    """See demo.toml."""
    return Topology(
        server=ServerSpec(
            name="EXCHSRV1",
            profile="exchange-2003-sp1",
            seed=2003,
            organization="Microsoft Exchange Server",
            neighbours=("EXCHSRV2",),
            icons=True,
            strict_reads=False,
            quirks=(),
            remote_streaming=False,
            restore_files="handle",
        ),
        services=(
            ServiceSpec(
                annotation="Microsoft Information Store",
                display_name="",
                flags=("backup", "online_restore"),
            ),
            ServiceSpec(
                annotation="Microsoft Site Replication Service",
                display_name="",
                flags=("backup", "offline_restore"),
            ),
        ),
        groups=(
            GroupSpec(
                name="First Storage Group",
                stores=(
                    StoreSpec(
                        name="Mailbox Store (EXCHSRV1)",
                        edb="C:\\Program Files\\Exchsrvr\\mdbdata\\priv1.edb",
                        stm="C:\\Program Files\\Exchsrvr\\mdbdata\\priv1.stm",
                        mounted=True,
                        overwritable=False,
                        icon="mailbox",
                        recovery_of="",
                        size=0,
                    ),
                    StoreSpec(
                        name="Public Folder Store (EXCHSRV1)",
                        edb="C:\\Program Files\\Exchsrvr\\mdbdata\\pub1.edb",
                        stm="C:\\Program Files\\Exchsrvr\\mdbdata\\pub1.stm",
                        mounted=True,
                        overwritable=False,
                        icon="public",
                        recovery_of="",
                        size=0,
                    ),
                ),
                base="E00",
                log_path="C:\\Program Files\\Exchsrvr\\mdbdata",
                system_path="C:\\Program Files\\Exchsrvr\\mdbdata",
                log_size=65536,
                circular_logging=False,
                logging=True,
                generation_first=1,
                generation_max=1048559,
                checkpoint_depth_max=1008,
                log_disk_full=False,
                log_write_failed=False,
                truncate_with_dismounted=False,
                recovery=False,
                workload=WorkloadSpec(
                    folders=4,
                    messages=120,
                    steps_per_call=2,
                    body_size_max=12288,
                    rollback_percent=10,
                    long_percent=5,
                ),
            ),
            GroupSpec(
                name="Second Storage Group",
                stores=(
                    StoreSpec(
                        name="Mailbox Store 2 (EXCHSRV1)",
                        edb="D:\\Exchsrvr\\Second Storage Group\\priv2.edb",
                        stm="D:\\Exchsrvr\\Second Storage Group\\priv2.stm",
                        mounted=True,
                        overwritable=False,
                        icon="mailbox",
                        recovery_of="",
                        size=0,
                    ),
                    StoreSpec(
                        name="Mailbox Store 3 (EXCHSRV1)",
                        edb="D:\\Exchsrvr\\Second Storage Group\\priv3.edb",
                        stm="D:\\Exchsrvr\\Second Storage Group\\priv3.stm",
                        mounted=True,
                        overwritable=False,
                        icon="mailbox",
                        recovery_of="",
                        size=0,
                    ),
                ),
                base="E01",
                log_path="D:\\Exchsrvr\\Second Storage Group",
                system_path="D:\\Exchsrvr\\Second Storage Group",
                log_size=65536,
                circular_logging=False,
                logging=True,
                generation_first=1,
                generation_max=1048559,
                checkpoint_depth_max=1008,
                log_disk_full=False,
                log_write_failed=False,
                truncate_with_dismounted=False,
                recovery=False,
                workload=WorkloadSpec(
                    folders=4,
                    messages=120,
                    steps_per_call=2,
                    body_size_max=12288,
                    rollback_percent=10,
                    long_percent=5,
                ),
            ),
        ),
    )


def minimal() -> Topology:
    """See minimal.toml."""
    return Topology(
        server=ServerSpec(
            name="EXCHSRV1",
            profile="exchange-2003-sp1",
            seed=1,
            organization="Microsoft Exchange Server",
            neighbours=(),
            icons=True,
            strict_reads=False,
            quirks=(),
            remote_streaming=False,
            restore_files="handle",
        ),
        services=(
            ServiceSpec(
                annotation="Microsoft Information Store",
                display_name="",
                flags=("backup", "online_restore"),
            ),
        ),
        groups=(
            GroupSpec(
                name="First Storage Group",
                stores=(
                    StoreSpec(
                        name="Mailbox Store (EXCHSRV1)",
                        edb="C:\\Program Files\\Exchsrvr\\mdbdata\\priv1.edb",
                        stm="C:\\Program Files\\Exchsrvr\\mdbdata\\priv1.stm",
                        mounted=True,
                        overwritable=False,
                        icon="mailbox",
                        recovery_of="",
                        size=0,
                    ),
                ),
                base="E00",
                log_path="C:\\Program Files\\Exchsrvr\\mdbdata",
                system_path="C:\\Program Files\\Exchsrvr\\mdbdata",
                log_size=65536,
                circular_logging=False,
                logging=True,
                generation_first=1,
                generation_max=1048559,
                checkpoint_depth_max=1008,
                log_disk_full=False,
                log_write_failed=False,
                truncate_with_dismounted=False,
                recovery=False,
                workload=WorkloadSpec(
                    folders=4,
                    messages=40,
                    steps_per_call=1,
                    body_size_max=12288,
                    rollback_percent=10,
                    long_percent=5,
                ),
            ),
        ),
    )
