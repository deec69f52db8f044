"""Modes of files and folders, with any umask and any modes before."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from queuey.file_modes import OWN_USER, FileModes, Findings

STRANGER = 65534
"""A user who has no part in Queuey."""

UMASKS = (0o000, 0o022, 0o027, 0o077, 0o277)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def other_group() -> int | None:
    """A group that this process may give files to, besides its own; ``None`` where there is none."""
    if os.geteuid() == 0:
        return os.getegid() + 1
    return next((group for group in os.getgroups() if group != os.getegid()), None)


class FileModesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.findings = Findings()

    def under(self, umask: int, work: Callable[[], object]) -> None:
        before = os.umask(umask)
        try:
            work()
        finally:
            os.umask(before)


class OwnUserTests(FileModesTestCase):
    """Without a group."""

    def opened(self, path: Path) -> None:
        os.close(OWN_USER.open(path, os.O_WRONLY))

    def test_new(self) -> None:
        """Files and folders are the owner's alone, and folders above them that were made too."""
        for umask in UMASKS:
            folder = self.folder / f"{umask:o}"
            self.under(umask, partial(OWN_USER.make_folders, folder / "a" / "b"))
            self.under(umask, partial(OWN_USER.create, folder / "made"))
            self.under(umask, partial(self.opened, folder / "opened"))
            self.assertEqual([mode(folder / name) for name in ("made", "opened")], [0o600, 0o600])
            self.assertEqual([mode(one) for one in (folder, folder / "a", folder / "a/b")], [0o700] * 3)

    def test_folders_that_are_there(self) -> None:
        """They are left as they are when others are made in them."""
        self.folder.chmod(0o755)
        made = OWN_USER.make_folders(self.folder / "a" / "b")
        self.assertEqual(made, [self.folder / "a" / "b", self.folder / "a"])
        self.assertEqual(OWN_USER.make_folders(self.folder / "a"), [])
        self.assertEqual(mode(self.folder), 0o755)

    def test_what_is_no_folder(self) -> None:
        (self.folder / "file").touch()
        self.assertRaises(OSError, OWN_USER.make_folders, self.folder / "file")
        self.assertRaises(OSError, OWN_USER.make_folders, self.folder / "file" / "a")

    def test_a_file_that_is_there(self) -> None:
        """It is opened, and not made again."""
        path = self.folder / "file"
        path.write_text("x")
        path.chmod(0o644)
        os.close(OWN_USER.open(path, os.O_WRONLY))
        self.assertRaises(FileExistsError, OWN_USER.create, path)
        self.assertEqual((path.read_text(), mode(path)), ("x", 0o644))

    def test_tightened(self) -> None:
        """What others could read is named with the mode that it had; what they could not is not."""
        for name, before in (("a", 0o644), ("b", 0o600), ("c", 0o640), ("d", 0o660), ("e", 0o400)):
            (self.folder / name).touch(before)
            (self.folder / name).chmod(before)
            OWN_USER.apply(self.folder / name, self.findings)
            self.assertEqual(mode(self.folder / name), 0o600)
        self.assertEqual(
            self.findings.tightened, [f"{self.folder}/a (644)", f"{self.folder}/c (640)", f"{self.folder}/d (660)"]
        )
        self.folder.chmod(0o755)
        OWN_USER.apply(self.folder, self.findings)
        self.assertEqual((mode(self.folder), self.findings.tightened[-1]), (0o700, f"{self.folder} (755)"))
        self.assertEqual(self.findings.left, [])

    def test_what_is_no_file(self) -> None:
        """A pipe is left as it is, and what is not there is no mistake."""
        os.mkfifo(self.folder / "pipe", 0o622)
        before = mode(self.folder / "pipe")
        OWN_USER.apply(self.folder / "pipe", self.findings)
        OWN_USER.apply(self.folder / "nothing", self.findings)
        self.assertEqual((mode(self.folder / "pipe"), self.findings), (before, Findings()))

    def test_folders_with_other_files(self) -> None:
        """Such a folder is left as it is, since others may need to reach what is in it."""
        self.folder.chmod(0o755)
        (self.folder / "ours.log").touch()
        (self.folder / "theirs").touch()
        self.assertFalse(OWN_USER.apply_to_own(self.folder, lambda name: "ours" in name, self.findings))
        self.assertEqual((mode(self.folder), self.findings), (0o755, Findings()))
        (self.folder / "theirs").unlink()
        self.assertTrue(OWN_USER.apply_to_own(self.folder, lambda name: "ours" in name, self.findings))
        self.assertEqual((mode(self.folder), self.findings.tightened), (0o700, [f"{self.folder} (755)"]))

    @skipIf(os.geteuid() == 0, "root may change every file")
    def test_files_of_others(self) -> None:
        """What is not ours is named with the reason."""
        OWN_USER.apply(Path("/etc/passwd"), self.findings)
        self.assertEqual(self.findings, Findings([], ["/etc/passwd with mode 644 (Operation not permitted)"]))


@skipIf(os.geteuid() != 0, "only root can give files to other users")
class OtherUserTests(FileModesTestCase):
    """In a folder of another user, who can make links in it."""

    def setUp(self) -> None:
        super().setUp()
        self.target = self.folder / "target"
        self.target.write_text("x")
        self.target.chmod(0o644)
        os.chown(self.folder, STRANGER, STRANGER)

    def link(self, user: int) -> Path:
        link = self.folder / f"link-{user}"
        link.symlink_to("target")
        os.chown(link, user, user, follow_symlinks=False)
        return link

    def test_links(self) -> None:
        """A link of the other user is not followed; one that root has made is."""
        link = self.link(STRANGER)
        self.assertRaises(OSError, OWN_USER.open, link, os.O_WRONLY | os.O_TRUNC)
        OWN_USER.apply(link, self.findings)
        self.assertEqual((self.target.read_text(), mode(self.target)), ("x", 0o644))
        self.assertEqual(self.findings, Findings([], [f"{link} (a symbolic link of another user)"]))
        own = self.link(0)
        os.close(OWN_USER.open(own, os.O_WRONLY | os.O_TRUNC))
        OWN_USER.apply(own, self.findings)
        self.assertEqual((self.target.read_text(), mode(self.target)), ("", 0o600))
        self.assertEqual(self.findings.tightened, [f"{own} (644)"])

    def test_owners(self) -> None:
        """Files and folders of the other user are named, whatever their mode is."""
        os.chown(self.target, STRANGER, STRANGER)
        self.target.chmod(0o600)
        self.folder.chmod(0o700)
        for path in (self.folder, self.target):
            OWN_USER.apply(path, self.findings)
        told = [f"{path} (it belongs to user {STRANGER})" for path in (self.folder, self.target)]
        self.assertEqual(self.findings, Findings([], told))


class GroupTests(FileModesTestCase):
    """With a group."""

    def setUp(self) -> None:
        super().setUp()
        self.group = other_group()

    def modes(self) -> FileModes:
        if self.group is None:
            self.skipTest("this user has one group alone")
        return FileModes("readers", self.group)

    def test_new(self) -> None:
        """The group may read files, and look into folders."""
        modes = self.modes()
        for umask in UMASKS:
            folder = self.folder / f"{umask:o}"
            self.under(umask, partial(modes.make_folders, folder))
            self.under(umask, partial(modes.create, folder / "made"))
            self.assertEqual((mode(folder), mode(folder / "made")), (0o750, 0o640))
            self.assertEqual({(folder / "made").stat().st_gid, folder.stat().st_gid}, {self.group})

    def test_there_before(self) -> None:
        """Files that another group could read are given to this one."""
        modes, path = self.modes(), self.folder / "a"
        path.touch()
        for before, told in ((0o600, []), (0o640, [f"{path} (640)"])):
            os.chown(path, -1, os.getegid())
            path.chmod(before)
            findings = Findings()
            modes.apply(path, findings)
            self.assertEqual((mode(path), path.stat().st_gid, findings), (0o640, self.group, Findings(told)))
        modes.apply(path, findings)
        self.assertEqual(findings, Findings([f"{path} (640)"]))
        OWN_USER.apply(path, findings)
        self.assertEqual((mode(path), len(findings.tightened)), (0o600, 2))

    @skipIf(os.geteuid() == 0, "root may give files to every group")
    def test_a_group_that_is_not_ours(self) -> None:
        """Others cannot read the file all the same, and the reason is reported."""
        path = self.folder / "a"
        path.touch()
        path.chmod(0o644)
        FileModes("root", 0).apply(path, self.findings)
        self.assertEqual(mode(path), 0o600)
        self.assertEqual(self.findings.left, [f"{path} with mode 644 (Operation not permitted)"])
        self.assertRaises(PermissionError, FileModes("root", 0).create, self.folder / "b")
