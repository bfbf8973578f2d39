"""Where topologies come from: files, texts, and the ones that are packaged with esesim."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .specs import Topology, TopologyError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_SUFFIX: Final = ".toml"


def load_topology(source: str | Path) -> Topology:
    """The complete topology of ``source``: a file, the name of a packaged one, or TOML text.

    A text with a line break is taken as TOML. Raises TopologyError, naming file and key.
    """
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
    names = (entry.name for entry in _packaged().iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def read_topology_text(source: str | Path) -> str:
    """The TOML of a file or of a packaged topology, as it stands there.

    Raises TopologyError when there is none.
    """
    return _text_of(source)[0]


def _text_of(source: str | Path) -> tuple[str, str]:
    if isinstance(source, str) and source in packaged_names():
        return (_packaged() / f"{source}{_SUFFIX}").read_text("utf-8"), source
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


def _packaged() -> Traversable:
    return files("esesim") / "topologies"
