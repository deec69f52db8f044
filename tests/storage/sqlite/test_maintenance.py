"""What operators have done to a store while it is served: it is read through, or copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import AlreadyThere, QueueyError, Unavailable
from queuey.storage.sqlite.database import files
from queuey.storage.sqlite.upkeep.backup import Archive
from queuey.storage.sqlite.upkeep.maintenance import SQLiteCare
from tests.contracts.subject import Wall
from tests.storage.quick import quick_directory
from tests.storage.sqlite.old_files import fill, open_store


def at_once(work: Callable[[], Any]) -> Deferred[Any]:
    return maybeDeferred(work)


class CareTests(SynchronousTestCase):
    """A store with something in it, that is open."""

    def setUp(self) -> None:
        self.directory = quick_directory(self)
        self.data = self.directory / "data"
        self.store = open_store(self.data, Wall())
        fill(self.store)
        self.care = SQLiteCare(self.data, at_once)

    def close(self) -> Path:
        """End the store; its database."""
        self.successResultOf(self.store.close())
        return self.data / files.DATABASE

    def test_what_is_whole(self) -> None:
        self.assertEqual(self.successResultOf(self.care.check()), "ok")
        self.close()

    def test_damage_is_found(self) -> None:
        """Of each page in turn but the first, which says that it is a database."""
        path = self.close()
        whole, found = path.read_bytes(), []
        for at in range(4096, len(whole), 4096):
            path.write_bytes(whole[:at] + bytes(4096) + whole[at + 4096 :])
            answer: list[Any] = []
            self.care.check().addBoth(answer.append)
            error = getattr(answer[0], "value", None)
            self.assertTrue(error is None or isinstance(error, QueueyError), answer)
            found.append(answer[0] if error is None else error.text)
        damaged = [text for text in found if text != "ok"]
        self.assertGreater(len(damaged), len(found) // 2, found)
        for text in damaged:
            self.assertNotIn("Traceback", str(text))

    def test_what_is_no_store(self) -> None:
        self.close()
        care = SQLiteCare(self.directory, at_once)
        self.failureResultOf(care.check(), Unavailable)
        self.failureResultOf(care.back_up(self.directory / "copy"), Unavailable)

    def test_a_copy_in_a_folder_that_is_made_for_it(self) -> None:
        made = self.successResultOf(self.care.back_up(self.directory / "backups" / "first"))
        self.assertEqual((made.path, made.queues), (self.directory / "backups" / "first", 2))
        archive = Archive(made.path)
        archive.close()
        self.failureResultOf(self.care.back_up(made.path), AlreadyThere)
        self.close()

    def test_a_folder_that_cannot_be_made(self) -> None:
        (self.directory / "file").write_text("")
        failure = self.failureResultOf(self.care.back_up(self.directory / "file" / "backup"), Unavailable)
        self.assertIn("cannot be made", failure.value.text)
        self.close()
