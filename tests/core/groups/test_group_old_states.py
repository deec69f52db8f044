"""A store of an earlier version, in the midst of its work: its groups go on, and receipts from then still hold.

The file was made by commit 956fc14: of six messages one was acked, one is leased, one is retried after 600 seconds, one
was set aside, one was claimed under a key, and one was never given.
"""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile
from typing import Any, cast

from twisted.internet.defer import succeed

from queuey.core.copying import Copying
from queuey.core.groups.values import Redriving, Settling
from queuey.model.groups.terms import Action
from queuey.model.groups.terms import Outcome as Settled
from queuey.storage.sqlite.database import files
from queuey.storage.sqlite.upkeep.backup import back_up
from queuey.storage.sqlite.upkeep.export_source import SQLiteHoldings
from tests.core.copying.test_copying import open_store
from tests.core.groups.group_support import SQLiteGroupCase, begun, receipts
from tests.storage.sqlite.group_faults import Faulty
from tests.storage.sqlite.old_files import DATA
from tests.storage.sqlite.runners import Inline
from tests.storage.subjects import SQLiteSubject, versions

KEY = b"k" * 16
_GIVEN = "AQAAAAAAAAAAAAAAAAAAAAEAAAAAAAAABwEe6DOwSvxgA"
ACKED = f"{_GIVEN}ZI0ASNFZ4mrAAAAAAAAAAENTs2UN4hzeqCKyeDnjkJv"
LEASED = f"{_GIVEN}pI0ASNFZ4mrAAAAAAAAAALGcaqqOboG2q-gLLbOi5Rr"
RETRIED = f"{_GIVEN}5I0ASNFZ4mrAAAAAAAAAAM7NQmLQAoHWGbpYZxhcSUB"
ASIDE = "AQAAAAAAAAAAAAAAAAAAAAEAAAAAAAAABwEe6DOwSvxgBJI0ASNFZ4mrAAAAAAAAAATheIN6yLqYsGb840aJ1pPB"
KEYED = "AQAAAAAAAAAAAAAAAAAAAAEAAAAAAAAABwEe6DOwSvxgBZI0ASNFZ4mrAAAAAAAAAAU-SM_nDY3KwWZCq1vpdEO9"


class OldStateCase(SQLiteGroupCase):
    """The queue and the group of that file."""

    by_state = False
    file = DATA / "groups-of-schema-2.sqlite"

    def subject(self) -> Any:
        directory = Path(self.mktemp())
        directory.mkdir()
        copyfile(self.file, directory / files.DATABASE)
        return SQLiteSubject(directory, Inline)

    def rows(self, statement: str) -> Any:
        return self.writer._connection.execute(statement).get

    @property
    def writer(self) -> Any:
        return cast(Any, self.under.store)._open.writer

    def goes_on(self) -> None:
        """All of it is as it was."""
        self.assertEqual(self.settle(Action.ACK, ACKED), (Settled.ALREADY_ACKED,))
        self.assertEqual(self.settle(Action.ACK, ASIDE), (Settled.STALE,))
        again = self.claim(limit=1, key=KEY)
        self.assertEqual(receipts(again), [KEYED])
        self.assertEqual(self.bodies(), [b"fresh"])
        self.assertEqual(self.settle(Action.EXTEND, LEASED, span=43_200.0), (Settled.EXTENDED,))
        self.assertEqual(self.settle(Action.ACK, LEASED, KEYED), (Settled.ACKED, Settled.ACKED))
        moved = self.successResultOf(begun(self.groups.redrive(self.queue, self.group, Redriving()))).moved
        self.assertEqual((moved, self.bodies()), (1, [b"rejected"]))
        self.assertEqual(self.settle(Action.ACK, RETRIED), (Settled.ACKED,))


class OldStateTests(OldStateCase):
    """It is converted when it is first changed, in one transaction."""

    def test_it_goes_on(self) -> None:
        self.assertEqual(self.rows("SELECT count(*) FROM group_states"), 0)
        self.goes_on()
        self.assertEqual(self.rows("SELECT count(*) FROM group_states"), 1)
        self.assertEqual(self.rows("SELECT count(*) FROM states WHERE key LIKE '%/state/%'"), 0)

    def test_a_batch_that_fails(self) -> None:
        """At any statement, or at its commit: what is answered holds, and all goes on."""
        failed: list[int] = []
        for kind, places in (("statement", range(6)), ("commit", range(2))):
            for place in places:
                self.setUp()
                faulty = Faulty(self.writer)
                faulty.begin(**{kind: place})
                asked = Settling(Action.EXTEND, LEASED, 43_200.0)
                self.groups.settle(self.queue, self.group, [asked]).addErrback(lambda _: None)
                failed.append(faulty.failed)
                faulty.begin()
                self.goes_on()
        self.assertGreater(sum(failed), 3)

    def test_a_backup(self) -> None:
        """Of what is not converted yet, and of what is: a store is opened from it, and goes on."""
        for converted in (False, True):
            self.file = DATA / "groups-of-schema-2.sqlite"
            self.setUp()
            if converted:
                self.settle(Action.EXTEND, LEASED, span=43_200.0)
            target = Path(self.mktemp())
            back_up(cast(Any, self.under).directory, target)
            self.file = target / files.DATABASE
            self.setUp()
            self.assertEqual(self.rows("SELECT count(*) FROM group_states"), int(converted))
            self.goes_on()

    def test_a_copy_while_it_is_converted(self) -> None:
        """A pass copies the state as it was, and the last one what has become of it."""
        done, wall = self.successResultOf, self.under.wall
        target = Path(self.mktemp())
        source = SQLiteHoldings(cast(Any, self.under).directory, wall, Inline())
        filled = open_store(target, wall, True, 2)
        copying = Copying(source, filled.import_target(), lambda _: succeed(None), versions())
        wall.seconds += 1
        done(copying.begin("a copy"))
        done(copying.run_pass())
        self.settle(Action.EXTEND, LEASED, span=43_200.0)
        wall.seconds += 1
        done(source.seal())
        done(self.under.close())
        self.assertTrue(done(source.seal()))
        done(copying.complete("a copy"))
        for one in (source, filled):
            done(one.close())
        self.file = target / files.DATABASE
        self.setUp()
        self.assertEqual(self.rows("SELECT count(*) FROM group_states"), 1)
        self.assertEqual(self.rows("SELECT count(*) FROM states WHERE key LIKE '%/state/%'"), 0)
        self.goes_on()
