"""The contract of IStateStore: a compare-and-set that can be relied on."""

from __future__ import annotations

from twisted.internet.defer import gatherResults
from zope.interface.verify import verifyObject

from queuey.interfaces import IStateStore, Outcome, State
from tests.contracts.subject import Contract, after_restart, contract

LIMIT = 65_536


class StatesContract(Contract):
    """What every store of states promises."""

    _versions = 0

    @property
    def states(self) -> IStateStore:
        return self.store.states

    async def current(self, key: str) -> State:
        state = await self.states.read(key)
        assert state is not None
        return state

    def fresh(self) -> str:
        """A version that nothing has had."""
        self._versions += 1
        return f"version {self._versions}"

    async def set(self, key: str, version: str | None, value: bytes | None, fresh: str | None = None) -> bool:
        outcome = await self.states.replace(key, version, value, fresh or self.fresh())
        self.assertIn(outcome, (Outcome.APPLIED, Outcome.REFUSED))
        return outcome is Outcome.APPLIED

    def test_it_provides_the_interface(self) -> None:
        verifyObject(IStateStore, self.states)

    @contract
    async def test_one_life_of_a_value(self) -> None:
        self.assertIsNone(await self.states.read("key"))
        self.assertTrue(await self.set("key", None, b"one"))
        first = await self.current("key")
        self.assertEqual(first.value, b"one")
        self.assertTrue(await self.set("key", first.version, b""))
        second = await self.current("key")
        self.assertEqual(second.value, b"")
        self.assertTrue(await self.set("key", second.version, None))
        self.assertIsNone(await self.states.read("key"))

    @contract
    async def test_refusals_change_nothing(self) -> None:
        self.assertFalse(await self.set("key", "0" * 32, b"x"))
        self.assertFalse(await self.set("key", "", b"x"))
        self.assertFalse(await self.set("key", "0" * 32, None))
        self.assertIsNone(await self.states.read("key"))
        await self.set("key", None, b"one")
        state = await self.current("key")
        for version in (None, "", "0" * 32, state.version.upper() + "x"):
            self.assertFalse(await self.set("key", version, b"two"))
            self.assertFalse(await self.set("key", version, None))
        self.assertEqual(await self.current("key"), state)

    @contract
    async def test_removing_what_is_not_there(self) -> None:
        self.assertTrue(await self.set("key", None, None))
        self.assertIsNone(await self.states.read("key"))

    @contract
    async def test_a_value_has_the_version_that_was_chosen(self) -> None:
        """The caller that has changed it can go on without reading it."""
        version: str | None = None
        for fresh in ("0" * 32, "é", "x" * 64):
            self.assertTrue(await self.set("key", version, b"value", fresh))
            self.assertEqual(await self.current("key"), State(b"value", fresh))
            version = fresh
        self.assertTrue(await self.set("key", version, None, "removed"))
        self.assertIsNone(await self.states.read("key"))
        self.assertFalse(await self.set("key", "removed", b"value"))
        self.assertTrue(await self.set("key", None, b"anew", "made anew"))
        self.assertEqual(await self.current("key"), State(b"anew", "made anew"))

    @contract
    async def test_a_version_of_before_is_of_no_use(self) -> None:
        versions: list[str] = []
        for _ in range(4):
            self.assertTrue(await self.set("key", None, b"same"))
            for _ in range(3):
                versions.append((await self.current("key")).version)
                self.assertTrue(await self.set("key", versions[-1], b"same"))
            versions.append((await self.current("key")).version)
            self.assertTrue(await self.set("key", versions[-1], None))
        await self.set("key", None, b"same")
        for version in versions:
            self.assertFalse(await self.set("key", version, b"other"))

    @contract
    async def test_of_many_at_once_exactly_one_wins(self) -> None:
        version: str | None = None
        for _ in range(5):
            answers = [self.states.replace("key", version, b"%d" % number, self.fresh()) for number in range(20)]
            outcomes = await gatherResults(answers)
            self.assertEqual(outcomes.count(Outcome.APPLIED), 1)
            self.assertEqual(outcomes.count(Outcome.REFUSED), 19)
            state = await self.current("key")
            self.assertEqual(state.value, b"%d" % outcomes.index(Outcome.APPLIED))
            version = state.version

    @contract
    async def test_sizes(self) -> None:
        largest = bytes(range(256)) * 256
        self.assertEqual(len(largest), LIMIT)
        self.assertTrue(await self.set("key", None, largest))
        state = await self.current("key")
        self.assertEqual(state.value, largest)
        with self.assertRaises(ValueError):
            self.states.replace("key", state.version, largest + b"x", self.fresh())
        self.assertEqual(await self.current("key"), state)

    @contract
    async def test_keys_are_apart(self) -> None:
        keys = ["a", "A", "a ", "\u00e9", "e\u0301", "\U0001f600", "x" * 2000, "", "a/b", "%"]
        for number, key in enumerate(keys):
            self.assertTrue(await self.set(key, None, b"%d" % number))
        self.assertEqual([(await self.current(key)).value for key in keys], [b"%d" % n for n in range(len(keys))])

    @after_restart
    async def test_over_a_restart(self) -> None:
        await self.set("key", None, b"one")
        await self.set("gone", None, b"one")
        state = await self.current("key")
        await self.set("gone", (await self.current("gone")).version, None)
        await self.subject.reopen()
        self.assertEqual(await self.states.read("key"), state)
        self.assertIsNone(await self.states.read("gone"))
        self.assertTrue(await self.set("key", state.version, b"two"))
