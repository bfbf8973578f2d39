"""A survey as a tree for people and as plain data for JSON."""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING, Any, Final

from eseback.constants import NodeType
from eseback.structures import (
    BackupNode,
    DatabaseBackupInfo,
    IconDescription,
    InstanceBackupInfo,
)
from esebcli.icons import identify
from esebcli.names import printable
from esebcli.nodes import ComputerSurvey, ServiceSurvey, Survey

if TYPE_CHECKING:
    from rich.tree import Tree

_LINE_MAX: Final = 4096


def flags_text(flags: IntFlag) -> str:
    """The names of flags in lower case, and in hexadecimal what no name stands for."""
    names = [flag.name.lower() for flag in type(flags) if flag in flags and flag.name]
    unknown = int(flags) & ~sum(int(flag) for flag in type(flags))
    if unknown:
        names.append(f"{unknown:#x}")
    return ", ".join(names) or "none"


# --- JSON


def survey_plain(survey: Survey) -> dict[str, Any]:
    """A survey for JSON: the tree, and what each computer that was asked said."""
    return {
        "ok": not survey.problems,
        "problems": list(survey.problems),
        "tree": _node_plain(survey.tree),
        "computers": [
            {
                "name": computer.name,
                "error": computer.error,
                "services": [_service_plain(service) for service in computer.services],
            }
            for computer in survey.computers
        ],
    }


def _node_plain(node: BackupNode) -> dict[str, Any]:
    return {
        "name": node.name,
        "flags": int(node.flags),
        "icon": _icon_plain(node.icon),
        "children": [_node_plain(child) for child in node.children],
    }


def _service_plain(service: ServiceSurvey) -> dict[str, Any]:
    info = service.info
    return {
        "display_name": info.display_name,
        "annotation": info.annotation,
        "flags": int(info.flags),
        "guid": str(info.guid),
        "error": service.error,
        "instances": [_instance_plain(instance) for instance in service.instances],
    }


def _instance_plain(instance: InstanceBackupInfo) -> dict[str, Any]:
    return {
        "id": instance.instance_id,
        "name": instance.instance_name,
        "icon_index": instance.icon_index,
        "icons": [_icon_plain(icon) for icon in instance.icons],
        "databases": [
            {
                "display_name": database.display_name,
                "guid": str(database.guid),
                "mounted": database.mounted,
                "flags": int(database.flags),
                "icon_index": database.icon_index,
                "streams": list(database.streams),
            }
            for database in instance.databases
        ],
    }


def _icon_plain(icon: IconDescription) -> dict[str, Any] | None:
    found = identify(icon.data)
    if not found.size:
        return None
    return {
        "format": found.format,
        "bytes": found.size,
        "width": found.width,
        "height": found.height,
    }


# --- a tree


def print_survey(survey: Survey) -> None:
    """Print the tree to standard output."""
    # rich is slow to import; a script that wants JSON does without it.
    from rich.console import Console

    # A tree is cut off at the width of its console, and a path that is cut off is of no use.
    Console(highlight=False, width=_LINE_MAX).print(survey_tree(survey))


def survey_tree(survey: Survey) -> Tree:
    """The tree: computers, their services, storage groups, databases and files."""
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text(_node_text(survey.tree)))
    shown: set[str] = set()
    _add_below(root, survey.tree, survey, shown)
    for computer in survey.computers:  # named by the user, and in no tree
        if computer.name.casefold() not in shown:
            _add_computer(_branch(root, computer.name), computer)
    return root


def _branch(tree: Tree, text: str) -> Tree:
    from rich.text import Text

    return tree.add(Text(printable(text)))


def _add_below(tree: Tree, node: BackupNode, survey: Survey, shown: set[str]) -> None:
    if NodeType.MACHINE in node.flags and (computer := survey.computer(node.name)):
        shown.add(computer.name.casefold())
        _add_computer(tree, computer)
    for child in node.children:
        _add_below(_branch(tree, _node_text(child)), child, survey, shown)


def _add_computer(tree: Tree, computer: ComputerSurvey) -> None:
    if computer.error:
        _branch(tree, f"does not answer: {computer.error}")
    for service in computer.services:
        info = service.info
        text = f"service {info.display_name!r}, {flags_text(info.flags)}, {info.guid}"
        if info.annotation != info.display_name:
            text += f", annotation {info.annotation!r}"
        branch = _branch(tree, text)
        if service.error:
            _branch(branch, f"can't be looked at: {service.error}")
        for instance in service.instances:
            _add_instance(branch, instance)


def _add_instance(tree: Tree, instance: InstanceBackupInfo) -> None:
    icon = _icon_text(instance.icons, instance.icon_index)
    text = f"storage group {instance.instance_name!r}, instance {instance.instance_id}, {icon}"
    branch = _branch(tree, text)
    for database in instance.databases:
        _add_database(branch, database, instance.icons)


def _add_database(
    tree: Tree, database: DatabaseBackupInfo, icons: tuple[IconDescription, ...]
) -> None:
    mounted = "mounted" if database.mounted else "NOT MOUNTED"
    icon = _icon_text(icons, database.icon_index)
    branch = _branch(
        tree, f"database {database.display_name!r}, {mounted}, {database.guid}, {icon}"
    )
    for stream in database.streams:
        _branch(branch, stream)


def _node_text(node: BackupNode) -> str:
    return printable(f"{node.name} ({flags_text(node.flags)}, {identify(node.icon.data)})")


def _icon_text(icons: tuple[IconDescription, ...], index: int) -> str:
    if not icons:
        return "no icon"
    if not 0 <= index < len(icons):
        return f"icon {index}, which the server did not send"
    return str(identify(icons[index].data))
