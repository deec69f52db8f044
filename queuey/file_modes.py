"""Modes of the files and folders that Queuey makes: for its own user, and for one group if the settings name one.

``os.open`` and ``mkdir`` take bits away by the umask of the process, and leave a file that exists as it is. So modes
are set after a file was made, and those of an earlier start are looked at again.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs

_ALL_OTHERS: Final = 0o077
"""The bits of a mode that allow access to others than the owner."""


@attrs.define
class Findings:
    """Result of checking the modes of existing files.

    :ivar tightened: those that others could read or write, and now cannot, each with its former mode.
    :ivar left: those that others may still read or replace, each with the reason.
    """

    tightened: list[str] = attrs.Factory(list)
    left: list[str] = attrs.Factory(list)


@attrs.frozen
class FileModes:
    """Permissions of the files that Queuey writes.

    :ivar name: of the group; empty: there is none.
    :ivar group: its number.
    """

    name: str = ""
    group: int | None = None

    @property
    def file(self) -> int:
        """The mode of a file."""
        return 0o600 if self.group is None else 0o640

    @property
    def folder(self) -> int:
        """The mode of a folder."""
        return 0o700 if self.group is None else 0o750

    def open(self, path: Path, flags: int) -> int:
        """Open a file, which is made if it is not there, with the mode that it has to have from the beginning.

        A file that is there keeps its mode; see :meth:`apply`.

        :return: its descriptor, which no other program inherits.
        :raise OSError: it cannot be opened, is another user's link, or a new one cannot be given to the group.
        """
        try:
            return self._make(path, flags)
        except FileExistsError:
            flags |= os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(path, flags | os.O_NOFOLLOW, self.file)
        except OSError as error:
            if error.errno != errno.ELOOP or is_link_of_others(path):
                raise
        return os.open(path, flags, self.file)

    def create(self, path: Path) -> None:
        """Make an empty file.

        :raise FileExistsError: there is one.
        :raise OSError: it cannot be made, or cannot be given to the group.
        """
        os.close(self._make(path, os.O_RDWR))

    def _make(self, path: Path, flags: int) -> int:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self.file)
        try:
            self._set(descriptor, os.fstat(descriptor), self.file)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def make_folders(self, folder: Path) -> list[Path]:
        """Make a folder, and those above it, if they are not there.

        :return: those that were made, the innermost first.
        :raise OSError: one cannot be made, or cannot be given to the group.
        """
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        for one in reversed(missing):
            one.mkdir(0o700, exist_ok=True)
            self._set(one, one.stat(), self.folder)
        folder.mkdir(exist_ok=True)  # which says that something else is there
        return missing

    def give(self, folder: Path) -> None:
        """Give a new folder its mode.

        :raise OSError: it cannot be given to the group.
        """
        self._set(folder, folder.stat(), self.folder)

    def apply(self, path: Path, findings: Findings) -> None:
        """Give a file or a folder that may have been there before its mode, if it can be done.

        What is neither, such as a pipe, is left as it is, and so is what is not there, and a link of another user: that
        may lead to any file of this machine, whose mode is no matter of ours.
        """
        try:
            if is_link_of_others(path):
                findings.left.append(f"{path} (a symbolic link of another user)")
                return
            found = os.stat(path)
        except OSError:
            return
        if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
            return
        wanted = self.folder if stat.S_ISDIR(found.st_mode) else self.file
        mode = stat.S_IMODE(found.st_mode)
        allowed = wanted if found.st_gid == self.group else wanted & ~_ALL_OTHERS
        too_open = bool(mode & _ALL_OTHERS & ~allowed)
        try:
            self._set(path, found, wanted)
        except OSError as error:
            if too_open or self.group is not None:
                findings.left.append(f"{path} with mode {mode:03o} ({error.strerror})")
            with suppress(OSError):
                os.chmod(path, mode & allowed)
        else:
            if too_open:
                findings.tightened.append(f"{path} ({mode:03o})")
            note_owner(path, found, findings)

    def apply_to_own(self, folder: Path, is_ours: Callable[[str], bool], findings: Findings) -> bool:
        """Set the mode of a folder, if it contains only files of ours.

        Other programs may need to reach what else is in it: ``/var/log`` may be the folder of the log. Files of ours
        have modes of their own there.

        :param is_ours: returns whether a name in the folder is that of a file of ours.
        :return: whether the mode was set.
        """
        try:
            ours = all(map(is_ours, os.listdir(folder)))
        except OSError as error:
            findings.left.append(f"{folder} ({error.strerror})")
            return False
        if ours:
            self.apply(folder, findings)
        return ours

    def _set(self, file: int | Path, found: os.stat_result, mode: int) -> None:
        if self.group is not None and found.st_gid != self.group:
            os.chown(file, -1, self.group)
        if stat.S_IMODE(found.st_mode) != mode:
            os.chmod(file, mode)


def note_owner(path: Path, found: os.stat_result, findings: Findings) -> None:
    """Note a file or a folder of another user, who can read it or replace what is in it, whatever its mode is."""
    if _is_of_others(found):
        findings.left.append(f"{path} (it belongs to user {found.st_uid})")


def is_link_of_others(path: Path) -> bool:
    """Whether a path is a symbolic link that neither the user that Queuey runs as has made, nor root.

    A user who can write to the folder of the data or of the log could otherwise have Queuey change any file that Queuey
    may change, which is every file if it runs as root.

    :raise OSError: it does not exist.
    """
    found = os.lstat(path)
    return stat.S_ISLNK(found.st_mode) and _is_of_others(found)


def _is_of_others(found: os.stat_result) -> bool:
    return found.st_uid not in (0, os.geteuid())


OWN_USER: Final = FileModes()
"""Modes for the user alone that Queuey runs as."""
