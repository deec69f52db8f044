"""Everything that a store holds, for ``queuey copy``: one store is read, another one takes it in."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from queuey.interfaces.states import IStateStore, State
from queuey.model.exports import ExportPage, GroupPlace, Heads, KeptAnswer, Reach, Size, StoredQueue
from queuey.model.groups.snapshot import GroupState
from queuey.model.messages.message import Address, Message
from queuey.model.queues.queue import Queue
from queuey.model.reading.window import LookupSlice
from queuey.model.timeid import MessageId


class IExportSource(Interface):
    """Everything that a store holds, while daemons may serve from it.

    Each part is read as it was at some moment. After ``seal`` all parts are of one moment.
    """

    def seal() -> Deferred[bool]:
        """Keep daemons from serving from the store until ``close``.

        :return: fires with ``True`` if no daemon serves from it; with ``False`` if one does, and the store is not
            sealed then. Fails with ``Unavailable``.
        """

    def size() -> Deferred[Size]:
        """Measure how much there is, for the progress display. Fails with ``Unavailable``."""

    def queues(rest: str | None, limit: int) -> Deferred[ExportPage[StoredQueue]]:
        """List the living queues of all applications, in an order of the store's own.

        :param rest: the ``rest`` of the page before; ``None`` for the first page.
        :param limit: the number of queues, at most.
        :return: fires with a page. Fails with ``Unavailable``.
        """

    def find(application: str, name: str) -> Deferred[StoredQueue | None]:
        """Look up a queue by name; fires with ``None`` if there is none. Fails with ``Unavailable``."""

    def heads(queue: Queue, partition: int, start: MessageId, limit: int) -> Deferred[Heads]:
        """List the messages of a partition that have not expired, including those of the future, without bodies.

        :param start: the lowest id.
        :param limit: the number of messages that are looked at, at most.
        :return: fires with the messages; without any, and without a rest, if the incarnation has ended. Fails with
            ``Unavailable``.
        """

    def lookup(queue: Queue, addresses: Sequence[Address]) -> Deferred[LookupSlice]:
        """Read messages by address; see ``IMessageStore.lookup``."""

    def answers(rest: str | None, limit: int) -> Deferred[ExportPage[KeptAnswer]]:
        """List the answers that are remembered for Idempotency-Keys, in pages as ``queues``; some may be of ended
        queues."""

    def state_keys(rest: str | None, limit: int) -> Deferred[ExportPage[tuple[str, str]]]:
        """List the keys of states with their versions, in pages as ``queues``; without those of ended queues as far as
        the store can tell, and without the mark of a copy."""

    def state(key: str) -> Deferred[State | None]:
        """Read a state; see ``IStateStore.read``."""

    def group_states(rest: str | None, limit: int) -> Deferred[ExportPage[GroupPlace]]:
        """List the places of states of groups that are not among ``state_keys``, in pages as ``queues``."""

    def group_state(place: GroupPlace) -> Deferred[GroupState | None]:
        """Read the state of a group in a partition, without tokens; fires with ``None`` if there is none.

        :return: fails with ``Unavailable``, also if the state is damaged.
        """

    def reach() -> Deferred[Reach]:
        """Read the stable time and the numbers that the store has given out. Fails with ``Unavailable``."""

    def close() -> Deferred[None]:
        """Close the store; fires when that is done."""


class IImportTarget(IExportSource):
    """A store that takes in what another one holds, while no daemon serves from it.

    Every call may be repeated without a second effect.
    """

    states: IStateStore = Attribute("The :class:`IStateStore` of this back end.")

    def opened() -> Deferred[None]:
        """Wait until the store can be written to; see ``IStore.opened``."""

    def keep_queue(standing: StoredQueue) -> Deferred[bool]:
        """Store a queue with its incarnation; another incarnation under its name ends.

        :return: fires with ``True`` if it was missing. Fails with ``Unavailable``, or with ``InvalidRequest`` if this
            store cannot have such a queue.
        """

    def end_queue(queue: Queue) -> Deferred[bool]:
        """Delete a queue; see ``IQueueStore.forget``."""

    def keep(queue: Queue, messages: Sequence[Message]) -> Deferred[None]:
        """Store messages under their ids, with their expiry; they replace what is there under these ids.

        :return: fires once they are stored. Fails with ``NoSuchQueue``, ``Unavailable``, ``StorageFull``, or another
            ``QueueyError`` if the store can never have them.
        """

    def remove(queue: Queue, addresses: Sequence[Address]) -> Deferred[int]:
        """Delete messages; see ``IMessageStore.remove``."""

    def keep_answers(answers: Sequence[KeptAnswer]) -> Deferred[int]:
        """Remember answers for Idempotency-Keys, except those that are remembered already.

        :return: fires with the number of answers that are new. Fails with ``Unavailable``.
        """

    def keep_group_state(place: GroupPlace, state: GroupState | None) -> Deferred[None]:
        """Store the state of a group in a partition; ``None`` removes it.

        :return: fires once it is stored. Fails with ``Unavailable``, ``StorageFull``, or ``InvalidRequest`` if this
            store can never have it.
        """

    def keep_reach(reach: Reach) -> Deferred[None]:
        """Make sure that this store gives out no id or number that the other one has given out.

        :return: fires once that holds; that may take until the clock has come as far. Fails with ``Unavailable``.
        """
