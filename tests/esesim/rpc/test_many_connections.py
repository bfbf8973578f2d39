"""A thousand clients that do nothing, and one that backs up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.uncovered
def test_a_thousand_idle_connections() -> None:
    """They take little memory each, the backup beside them is the same, and they leave nothing."""
    resource = pytest.importorskip("resource", reason="needs POSIX limits")
    from tests.esesim.rpc.thousand import NEEDED

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < NEEDED:
        pytest.skip(f"needs {NEEDED} descriptors, the hard limit is {hard}")
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory can be looked at on Linux only")
    done = subprocess.run(
        [sys.executable, "-m", "tests.esesim.rpc.thousand", "1000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["connections"] >= 1000 and found["threads"] >= 1000
    assert found["same"] and found["left"] == 0
    assert found["bytes_each"] < 128 * 1024, found
    assert found["seconds"] < 30, found
    # The waits are the system's: idle threads cost a backup nothing. Generous for a busy machine.
    assert found["backup_beside"] < 10 * found["backup_alone"] + 1, found
