"""Stores around a store: an action at each call, such as counting it or limiting its time, is written once.

A layer overrides :meth:`StoreLayer.around`. It is called once for each operation, when the layer is made, and returns
the function that callers get instead of the inner store's. It may return the inner store's own function, so an
operation that a layer does not touch has no overhead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, ParamSpec, TypeVar

import attrs
from twisted.internet.defer import Deferred
from zope.interface import implementer

from queuey.interfaces import Capabilities, IGroupStore, IStateStore, IStore
from queuey.model.telemetry.counts import Metric

P = ParamSpec("P")
T = TypeVar("T")


@attrs.frozen
class Operation:
    """An operation of a store.

    :ivar name: as metrics name it.
    :ivar writes: whether it may change something.
    """

    name: str
    writes: bool = True


APPEND: Final = Operation("append")
APPEND_ONCE: Final = Operation("append_once")
CLOSE_QUEUE: Final = Operation("close_queue")
MERGE: Final = Operation("merge", writes=False)
SCAN: Final = Operation("scan", writes=False)
READ_MANY: Final = Operation("read_many", writes=False)
CHANGES: Final = Operation("changes", writes=False)
LOOKUP: Final = Operation("lookup", writes=False)
REPLACE: Final = Operation("replace")
PUT: Final = Operation("put")
RESTORE: Final = Operation("restore")
REMOVE: Final = Operation("remove")
PURGE: Final = Operation("purge")
DELAYED: Final = Operation("delayed", writes=False)
COUNT: Final = Operation("count", writes=False)
MEASURE: Final = Operation("measure", writes=False)
CREATE: Final = Operation("create")
UPDATE: Final = Operation("update")
FORGET: Final = Operation("forget")
NAMES: Final = Operation("names", writes=False)
DESCRIBE: Final = Operation("describe", writes=False)
PING: Final = Operation("ping", writes=False)
READ_STATE: Final = Operation("read_state", writes=False)
REPLACE_STATE: Final = Operation("replace_state")
RUN_GROUP: Final = Operation("run_group")
LOOK_GROUP: Final = Operation("look_group", writes=False)
END_GROUP: Final = Operation("end_group")


@implementer(IStore)
class StoreLayer:
    """A store that passes every call on to another one.

    :param store: the inner store.
    """

    def __init__(self, store: IStore) -> None:
        self._store = store
        self.states: IStateStore = LayeredStates(self, store.states)
        self.groups: IGroupStore = LayeredGroups(self, store.groups)
        self.cached = store.cached
        self.append = self.around(APPEND, store.append)
        self.append_once = self.around(APPEND_ONCE, store.append_once)
        self.close_queue = self.around(CLOSE_QUEUE, store.close_queue)
        self.read_merged = self.around(MERGE, store.read_merged)
        self.read_many = self.around(READ_MANY, store.read_many)
        self.changes = self.around(CHANGES, store.changes)
        self.read_range = self.around(SCAN, store.read_range)
        self.lookup = self.around(LOOKUP, store.lookup)
        self.replace = self.around(REPLACE, store.replace)
        self.put = self.around(PUT, store.put)
        self.restore = self.around(RESTORE, store.restore)
        self.remove = self.around(REMOVE, store.remove)
        self.purge = self.around(PURGE, store.purge)
        self.delayed = self.around(DELAYED, store.delayed)
        self.count = self.around(COUNT, store.count)
        self.measure = self.around(MEASURE, store.measure)
        self.create = self.around(CREATE, store.create)
        self.update = self.around(UPDATE, store.update)
        self.forget = self.around(FORGET, store.forget)
        self.names = self.around(NAMES, store.names)
        self.describe = self.around(DESCRIBE, store.describe)
        self.ping = self.around(PING, store.ping)

    def around(self, operation: Operation, call: Callable[P, Deferred[T]]) -> Callable[P, Deferred[T]]:
        """Return the function that callers get.

        :param call: the function of the inner store.
        """
        return call

    @property
    def capabilities(self) -> Capabilities:
        """See IStore."""
        return self._store.capabilities

    @property
    def metrics(self) -> Sequence[Metric]:
        """See IStore."""
        return self._store.metrics

    def open(self) -> None:
        """See IStore."""
        self._store.open()

    def opened(self) -> Deferred[None]:
        """See IStore."""
        return self._store.opened()

    def subscribe(self, arrived: Callable[[int], None]) -> float | None:
        """See IStore."""
        return self._store.subscribe(arrived)

    def health_problems(self) -> Mapping[str, str]:
        """See IStore."""
        return self._store.health_problems()

    def close(self) -> Deferred[None]:
        """See IStore."""
        return self._store.close()


@implementer(IStateStore)
class LayeredStates:
    """The states of a layer."""

    def __init__(self, layer: StoreLayer, states: IStateStore) -> None:
        self.read = layer.around(READ_STATE, states.read)
        self.replace = layer.around(REPLACE_STATE, states.replace)


@implementer(IGroupStore)
class LayeredGroups:
    """The groups of a layer."""

    def __init__(self, layer: StoreLayer, groups: IGroupStore) -> None:
        self.follow_writes = groups.follow_writes
        self.run = layer.around(RUN_GROUP, groups.run)
        self.look = layer.around(LOOK_GROUP, groups.look)
        self.end = layer.around(END_GROUP, groups.end)
