"""Messages and queues, and a back end as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from queuey.interfaces.states import IGroupStore, IStateStore
from queuey.model.applications.policy import Ack, WriteTerms
from queuey.model.messages.message import Address, Condition, Content, Message, NewMessage
from queuey.model.messages.once import Appended, Once
from queuey.model.queues.queue import Queue, QueueSettings
from queuey.model.reading.depth import Depth
from queuey.model.reading.many import Changes, ManyRange, ManySlice
from queuey.model.reading.window import LookupSlice, Merge, MergeSlice, Window, WindowSlice
from queuey.model.telemetry.counts import Metric
from queuey.model.timeid import SECOND, MessageId, Ticks


class IMessageStore(Interface):
    """Messages, by queue, partition and id.

    ``queue`` is always a value that an :class:`IQueueStore` of the same store returned. If that incarnation of the
    queue has ended, writes fail with :class:`~queuey.errors.NoSuchQueue` and reads are empty.
    """

    def append(queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms) -> Deferred[tuple[MessageId, ...]]:
        """Store messages: all of them, or none.

        :param terms: which replicas have to acknowledge, and the limits of the application.
        :return: fires with the new ids, in the order of the messages, once they are stored as ``terms`` asks. Ids rise
            strictly within the batch and over every id that this store made before, also after a restart or when the
            clock was set back. Delayed messages are the exception: they have an id of the time at which they are due,
            and reads of ranges do not show them before. Fails with ``NoSuchQueue``,
            ``QueueClosed``, ``StorageFull`` or ``Unavailable``.
        """

    def append_once(queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once) -> Deferred[Appended]:
        """Store messages as ``append`` does, unless an earlier call with the same key has stored them.

        A key belongs to one incarnation of the queue. Of all calls with the same key, as long as the key is remembered,
        exactly one stores messages that readers see.

        :param once: the key, a digest of the request, and how long to remember both.
        :return: fires with the addresses of the messages, once they are stored as ``terms`` asks; later calls fire with
            the same addresses. Fails as ``append`` does; with ``KeyReused`` if the key was used with another digest,
            with ``KeyInUse`` if another call with it is under way, and with ``NotPromised`` if the store or the queue
            cannot promise this.
        """

    def read_merged(queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        """Read a range of several partitions as one log, one slice at a time.

        :return: fires with the first slice. It has at most ``SLICE_BYTES`` of bodies, or one message that is longer. It
            may be empty although more follows. A partition that the queue does not have is empty. If the incarnation
            has ended, it fires with an empty slice that says it is the last. May be cancelled. Fails with
            ``Unavailable``.
        """

    def read_many(queues: Sequence[Queue], asked: ManyRange, acks: Sequence[Ack]) -> Deferred[ManySlice]:
        """Read a range of many queues as one log, in the order of ids, one slice at a time.

        Each queue is read in all partitions that it has now. A queue that was deleted is in ``ended``.

        :param queues: each once.
        :param acks: of each queue.
        :return: fires with the first slice. It has at most ``SLICE_BYTES`` of bodies, or one message that is longer. It
            may be empty although more follows. May be cancelled. Fails with ``Unavailable``.
        """

    def changes(mark: int | None) -> Deferred[Changes]:
        """Return the queues that were changed since a mark: by messages that were written, removed or became due, or
        by their settings, or because they were created or deleted. Some of them may not have changed.

        All messages that any read shows up to ``Changes.stable`` are from changes that this call, or calls before it,
        returned.

        :param mark: of an earlier call; ``None`` begins.
        :return: fires with the next mark. ``Changes.queues`` is ``None`` if the store does not know the changes. May be
            cancelled. Fails with ``Unavailable``.
        """

    def read_range(queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """Read a range, one slice at a time.

        Messages above the stable time are not shown, so a reader that continues after the last id it saw misses none.

        :return: fires with the first slice and the rest of the window. A slice may be empty although there is a rest. A
            partition that the queue does not have is empty. May be cancelled. Fails with ``Unavailable``.
        """

    def lookup(queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        """Read messages by address, one slice at a time, including those of the future.

        :return: fires with the messages that exist, in the order of the addresses (twice if an address is there twice),
            and with the addresses that are left. May be cancelled. Fails with ``Unavailable``.
        """

    def replace(
        queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> Deferred[None]:
        """Overwrite messages, or create them under these ids: all of them, or none.

        :param ttl: seconds to live, from this write on.
        :return: fires once they are stored. Fails as ``append`` does.
        """

    def put(
        queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> Deferred[bool]:
        """Overwrite a message, or create one under an id that is not older than now.

        :param ttl: seconds to live, from this write on.
        :return: fires once it is stored, with ``True`` if the message is new. Fails as ``append`` does; with
            ``PreconditionFailed`` if the condition does not hold; and with ``IdOutOfRange`` if there is no such message
            and its id is not above a fresh id by at most ``AHEAD``.
        """

    def restore(queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> Deferred[int]:
        """Store messages under the ids that they had, except those whose ids the queue has already.

        Some stores write each message by itself: if one cannot be stored, others may be, and the call can be repeated.

        :param messages: each lives until it expires, or up to a second less. Expired messages, and further ones under
            the same id, are skipped.
        :return: fires with the number of messages that this call has stored. Fails as ``append`` does.
        """

    def remove(queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[int]:
        """Delete messages. Addresses without a message are no error.

        :return: fires with the number of messages that existed, once the deletion is stored. Fails with ``NoSuchQueue``
            or ``Unavailable``.
        """

    def purge(queue: Queue, before: MessageId, ack: Ack) -> Deferred[None]:
        """Delete every message of the queue whose id is below a bound and below the stable time.

        ``MergeSlice.purged`` has the bound from then on.

        :return: fires once no reader can see these messages. Fails with ``NoSuchQueue`` or ``Unavailable``.
        """

    def delayed(queue: Queue, limit: int, ack: Ack) -> Deferred[tuple[Address, ...]]:
        """Find messages of the future: delayed ones that are not due yet, and those that were put there.

        If the clocks of several front ends may differ, messages that are due within that difference may be left out.

        :param limit: maximum number of addresses.
        :return: fires with the addresses, those of each partition in their order; with none if the incarnation has
            ended. May be cancelled. Fails with ``Unavailable``.
        """

    def count(queue: Queue, ack: Ack) -> Deferred[int]:
        """Count the messages of a queue, including those of the future.

        :return: fires with the number. May be cancelled. Fails with ``Unavailable``.
        """

    def measure(queue: Queue, ack: Ack) -> Deferred[Depth]:
        """Find out how many messages and bytes a queue holds, and how old the oldest message is, at a bounded cost.

        The numbers are exact if that costs little; otherwise ``Depth.approximate`` is set.

        :return: fires with ``EMPTY`` if the incarnation has ended. May be cancelled. Fails with ``Unavailable``.
        """


class IQueueStore(Interface):
    """The queues of all applications, by name."""

    def create(
        application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> Deferred[tuple[Queue, bool]]:
        """Create a queue, unless there is one of that name.

        :param max_queues: how many queues the application may have; ``None``: there is no limit.
        :return: fires with the queue, and with ``True`` if this call created it; of several concurrent calls exactly
            one gets ``True``. Fails with ``StorageFull`` if the application has ``max_queues`` already, or with
            ``Unavailable``.
        """

    def update(queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        """Change the settings of a queue, if they are still those of ``queue``.

        :return: fires with the queue after the change. Fails with ``Conflict`` if the queue has another version by now,
            with ``NoSuchQueue``, or with ``Unavailable``.
        """

    def forget(queue: Queue) -> Deferred[bool]:
        """Delete a queue and all its messages; its incarnation ends at once.

        A store that can find them by their keys also removes the states that begin with ``states_prefix`` of the
        incarnation, sooner or later; on other stores the owner of such states removes them.

        :return: fires with ``True`` if the queue still existed. Fails with ``Unavailable``.
        """

    def names(application: str, start: str, limit: int, prefix: str) -> Deferred[tuple[str, ...]]:
        """List names of queues in the order of their code points.

        :param start: the first name is this one or a later one (the names after ``x`` start at ``x + "\\0"``).
        :param limit: the number of names, at most.
        :param prefix: only names that begin with it.
        :return: fires with the names. May be cancelled. Fails with ``Unavailable``.
        """

    def describe(application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """Look up queues by name.

        One name may be answered from a cache; several names are looked up in the store.

        :return: fires with the queues in the order of the names; ``None`` for a name without a queue. May be cancelled.
            Fails with ``Unavailable``.
        """

    def cached(application: str, name: str) -> Queue | None:
        """Return a cached queue, or ``None`` if ``describe`` has to be called.

        It is the same object until the queue is changed.
        """


AHEAD: Final = Ticks(SECOND // 2)
"""How far above a fresh id a client's own new id may be, in ticks."""


@attrs.frozen
class Capabilities:
    """The guarantees of a store. Start-up compares them with the guarantees that applications ask for.

    :ivar durable: what an acknowledged write survives, in words for operators and clients.
    :ivar survives_power_loss: whether it survives the loss of power.
    :ivar not_once: why the store cannot store once (``append_once``), in one sentence; empty if it can.
    :ivar no_groups: why the store cannot have consumer groups, in one sentence; empty if it can.
    :ivar knows_changes: whether ``IMessageStore.changes`` returns the changed queues; a store that several front ends
        write to does not know them.
    :ivar apart: whether the store is spread over data centres. Then only queues of very strong consistency are read
        alike everywhere, and groups need such a queue.
    """

    durable: str
    survives_power_loss: bool
    not_once: str = ""
    no_groups: str = ""
    apart: bool = False
    knows_changes: bool = True


class IStore(IMessageStore, IQueueStore):
    """One back end as a whole."""

    states: IStateStore = Attribute("The :class:`IStateStore` of this back end.")
    groups: IGroupStore = Attribute("The :class:`IGroupStore` of this back end.")
    capabilities: Capabilities = Attribute("What this back end can promise; valid once it has opened.")
    metrics: Sequence[Metric] = Attribute("The metrics of this back end; each has a name of its own.")

    def open() -> None:
        """Begin to serve. Called once, in the process that serves.

        :raise QueueyError: the store cannot be used; the text says why. Everything is closed again then.
        """

    def opened() -> Deferred[None]:
        """Wait until the store serves. Until then every call fails with ``Unavailable``, which says what is missing.

        Called after ``open``.

        :return: fires once the store serves; an embedded store serves at once. Fails with a ``QueueyError`` if it never
            will, and with ``Unavailable`` if it is closed before.
        """

    def subscribe(arrived: Callable[[int], None]) -> float | None:
        """Subscribe to messages that become visible without a write in this process, such as delayed ones.

        Called before ``open``.

        :param arrived: is called in the reactor's thread with the incarnation of a queue that may have such messages.
        :return: ``None`` if ``arrived`` reports all of them; else the interval, in seconds, at which waiting readers
            have to look by themselves.
        """

    def close_queue(
        queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once | None
    ) -> Deferred[Appended]:
        """Store the last messages of a queue, and close it: from then on it takes no message.

        An embedded store does both in one transaction. Otherwise the messages are stored first, and those of others may
        come between; the call can be repeated until both are done. A closed queue stays closed.

        :param messages: all of them are stored, or none. There may be none.
        :param once: as for ``append_once``; ``None`` for messages that have no key.
        :return: fires as ``append_once`` does, once no process stores messages in the queue. Fails as that does, and
            with ``QueueClosed`` if there are messages and the queue was closed before.
        """

    def health_problems() -> Mapping[str, str]:
        """Return what keeps this front end from serving although the store may answer. Asks no server.

        :return: a sentence for each problem: ``clock`` (our clock differs too much from those of the others),
            ``lease`` (another front end has the store for itself) and ``threads`` (one that the store needs has ended,
            and only a new process has another one). Empty if there is no problem.
        """

    def close() -> Deferred[None]:
        """Finish what was accepted, and close. Later calls fail with ``Unavailable``.

        :return: fires when everything is stored and closed.
        """

    def ping() -> Deferred[None]:
        """Check whether the store answers.

        :return: fires if it does. Fails with ``Unavailable``.
        """
