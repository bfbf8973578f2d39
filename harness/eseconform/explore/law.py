"""The law: what a client read to its end in a backup that succeeded can be recovered.

:class:`Taken` is what a client holds of one backup, :class:`Law` the chains of sets that follow
from it. Each set that extends a chain is recovered with the chain on an empty volume, and the rows
are held against what the server's users had committed when the last of the logs was closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import define, evolve, field, frozen

from eseback.formats.names import log_name, parse_log_name
from esesim.engine.config import InstanceConfig
from esesim.engine.errors import JetError
from esesim.engine.hardrecovery import RestoredDatabase, hard_recover
from esesim.engine.inspect import read_rows
from esesim.exchange import StorageGroup
from esesim.exchange.clock import LogicalClock
from esesim.journal import differences
from esesim.server import SimulatedServer
from esesim.topology import StoreSpec
from esesim.volume import MemoryVolume


@define
class Taken:
    """What a client read in one backup. A file counts when it was read to its end and closed."""

    group: int = 0
    full: bool = True
    logs: tuple[str, ...] = ()
    files: dict[str, bytes | bytearray] = field(factory=dict)
    _path: str | None = None
    _size: int = 0
    _parts: list[bytes | bytearray] = field(factory=list)

    @property
    def left(self) -> int:
        """Bytes of the open file that are still to be read."""
        return self._size - sum(map(len, self._parts)) if self._path is not None else 0

    @property
    def reading(self) -> bool:
        """Whether a file is open, as far as the client knows."""
        return self._path is not None

    def opened(self, path: str, size: int) -> None:
        """An open succeeded."""
        self._path, self._size, self._parts = path, size, []

    def arrived(self, buffer: bytes | bytearray, count: int) -> None:
        """A read put ``count`` bytes into a buffer, which is used for nothing else."""
        if self._path is not None and count:
            # Whole files are not copied a second time.
            self._parts.append(buffer if count == len(buffer) else bytes(buffer[:count]))

    def closed(self) -> None:
        """A close succeeded."""
        if self._path is not None and not self.left:
            parts = self._parts
            self.files[self._path] = parts[0] if len(parts) == 1 else b"".join(parts)
        self._path = None

    def next_log(self) -> str | None:
        """The first listed log that was not read yet."""
        return next((path for path in self.logs if path not in self.files), None)

    @property
    def has_all_logs(self) -> bool:
        """Whether every listed log was read."""
        return bool(self.logs) and self.next_log() is None


@frozen
class _Chain:
    """Images of one full set, and the logs to replay on them."""

    images: dict[str, bytes | bytearray]
    logs: dict[int, bytes | bytearray]

    @property
    def high(self) -> int:
        """The last generation."""
        return max(self.logs)


class Law:
    """Chains of sets by group, and the check of what extends them. Belongs to one server."""

    def __init__(self, server: SimulatedServer) -> None:
        self.checked = 0
        self._server = server
        self._chains: dict[int, list[tuple[tuple[StoreSpec, ...], _Chain]]] = {}

    def check(self, taken: Taken) -> str | None:
        """A backup ended well: why what it brought can't be recovered, None if it can."""
        if not taken.has_all_logs:
            return None
        group = self._server.groups[taken.group]
        base = group.spec.base
        logs = {_generation(path, base): taken.files[path] for path in taken.logs}
        chains = self._chains.setdefault(taken.group, [])
        extended = [self._start(group, taken, logs)] if taken.full else self._extend(chains, logs)
        for stores, chain in extended:
            if not stores:
                continue
            self.checked += 1
            problem = self._recover(group, stores, chain)
            if problem is not None:
                names = ", ".join(store.name for store in stores)
                return f"{names} of {group.name}, logs {min(chain.logs)} to {chain.high}: {problem}"
        return None

    def high(self, group: int) -> int:
        """The last generation that the chains of a group hold. Raises ValueError without any."""
        return max(chain.high for _, chain in self._chains[group])

    def _start(
        self, group: StorageGroup, taken: Taken, logs: dict[int, bytes | bytearray]
    ) -> tuple[tuple[StoreSpec, ...], _Chain]:
        """A full set begins a chain for the stores that it holds."""
        held = tuple(s for s in group.spec.stores if {s.edb, s.stm} <= taken.files.keys())
        images = {path: taken.files[path] for store in held for path in (store.edb, store.stm)}
        chain = _Chain(images, logs)
        others = (
            (tuple(store for store in stores if store not in held), older)
            for stores, older in self._chains[taken.group]
        )
        self._chains[taken.group] = [*((s, c) for s, c in others if s), (held, chain)]
        return held, chain

    def _extend(
        self, chains: list[tuple[tuple[StoreSpec, ...], _Chain]], logs: dict[int, bytes | bytearray]
    ) -> list[tuple[tuple[StoreSpec, ...], _Chain]]:
        """A logs-only set extends the chains that it follows; the others have lost a link."""
        extended = []
        for place, (stores, chain) in enumerate(chains):
            if min(logs) <= chain.high + 1 and max(logs) > chain.high:
                chains[place] = stores, evolve(chain, logs={**chain.logs, **logs})
                extended.append(chains[place])
        return extended

    def _recover(
        self, group: StorageGroup, stores: Sequence[StoreSpec], chain: _Chain
    ) -> str | None:
        config = group.running.config
        volume = MemoryVolume()
        _put(volume, config, chain.images.items())
        names = ((f"{config.log_path}\\{_name(config, g)}", d) for g, d in chain.logs.items())
        _put(volume, config, names)
        try:
            return self._recovered(group, volume, stores, chain)
        except JetError as error:
            return f"recovery fails with {error}"
        except (ArithmeticError, LookupError, ValueError, AssertionError) as error:
            return f"recovery breaks off: {error!r}"

    def _recovered(
        self, group: StorageGroup, volume: MemoryVolume, stores: Sequence[StoreSpec], chain: _Chain
    ) -> str | None:
        """Recover and compare. Raises whatever the engine does."""
        config = group.running.config
        report = hard_recover(
            volume,
            [RestoredDatabase(store.edb, store.edb, store.stm) for store in stores],
            config=config,
            gen_low=min(chain.logs),
            gen_high=chain.high,
            clock=LogicalClock(),
        )
        for store in stores:
            found = read_rows(volume, config.resolve(store.edb), config.resolve(store.stm))
            expected = self._server.journal.rows(store.edb, report.generation_last)
            wrong = differences(expected, found)
            if wrong:
                return "; ".join(wrong)
        return None


def _put(
    volume: MemoryVolume, config: InstanceConfig, files: Iterable[tuple[str, bytes | bytearray]]
) -> None:
    for name, data in files:
        path = config.resolve(name)
        volume.make_directory(path.rpartition("/")[0])
        file = volume.create(path)
        file.write(0, data)
        file.close()


def _generation(path: str, base: str) -> int:
    generation = parse_log_name(path.rpartition("\\")[2], base)
    assert generation is not None, f"{path} stands in a list of logs"
    return generation


def _name(config: InstanceConfig, generation: int) -> str:
    return log_name(config.base, generation, config.generation_digits)
