"""Interface of commands of consumer groups to a store that has the states and the messages next to each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from queuey.model.groups.index import GroupIndex
from queuey.model.groups.settings import Group
from queuey.model.messages.dead_letter_headers import is_only_for_another
from queuey.model.messages.message import Message
from queuey.model.queues.queue import Queue
from queuey.model.timeid import MessageId, Ticks
from queuey.model.values import frozen

NO_MESSAGES: Final[Mapping[MessageId, Message]] = {}


@frozen
class Scan:
    """Messages that a group has not been given.

    :ivar messages: oldest first, those that may be given; ``ids`` are theirs.
    :ivar end: a bound: below it these are all.
    :ivar over: whether there are no others.
    :ivar plain: whether it is known that no message has headers, and so none a key.
    """

    messages: Sequence[Message]
    ids: Sequence[MessageId]
    end: MessageId
    over: bool
    plain: bool = False


class GroupData(ABC):
    """The data that commands read.

    :ivar clock: the time of the transaction.
    """

    clock: Ticks

    @abstractmethod
    def index(self, queue: Queue, group: Group, partition: int) -> GroupIndex:
        """The state of a group in a partition; the store watches for its events.

        :raise NoSuchGroup: it was deleted.
        """

    @abstractmethod
    def find(
        self, queue: Queue, partition: int, ids: Sequence[MessageId], max_bytes: int | None = None
    ) -> Mapping[MessageId, Message]:
        """Return the messages with these ids that exist and have not expired.

        :param ids: oldest first, if there is a limit of bytes.
        :param max_bytes: if the bodies of the first messages exceed it, those after them may be left out.
        """

    @abstractmethod
    def existing(self, queue: Queue, partition: int, ids: Sequence[MessageId]) -> Collection[MessageId]:
        """Return those of these ids whose messages exist and have not expired."""

    @abstractmethod
    def scan(self, queue: Queue, index: GroupIndex, group: Group, partition: int, limit: int, max_bytes: int) -> Scan:
        """Messages at or above ``index.reach`` and below the stable time, without copies for other groups.

        :param limit: messages at most.
        :param max_bytes: bytes of bodies at most, except for the first message. It may have fewer than there are, but
            none only if ``end`` is above ``index.reach``, or there are none.
        """


def may_be_given(message: Message, gid: bytes) -> bool:
    """Whether a message is not a copy for another group."""
    return message.content.headers is None or not is_only_for_another(message.content, gid)
