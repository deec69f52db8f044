"""Small values that change by compare-and-set, and the states of consumer groups."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Interface

from queuey.model.groups.commands import Command, Ran, View
from queuey.model.groups.settings import Group
from queuey.model.groups.terms import Terms
from queuey.model.queues.queue import Queue
from queuey.model.timeid import MessageId

MAX_STATE: Final = 65_536
"""Maximal bytes of a state."""


class Outcome(Enum):
    """Outcome of a compare-and-set."""

    APPLIED = "applied"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@attrs.frozen
class State:
    """A value under compare-and-set, and the version to name when it is replaced."""

    value: bytes
    version: str


class IStateStore(Interface):
    """Small values that change by compare-and-set. Applications, keys and the settings of groups are stored so."""

    def read(key: str) -> Deferred[State | None]:
        """Read the value of a key: the newest that was ever applied.

        :return: fires with the value, or with ``None`` if there is none. May be cancelled. Fails with ``Unavailable``.
        """

    def replace(key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        """Set a value if its version is still the one that was read.

        :param version: the version that was read; ``None``: there was no value.
        :param value: the new value, at most ``MAX_STATE`` bytes (a longer one raises ``ValueError``); ``None`` removes
            the value.
        :param fresh: the version of the new value: a text that no other change has ever had.
        :return: fires with the outcome. After ``UNKNOWN`` the caller reads the version. Fails with ``Unavailable`` or
            ``StorageFull`` if nothing was changed.
        """


class IGroupStore(Interface):
    """The states of consumer groups: which message each group has, in each partition.

    The rules of :mod:`queuey.model.groups` decide what may happen to a state; a provider runs them next to the state
    and the messages. Every provider promises:

    * A command is atomic for each partition that it touches: its events are stored together, or none of them. An
      embedded store does all commands of a call in one transaction.
    * An answer comes after its events are stored, as durably as an acknowledged POST.
    * Commands on the same partition of the same group take effect one after another; those of one call in their order.
    * The time of a decision is the store's wall clock.
    * A state begins when it is first needed, at ``group.place`` and with a random generation, if the row of the group
      still names ``group.gid`` and does not say that the group is being deleted; otherwise the call fails with
      ``NoSuchGroup``. States of an earlier version of Queuey (``state_key`` in the ``IStateStore``) are converted when
      they are first touched, so older receipts stay valid.
    * A claim gives messages that are due again, and then messages below the stable time that the group has not been
      given, oldest first in each partition. It never gives messages that expired, were deleted or purged, or are copies
      for another group.
    """

    def run(queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Ran]:
        """Run commands in their order, in as few round trips as the store can, whatever partitions they touch.

        Cancelling the Deferred does not stop the work: the caller gives back what it does not want.

        :param terms: of the group, with its dead-letter queue as it is now.
        :return: fires with an answer for each command. Fails with ``NoSuchGroup``, ``NoSuchQueue`` or ``StorageFull``;
            or with ``Unavailable``, whose ``applied`` is about all commands together: ``no``, ``partly`` or
            ``unknown``. If the outcome of a claim under ``at_most_once`` is unknown in a partition, the claim gives
            no message of that partition.
        """

    def follow_writes() -> bool:
        """Announce claims that will run in the next turn of the reactor, for messages that are appended in this one.

        Call it before the append. A store that returns ``True`` does both in one transaction if it can.

        :return: whether such a claim gets these messages although their append is not answered yet. If not, claim once
            it is.
        """

    def look(queue: Queue, group: Group, partition: int, ids: Sequence[MessageId] = ()) -> Deferred[View]:
        """Read the state of one partition as it is stored now.

        :param ids: the messages that ``View.open`` is about.
        :return: fires with the view. Fails with ``NoSuchGroup``, ``NoSuchQueue`` or ``Unavailable``.
        """

    def end(incarnation: int, gid: bytes, partitions: int) -> Deferred[None]:
        """Remove all states of a group whose row says that it is being deleted, or is gone. May be repeated.

        The states of a deleted queue are removed by ``IQueueStore.forget``.

        :param incarnation: of the queue, which has or had so many ``partitions``.
        :return: fires once the states are removed, or cannot be found any more. Fails with ``Unavailable``.
        """
