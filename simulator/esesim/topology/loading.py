"""Where topologies come from: files, texts, and the ones that are packaged with esesim."""

from __future__ import annotations

from pathlib import Path
from pkgutil import get_data  # importlib.resources takes five times as long to load
from typing import Final

from .specs import Topology, TopologyError

_PACKAGED: Final = ("demo", "minimal")


def load_topology(source: str | Path) -> Topology:
    """The complete topology of ``source``: a file, the name of a packaged one, or TOML text.

    A text with a line break is taken as TOML. Raises TopologyError, naming file and key.
    """
    if isinstance(source, str) and source in _PACKAGED:
        from . import packaged

        made: Topology = getattr(packaged, source)()
        return made
    # cattrs is heavy and only reading needs it.
    from .reading import parse_topology

    if isinstance(source, str) and "\n" in source:
        return parse_topology(source)
    text, origin = _text_of(source)
    return parse_topology(text, origin)


def default_topology() -> Topology:
    """The packaged demo: two storage groups with two stores each, under a mail workload."""
    return load_topology("demo")


def packaged_names() -> tuple[str, ...]:
    """The names of the packaged topologies, sorted."""
    return _PACKAGED


def read_topology_text(source: str | Path) -> str:
    """The TOML of a file or of a packaged topology, as it stands there.

    Raises TopologyError when there is none.
    """
    return _text_of(source)[0]


def _text_of(source: str | Path) -> tuple[str, str]:
    if isinstance(source, str) and source in _PACKAGED:
        packaged = get_data("esesim", f"topologies/{source}.toml")
        assert packaged is not None, "esesim was loaded by something that has no data"
        return packaged.decode(), source
    path = Path(source)
    try:
        return path.read_text("utf-8"), str(path)
    except FileNotFoundError:
        raise TopologyError(
            f"{path}: no such file; give a TOML file or one of {', '.join(packaged_names())}"
        ) from None
    except UnicodeDecodeError:
        raise TopologyError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise TopologyError(f"{path}: cannot be read: {error.strerror}") from None
