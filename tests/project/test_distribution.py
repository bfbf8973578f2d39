"""The wheel, the sdist and the editable install: everything is in them and they work."""

from __future__ import annotations

import configparser
import os
import subprocess
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from tests.support.project import PACKAGES, ROOT, package_files, run_python

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("distribution")]

COMMANDS = ("esesim", "esebcli", "eseconform")


@frozen
class Distribution:
    """What one build made."""

    sdist: Path
    wheel: Path

    def sdist_names(self) -> set[str]:
        """Paths in the sdist, without its top folder."""
        with tarfile.open(self.sdist) as archive:
            return {name.partition("/")[2] for name in archive.getnames()}

    def wheel_names(self) -> set[str]:
        """Paths in the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    """The sdist, and the wheel that is built from it: a file missing there is missing in both."""
    out = tmp_path_factory.mktemp("dist")
    built = run_python("-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT))
    assert built.returncode == 0, built.stdout + built.stderr
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    return Distribution(sdist, wheel)


@pytest.fixture
def bare_environment(tmp_path: Path) -> Iterator[Path]:
    """A virtual environment that has our dependencies but not us; yields its interpreter."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=os.name != "nt")
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    site = run_python_of(python, "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # sys.path entries of a .pth file come last and their own .pth files are not read: of what is
    # installed beside us, only the dependencies are seen, not our editable install.
    Path(site, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    yield python


def run_python_of(python: Path, code: str) -> str:
    """Run code in another environment, outside the checkout, and return what it printed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", code],
        cwd=python.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def install(python: Path, *what: str) -> None:
    """Install with this interpreter's pip into another environment, from local files alone."""
    done = run_python(
        *("-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"),
        *("--no-build-isolation", "--ignore-installed", *what),
    )
    assert done.returncode == 0, done.stdout + done.stderr


def versions(python: Path) -> set[str]:
    """What the three commands of an environment say to --version."""
    said = set()
    for command in COMMANDS:
        done = subprocess.run(
            [python.parent / command, "--version"],
            cwd=python.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        said.add(done.stdout.split()[-1])
    return said


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_holds_every_file_of_a_package(distribution: Distribution, package: str) -> None:
    expected = package_files(package)
    assert f"{package}/__init__.py" in expected
    assert f"{package}/py.typed" in expected
    assert expected - distribution.wheel_names() == set()


def test_wheel_holds_what_is_no_python(distribution: Distribution) -> None:
    """Cases, rules, topologies, templates and the IDL: a build drops such files in silence."""
    data = {name for name in distribution.wheel_names() if not name.endswith((".py", ".typed"))}
    assert data >= {
        "eseback/eseback.idl",
        *(f"esesim/topologies/{name}.toml" for name in ("demo", "minimal")),
        *(f"eseconform/{name}.toml" for name in ("requirements", "servers", "cases/cases")),
        *(f"eseconform/report/templates/{name}" for name in ("page.html.j2", "style.css")),
    }
    expected = {name for package in PACKAGES for name in package_files(package)}
    assert {name for name in data if "dist-info" not in name} <= expected


def test_wheel_holds_nothing_else(distribution: Distribution) -> None:
    tops = {name.partition("/")[0] for name in distribution.wheel_names()}
    assert tops == {*PACKAGES, "esesim-0.1.0.dist-info"}


def test_wheel_declares_commands_and_transport(distribution: Distribution) -> None:
    with zipfile.ZipFile(distribution.wheel) as archive:
        text = archive.read("esesim-0.1.0.dist-info/entry_points.txt").decode()
    entries = configparser.ConfigParser()
    entries.read_string(text)
    assert dict(entries["console_scripts"]) == {name: f"{name}.cli:main" for name in COMMANDS}
    assert dict(entries["esebcli.transports"]) == {"inproc": "esesim.inproc:open_transport"}


def test_sdist_can_be_tested_and_read(distribution: Distribution) -> None:
    needed = {
        *("LICENSE", "README.md", "CHANGELOG.md", "Makefile", "constraints.txt", "pyproject.toml"),
        *(".ci/run", "tests/conftest.py", "tools/gen_docs.py", "docs/glossary.md"),
        "benchmarks/run.py",
    }
    assert needed - distribution.sdist_names() == set()


def test_installed_wheel_works_by_itself(
    distribution: Distribution, bare_environment: Path
) -> None:
    install(bare_environment, str(distribution.wheel))
    assert versions(bare_environment) == {"0.1.0"}
    found = run_python_of(
        bare_environment,
        "import esesim, eseback, importlib.resources as r; print(esesim.__file__);"
        "print(sorted(f.name for f in r.files('esesim').joinpath('topologies').iterdir()))",
    )
    assert str(bare_environment.parent.parent) in found.splitlines()[0]
    assert "demo.toml" in found.splitlines()[1]
    # Every kind of data file has a part in this: rules, cases, topologies, templates.
    options = ("--sut", "python:esebcli.sut:client", "--case", "sanity", "--out", "report")
    done = subprocess.run(
        [bare_environment.parent / "eseconform", "check", *options],
        cwd=bare_environment.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (bare_environment.parent / "report" / "index.html").is_file()


def test_editable_install_follows_the_tree(bare_environment: Path) -> None:
    install(bare_environment, "--editable", str(ROOT))
    assert versions(bare_environment) == {"0.1.0"}
    for name, folder in PACKAGES.items():
        where = run_python_of(bare_environment, f"import {name}; print({name}.__file__)")
        assert Path(where.strip()) == folder / "__init__.py"
