"""Write the packaged topologies as Python, so that a server of theirs need not read TOML.

    python -m tools.gen_topologies      after a change of simulator/esesim/topologies/*.toml

Reading one takes a tenth of the time in which a server starts. A test holds both to be the same.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from esesim.topology import load_topology, packaged_names, read_topology_text

TARGET: Final = Path(__file__).resolve().parent.parent / "simulator/esesim/topology/packaged.py"
_HEAD: Final = '''"""The packaged topologies, read from their files by tools/gen_topologies.py.

Made from ``esesim/topologies/*.toml``: change those, not this.
"""

from __future__ import annotations

from .specs import GroupSpec, ServerSpec, ServiceSpec, StoreSpec, Topology, WorkloadSpec
'''


def source() -> str:
    """The module's text, not yet formatted."""
    functions = [
        f'def {name}() -> Topology:\n    """See {name}.toml."""\n'
        f"    return {load_topology(read_topology_text(name))!r}\n"
        for name in packaged_names()
    ]
    return "\n\n".join([_HEAD, *functions])


def main() -> None:
    """Write it."""
    TARGET.write_text(source(), "utf-8")
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", TARGET], check=True)


if __name__ == "__main__":
    main()
