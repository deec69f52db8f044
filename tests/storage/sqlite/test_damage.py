"""A database of which one page is damaged: it is refused, or what needs the page fails; no answer is ever wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import apsw
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import QueueyError, Unavailable
from queuey.model.applications.policy import Ack
from queuey.model.messages.message import Address, Content, NewMessage
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.window import Window
from queuey.storage.sqlite import SQLiteStore
from queuey.storage.sqlite.database import files
from queuey.storage.sqlite.upkeep.backup import back_up
from tests.contracts.reading import TERMS, foreign_id, once
from tests.contracts.subject import Wall
from tests.storage.quick import quick_directory
from tests.storage.sqlite.old_files import open_store

Answers = dict[str, object]
Question = Callable[[SQLiteStore], Deferred[Any]]

KINDS: dict[str, Callable[[bytes], bytes]] = {
    "zeros": lambda page: bytes(len(page)),
    "noise": lambda page: Random(1).randbytes(len(page)),
    "half": lambda page: page[: len(page) // 2] + Random(2).randbytes(len(page) // 2),
    "ones": lambda page: b"\xff" * len(page),
}
"""What becomes of a page."""

NOT_FOUND_OUT = frozenset({"half"})
"""What may leave a page that is one, with other bytes in it: there are no checksums."""


class DamageTests(SynchronousTestCase):
    """Every page of a small database, damaged in several ways."""

    def setUp(self) -> None:
        self.directory = quick_directory(self) / "data"
        store = open_store(self.directory, Wall())
        for name in ("q", "other"):
            queue, _ = self.successResultOf(store.create("app", name, QueueSettings(partitions=2), None))
            new = [NewMessage(1 + number % 2, Content(b"%d " % number + b"x" * 400), 3600) for number in range(60)]
            self.ids = self.successResultOf(store.append(queue, new, TERMS))
        self.successResultOf(store.replace(queue, [Address(1, foreign_id(99))], Content(b"future"), 3600, TERMS))
        self.once = new[:1]
        self.successResultOf(store.append_once(queue, self.once, TERMS, once()))
        self.successResultOf(store.close())
        self.path = self.directory / files.DATABASE
        self.whole = self.path.read_bytes()
        self.right = self.answers()

    def answers(self) -> Answers:
        """What a store says; a failure of ours stands for itself, and any other one is a failure of the test."""
        try:
            store = open_store(self.directory, Wall())
        except QueueyError as error:
            self.assertIn(str(self.directory), error.text)
            self.assertNotIn("\n", error.text)
            return {"open": None}
        try:
            return {name: self.answer(ask(store)) for name, ask in self.questions().items()}
        finally:
            self.successResultOf(store.close())

    def answer(self, asked: Deferred[Any]) -> object:
        found: list[object] = []
        asked.addCallbacks(found.append, lambda failure: found.append(failure.value))
        (answer,) = found
        if isinstance(answer, Exception):
            self.assertIsInstance(answer, QueueyError, repr(answer))
        return None if isinstance(answer, Unavailable) else answer

    def questions(self) -> dict[str, Question]:
        places = [Address(1 + number % 2, id) for number, id in enumerate(self.ids)]

        def of_queue(ask: Callable[[SQLiteStore, Queue], Deferred[Any]]) -> Question:
            def asked(store: SQLiteStore) -> Deferred[Any]:
                found: Deferred[Any] = store.describe("app", ["other"])
                return found.addCallback(lambda queues: ask(store, queues[0]))

            return asked

        return {
            "names": lambda store: store.names("app", "", 10, ""),
            "describe": lambda store: store.describe("app", ["q", "other"]),
            "scan": of_queue(lambda store, queue: store.read_range(queue, Window((1, 2), limit=1000), Ack.ONE)),
            "down": of_queue(lambda store, queue: store.read_range(queue, Window((2,), descending=True), Ack.ONE)),
            "lookup": of_queue(lambda store, queue: store.lookup(queue, places, Ack.ONE)),
            "count": of_queue(lambda store, queue: store.count(queue, Ack.ONE)),
            "delayed": of_queue(lambda store, queue: store.delayed(queue, 10, Ack.ONE)),
            "measure": of_queue(lambda store, queue: store.measure(queue, Ack.ONE)),
            "once": of_queue(lambda store, queue: store.append_once(queue, self.once, TERMS, once())),
        }

    def damaged(self, kind: str) -> dict[str, int]:
        """Damage each page in turn; how often what was right, refused, or wrong."""
        tally = {"right": 0, "refused": 0, "wrong": 0}
        for start in range(0, len(self.whole), files.PAGE):
            end = start + files.PAGE
            self.path.write_bytes(self.whole[:start] + KINDS[kind](self.whole[start:end]) + self.whole[end:])
            with capturedLogs():
                found = self.answers()
            for name, answer in found.items():
                same = answer == self.right.get(name)
                tally["refused" if answer is None else "right" if same else "wrong"] += 1
            for left in self.directory.glob("*-*"):
                left.unlink()
        return tally

    def test_each_page(self) -> None:
        for kind in KINDS:
            tally = self.damaged(kind)
            self.assertGreater(min(tally["right"], tally["refused"]), 30, (kind, tally))
            if kind not in NOT_FOUND_OUT:
                self.assertEqual(tally["wrong"], 0, kind)

    def test_no_backup_is_made_of_it(self) -> None:
        """Wherever the damage is, except in pages that have no content: the pointer map and empty indexes."""
        made = set()
        for start in range(0, len(self.whole), files.PAGE):
            noise = KINDS["noise"](self.whole[start : start + files.PAGE])
            self.path.write_bytes(self.whole[:start] + noise + self.whole[start + files.PAGE :])
            target = Path(self.mktemp())
            try:
                back_up(self.directory, target.absolute())
                made.add(start // files.PAGE + 1)
            except QueueyError:
                self.assertFalse(target.exists())
            for left in self.directory.glob("*-*"):
                left.unlink()
        self.path.write_bytes(self.whole)
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        self.addCleanup(connection.close)
        tables = "states", "group_states", "deliveries"
        empty = [name for name in tables if not connection.execute(f"SELECT count(*) FROM {name}").get]
        places = ", ".join("?" * len(empty))
        roots = f"SELECT rootpage FROM sqlite_schema WHERE type = 'index' AND tbl_name IN ({places})"
        self.assertLessEqual(made, {2, *(page for (page,) in connection.execute(roots, empty))})
