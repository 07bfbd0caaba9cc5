"""Owners and permissions of files: who may have written what decides where secrets go."""

import os
import re
import stat
import sys
from pathlib import Path

from gatepass._config.files import FileBytes, UnreadFile
from gatepass._system.text import printable, quoted
from gatepass.errors import Problem


def own_users(sudo_uid: str | None) -> frozenset[int]:
    """Return the users whose files are read: root, this one, and the one who called sudo.

    Args:
        sudo_uid: the value of ``SUDO_UID``; it counts for root alone, since anybody can set it.
    """
    if sys.platform == "win32":
        return frozenset()
    mine = os.geteuid()
    is_number = sudo_uid is not None and re.fullmatch("[0-9]{1,10}", sudo_uid) is not None
    through_sudo = {int(sudo_uid or "")} if mine == 0 and is_number else set()
    return frozenset({0, mine} | through_sudo)


def belongs_to_another(status: os.stat_result, admitted: frozenset[int]) -> bool:
    """Say whether a file belongs to none of the admitted users (never on Windows)."""
    return sys.platform != "win32" and status.st_uid not in admitted


def another_owner(file: FileBytes, *, sudo_uid: str | None = None) -> str:
    """Return the name of the user who owns a file; empty for this user, and for root."""
    return (
        _name_of(file.status.st_uid) if belongs_to_another(file.status, own_users(sudo_uid)) else ""
    )


def unread_file_of_another(path: Path, status: os.stat_result) -> UnreadFile:
    """Return what is told of a file that is not read because it belongs to another user."""
    owner = _name_of(status.st_uid)
    way_out = f"if you know it: gatepass trust {quoted(str(path))}"
    return UnreadFile(path, f"belongs to another user, {owner}", way_out, owner)


def _name_of(number: int) -> str:
    if sys.platform == "win32":
        return ""
    import pwd

    try:
        return printable(pwd.getpwuid(number).pw_name)
    except KeyError:
        return f"number {number}"


def unsafe_permissions(file: FileBytes, *, own: bool) -> Problem | None:
    """Say what is wrong with a file's permissions; None when nothing is (always on Windows).

    A file that decides where secrets go must not be writable by others. A group counts as others
    unless it is the user's private one, as umask 002 of Ubuntu and Fedora makes: the primary
    group, of the same name, without another member.

    Args:
        file: the file as read.
        own: whether it is a file of the user or the system, which must also belong to the user
            or to root.
    """
    if sys.platform == "win32":
        return None
    mode, place = file.status.st_mode, str(file.path)
    if own and file.status.st_uid not in {0, os.getuid()}:
        hint = f"    sudo chown {os.getuid()} {quoted(place)}"
        return Problem(printable(place), "", "belongs to another user", hint=hint)
    if mode & stat.S_IWOTH:
        who = "anybody"
    elif mode & stat.S_IWGRP and not _is_private_group(file.status.st_gid):
        who = "its group"
    else:
        return None
    return Problem(
        printable(place),
        "",
        f"can be written by {who}, who could send your secrets to another server",
        hint=f"    chmod go-w {quoted(place)}\nor, where that cannot be changed:\n"
        f"    gatepass trust {quoted(place)}",
    )


def _is_private_group(group: int) -> bool:
    if sys.platform == "win32":
        return True
    import grp
    import pwd

    try:
        user = pwd.getpwuid(os.getuid())
        entry = grp.getgrgid(group)
    except KeyError:  # a container without these names
        return False
    return (
        user.pw_gid == group
        and entry.gr_name == user.pw_name
        and set(entry.gr_mem) <= {user.pw_name}
    )
