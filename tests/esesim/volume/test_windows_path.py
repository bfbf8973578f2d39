"""Windows paths onto volume paths: what is taken, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esesim.volume import MemoryVolume
from esesim.windows_path import WindowsPathError, component_error, path_key, to_volume_path


@pytest.mark.parametrize(
    ("windows_path", "volume_path"),
    [
        (
            r"C:\Program Files\Exchsrvr\mdbdata\priv1.edb",
            "C/Program Files/Exchsrvr/mdbdata/priv1.edb",
        ),
        (r"d:\logs\E0000001.log", "D/logs/E0000001.log"),
        ("C:/logs/E00.log", "C/logs/E00.log"),
        ("C:\\logs\\\\E00.log", "C/logs/E00.log"),
        ("C:\\logs\\", "C/logs"),
        ("C:\\", "C"),
        (r"C:\First Storage Group.log\.hidden", "C/First Storage Group.log/.hidden"),
        (r"C:\Console\NULL.txt\COM10\COMx\aux1", "C/Console/NULL.txt/COM10/COMx/aux1"),
        ("C:\\B\u00fccher\\\u4e2d.edb", "C/B\u00fccher/\u4e2d.edb"),
    ],
)
def test_taken(windows_path: str, volume_path: str) -> None:
    assert to_volume_path(windows_path) == volume_path


@pytest.mark.parametrize(
    ("windows_path", "reason"),
    [
        ("", "start with a drive"),
        ("priv1.edb", "start with a drive"),
        (r"mdbdata\priv1.edb", "start with a drive"),
        (r"\mdbdata\priv1.edb", "start with a drive"),
        ("C:", "start with a drive"),
        ("C:priv1.edb", "start with a drive"),
        (r"CD:\priv1.edb", "start with a drive"),
        ("\u00c4:\\priv1.edb", "start with a drive"),
        (r"\\server\share\priv1.edb", "network and device"),
        ("//server/share", "network and device"),
        (r"\\?\C:\priv1.edb", "network and device"),
        (r"\\.\PhysicalDrive0", "network and device"),
        (r"\/server\share", "network and device"),
        (r"C:\..\priv1.edb", "'..' is not the name"),
        (r"C:\a\..\..\b", "'..' is not the name"),
        (r"C:\a\.\b", "'.' is not the name"),
        (r"C:\priv1.edb:stream", "character"),
        (r"C:\priv1.edb::$DATA", "character"),
        (r"C:\a\C:\b", "character"),
        ("C:\\a\0b", "character"),
        ("C:\\a\nb", "character"),
        ("C:\\a\x1fb", "character"),
        ("C:\\a\ud800", "character"),
        (r"C:\*.edb", "character"),
        (r"C:\a?b", "character"),
        (r"C:\a<b", "character"),
        (r'C:\a"b', "character"),
        (r"C:\a|b", "character"),
        ("C:\\priv1.edb.", "ends with a dot or space"),
        ("C:\\priv1.edb ", "ends with a dot or space"),
        ("C:\\dir. \\a", "ends with a dot or space"),
        ("C:\\...\\a", "ends with a dot or space"),
        ("C:\\ \\a", "ends with a dot or space"),
        (r"C:\CON", "device"),
        (r"C:\a\nul.txt", "device"),
        (r"C:\a\NUL.tar.gz", "device"),
        (r"C:\aux\b", "device"),
        (r"C:\Com1.log", "device"),
        (r"C:\LPT9", "device"),
        ("C:\\COM\u00b9", "device"),
        (r"C:\CONIN$", "device"),
        (r"C:\NUL .txt", "device"),
        ("C:\\" + "x" * 256, "more than 25"),
        ("C:\\" + "x\\" * 128 + "y", "more than 259"),
        ("C:\\" + "\U0001f4be" * 128 + "x", "more than 25"),
    ],
)
def test_refused(windows_path: str, reason: str) -> None:
    with pytest.raises(WindowsPathError, match=reason) as caught:
        to_volume_path(windows_path)
    assert caught.value.path == windows_path


def test_longest_name() -> None:
    assert component_error("x" * 255) is None
    assert component_error("x" * 256) == "a name has more than 255 characters"
    assert component_error("\U0001f4be" * 127) is None
    assert component_error("\U0001f4be" * 128) is not None
    assert component_error("") == "'' is empty"


PATHS = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(["C:", "..", ".", "a", "\\", "/", "", "NUL", "b.edb", ":x", "\0", " "]),
        max_size=8,
    ).map("".join),
)


@given(PATHS)
@example("C:\\a\\..")
@example("C:\\\\server\\x")
def test_what_is_taken_stays_below_its_drive(windows_path: str) -> None:
    try:
        path = to_volume_path(windows_path)
    except WindowsPathError:
        return
    drive, *names = path.split("/")
    assert len(drive) == 1
    assert drive.isascii()
    assert drive.isupper()
    assert all(component_error(name) is None for name in names)
    assert to_volume_path(drive + ":\\" + "\\".join(names)) == path
    MemoryVolume().make_directory(path)


def test_path_key() -> None:
    assert path_key(r"c:\Logs\E00.log") == path_key(r"C:\LOGS\e00.LOG")
    assert path_key("\u00e4\u0416") == path_key("\u00c4\u0436")
    assert path_key("stra\u00dfe") != path_key("strasse")
    assert path_key("a") != path_key("b")
