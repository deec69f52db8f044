"""The promises between rooms. Every method that does I/O returns a Deferred that fires with frozen values, or fails
with a :class:`queuey.errors.QueueyError`; anything else it fails with is a defect of the provider.

Each interface has a contract suite in ``tests/contracts`` that every provider passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from queuey.model.counts import Metric
from queuey.model.group_settings import Group
from queuey.model.groups.commands import Command, Ran, View
from queuey.model.groups.snapshot import GroupState
from queuey.model.groups.terms import Terms
from queuey.model.holdings import GroupPlace, Heads, KeptAnswer, Page, Reach, Size, Standing
from queuey.model.message import Address, Condition, Content, Message, NewMessage
from queuey.model.once import Appended, Once
from queuey.model.policy import Ack, Policy, WriteTerms
from queuey.model.queue import Queue, QueueSettings
from queuey.model.served import Served
from queuey.model.signing import Grant
from queuey.model.timeid import SECOND, MessageId, Ticks
from queuey.model.window import LookupSlice, Merge, MergeSlice, Window, WindowSlice


class IMessageStore(Interface):
    """Messages, by queue, partition and id.

    A *queue* is always the value that an :class:`IQueueStore` of the same store gave. Writes to a life of a queue that
    has ended fail with :class:`~queuey.errors.NoSuchQueue`; reads of it find nothing.
    """

    def append(queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms) -> Deferred[tuple[MessageId, ...]]:
        """Store messages, all or none.

        :return: fires once they are stored on the terms asked for, with their new ids in the order of the messages.
            Ids rise strictly: in the batch, and over everything that this store has made before, restarts and clocks
            set back included; but for delayed messages, whose ids are of the time at which they are due, and which no
            range shows before. Fails with ``NoSuchQueue``, ``StorageFull`` or ``Unavailable``.
        """

    def append_once(queue: Queue, messages: Sequence[NewMessage], terms: WriteTerms, once: Once) -> Deferred[Appended]:
        """Store messages as ``append`` does, unless that was done before under the same key.

        The key is one of this life of the queue. Of all calls with one key, for as long as it is remembered, exactly
        one stores messages that anybody is ever shown.

        :return: fires with where they are, once they are stored on the terms asked for, and so does every later call.
            Fails as ``append`` does, with ``KeyReused`` where the key was used with another digest, ``KeyInUse`` where
            another call with it is under way, ``NotPromised`` where the store or the queue cannot promise this.
        """

    def merge(queue: Queue, merge: Merge, ack: Ack) -> Deferred[MergeSlice]:
        """Read a range of several partitions as one log.

        :return: fires with its first part, which has at most ``SLICE_BYTES`` of bodies, or one message; and may be
            empty although more follows. A partition that the queue lacks is empty. Of a life that has ended it fires
            with nothing, and over. May be cancelled. Fails with ``Unavailable``.
        """

    def scan(queue: Queue, window: Window, ack: Ack) -> Deferred[WindowSlice]:
        """Read a range, one slice of it at a time.

        Nothing above the stable time is shown: a reader that goes on after the last id it saw misses nothing.

        :return: fires with the first slice and the window that is left. A slice may be empty and yet have a rest.
            A partition that the queue lacks is empty. May be cancelled. Fails with ``Unavailable``.
        """

    def lookup(queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[LookupSlice]:
        """Read messages by address, one slice at a time, those of the future included.

        :return: fires with those that exist, in the order asked, asked twice given twice, and the addresses that are
            left. May be cancelled. Fails with ``Unavailable``.
        """

    def replace(
        queue: Queue, addresses: Sequence[Address], content: Content, ttl: int, terms: WriteTerms
    ) -> Deferred[None]:
        """Overwrite messages, or create them under these very ids; all or none.

        :param ttl: seconds to live, anew from this write.
        :return: fires once stored. Fails as ``append`` does.
        """

    def put(
        queue: Queue, address: Address, content: Content, ttl: int, condition: Condition, terms: WriteTerms
    ) -> Deferred[bool]:
        """Overwrite a message, or create one under an id of now.

        :param ttl: seconds to live, anew from this write.
        :return: fires with whether there was none before, once it is stored. Fails as ``append`` does, with
            ``PreconditionFailed`` where the condition does not hold, and with ``IdOutOfRange`` where there is no such
            message and its id is not above a fresh one by at most ``AHEAD``.
        """

    def restore(queue: Queue, messages: Sequence[Message], terms: WriteTerms) -> Deferred[int]:
        """Store messages under the ids that they had, those whose ids the queue does not have.

        Some stores write each by itself: if one cannot be stored, others may be, and the same call goes on from there.

        :param messages: that live until they expire, or less than a second longer; those that have expired are passed
            over, and so are further ones under the same id.
        :return: fires with how many are stored now that were not, once they are. Fails as ``append`` does.
        """

    def remove(queue: Queue, addresses: Sequence[Address], ack: Ack) -> Deferred[int]:
        """Delete messages; those that are missing are no error.

        :return: fires with how many there were, once that is stored. Fails with ``NoSuchQueue`` or ``Unavailable``.
        """

    def purge(queue: Queue, before: MessageId, ack: Ack) -> Deferred[None]:
        """Delete every message of the queue whose id is below a bound and below the stable time.

        ``MergeSlice.purged`` tells of it from then on.

        :return: fires once none of them can be seen any more. Fails with ``NoSuchQueue`` or ``Unavailable``.
        """

    def count(queue: Queue, ack: Ack) -> Deferred[int]:
        """How many messages a queue has, those of the future included.

        :return: fires with the number. May be cancelled. Fails with ``Unavailable``.
        """


class IQueueStore(Interface):
    """The queues of all applications, by name."""

    def create(
        application: str, name: str, settings: QueueSettings, max_queues: int | None
    ) -> Deferred[tuple[Queue, bool]]:
        """Make a queue, unless there is one of that name.

        :param max_queues: how many the application may have, or ``None``.
        :return: fires with the queue, and whether this call made it; of several callers at once exactly one is told
            so. Fails with ``StorageFull`` where the application has all it may have, or ``Unavailable``.
        """

    def update(queue: Queue, settings: QueueSettings) -> Deferred[Queue]:
        """Change the settings of a queue if nobody else has since ``queue`` was read.

        :return: fires with the queue as it is then. Fails with ``Conflict`` where its version is another one,
            ``NoSuchQueue``, or ``Unavailable``.
        """

    def forget(queue: Queue) -> Deferred[bool]:
        """End this life of a queue, and that of every message in it, at once.

        Where the store can find them by their keys, it removes the states that begin with ``states_prefix`` of the
        incarnation too, sooner or later; whoever keeps such states removes them as well.

        :return: fires with whether it was still there. Fails with ``Unavailable``.
        """

    def names(application: str, start: str, limit: int, prefix: str) -> Deferred[tuple[str, ...]]:
        """Names of queues in the order of their code points.

        :param start: names at or after it (the names after ``x`` start at ``x + "\\0"``).
        :param limit: how many at the most.
        :param prefix: only those that begin so.
        :return: fires with the names. May be cancelled. Fails with ``Unavailable``.
        """

    def describe(application: str, names: Sequence[str]) -> Deferred[tuple[Queue | None, ...]]:
        """The queues of these names, in this order; ``None`` for one that does not exist.

        :return: may be cancelled; fails with ``Unavailable``.
        """

    def at_hand(application: str, name: str) -> Queue | None:
        """What ``describe`` would say of one name, where that is known without asking: the same object until something
        of the queue was changed.

        :return: ``None``: it has to be asked for.
        """


AHEAD: Final = Ticks(SECOND // 2)
"""How far ahead of a fresh id a client's own new id may be."""

MAX_STATE: Final = 65_536
"""Bytes in a state at the most."""


class Outcome(Enum):
    """What is known of a compare-and-set."""

    APPLIED = "applied"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@attrs.frozen
class State:
    """A value under compare-and-set, and the version to name when it is replaced."""

    value: bytes
    version: str


class IStateStore(Interface):
    """Small values that change by compare-and-set: what every guarantee stands on."""

    def read(key: str) -> Deferred[State | None]:
        """The value of a key, the newest that was ever applied.

        :return: fires with ``None`` where there is none. May be cancelled. Fails with ``Unavailable``.
        """

    def replace(key: str, version: str | None, value: bytes | None, fresh: str) -> Deferred[Outcome]:
        """Set a value if its version is still the one that was seen.

        :param version: the version seen; ``None``: there was no value.
        :param value: the new value, of at most ``MAX_STATE`` bytes (more is ``ValueError``, raised at once); ``None``
            removes it.
        :param fresh: the version that it has from then on: a text that no other change has ever had.
        :return: fires with the outcome; ``UNKNOWN`` is settled by reading. Fails with ``Unavailable`` or
            ``StorageFull``, and then nothing was changed.
        """


class IGroupStore(Interface):
    """The states of consumer groups: which message each group has, in each partition.

    What may happen to a state is decided by the rules in :mod:`queuey.model.groups`; this runs them next to where the
    state and the messages are. Every provider keeps to these:

    * A command is atomic for each partition that it touches: its events are stored together, or none of them. An
      embedded store does all commands of a call in one transaction.
    * Nothing is answered before it is stored as durably as an acknowledged POST.
    * Commands on the same partition of the same group take effect one after another; those of one call in their order.
    * The time of a decision is the store's wall clock.
    * A state begins when it is first needed, at ``group.place`` and with a random generation, if the row of the group
      still names ``group.gid`` and does not say that it is being deleted; else the call fails with ``NoSuchGroup``.
      States that an earlier version of Queuey kept (``state_key`` in the ``IStateStore``) are converted when they are
      first touched, so receipts from before stay valid.
    * A claim gives the messages below the stable time that the group has not been given, oldest first in each
      partition, after those that are due again; never those that expired, were deleted or purged, or are copies for
      another group.
    """

    def run(queue: Queue, group: Group, terms: Terms, commands: Sequence[Command]) -> Deferred[Ran]:
        """Run commands, in their order, in as few round trips as the store can, however many partitions they touch.

        :param terms: of the group, with its dead-letter queue as it is now.
        :return: fires with an answer for each command. Fails with ``NoSuchGroup``, ``NoSuchQueue`` or ``StorageFull``;
            or with ``Unavailable``, whose ``applied`` is true of all commands together: ``no``, ``partly`` or
            ``unknown``. A claim under ``at_most_once`` whose outcome is unknown in a partition gives nothing of that
            partition. Cancelling it stops nothing: the caller gives back what it does not want.
        """

    def look(queue: Queue, group: Group, partition: int, ids: Sequence[MessageId] = ()) -> Deferred[View]:
        """The state of one partition, as it is stored now.

        :param ids: of messages of which ``View.open`` tells.
        :return: fails with ``NoSuchGroup``, ``NoSuchQueue`` or ``Unavailable``.
        """

    def end(incarnation: int, gid: bytes, partitions: int) -> Deferred[None]:
        """Remove all states of a group whose row says that it is being deleted, or that has no row any more.

        :param incarnation: of the queue, which has or had so many ``partitions``.

        The states of a queue that was deleted are removed by ``IQueueStore.forget``, as it removes its messages.

        :return: fires once they are gone, or cannot be found any more; it can be repeated. Fails with ``Unavailable``.
        """


@attrs.frozen
class Promises:
    """What a store can promise, for start-up to hold against what applications ask.

    :ivar durable: what an acknowledged write survives, in words for operators and clients.
    :ivar survives_power_loss: whether that includes the loss of power.
    :ivar not_once: why nothing can be promised to be stored once, in one sentence; empty where it can.
    :ivar no_groups: why there can be no consumer groups, in one sentence; empty where there can.
    :ivar apart: whether it is spread over data centres, where only queues of very strong consistency are read as they
        are everywhere: groups need one.
    """

    durable: str
    survives_power_loss: bool
    not_once: str = ""
    no_groups: str = ""
    apart: bool = False


class IStore(IMessageStore, IQueueStore):
    """One back end as a whole."""

    states: IStateStore = Attribute("The :class:`IStateStore` of this back end.")
    groups: IGroupStore = Attribute("The :class:`IGroupStore` of this back end.")
    promises: Promises = Attribute("What this back end can promise; as it is known once it has opened.")
    metrics: Sequence[Metric] = Attribute("What is counted of it, each under a name of its own.")

    def open() -> None:
        """Begin; called once, in the process that serves.

        :raise QueueyError: where the store cannot be used, saying why; nothing is then left open.
        """

    def opened() -> Deferred[None]:
        """Whether the store serves; until it does, every call fails with ``Unavailable``, saying what it waits for.

        :return: fires once it serves: after ``open`` at once, unless it is elsewhere. Fails with a ``QueueyError``
            where it never will, saying why; with ``Unavailable`` where it is closed before. Called after ``open``.
        """

    def watch(arrived: Callable[[int], None]) -> float | None:
        """Ask to be told of messages that begin to show without anybody's writing: those that fall due.

        :param arrived: is called, in the reactor's thread, with the incarnation of a queue in which there may be some.
            Called before ``open``.
        :return: ``None``; or, where others write too, or dues are not told, seconds after which whoever waits has to
            look for himself.
        """

    def troubles() -> Mapping[str, str]:
        """What keeps this front end from serving though the store may answer, from what is known already.

        :return: a sentence for each of ``clock`` (ours is too far from those of the others) and ``lease`` (another
            front end has the store to itself) that is in the way; nothing where none is.
        """

    def close() -> Deferred[None]:
        """End: what was accepted is finished, what comes later fails with ``Unavailable``.

        :return: fires when everything is stored and closed.
        """

    def ping() -> Deferred[None]:
        """Whether the store answers.

        :return: fires if so. Fails with ``Unavailable``.
        """


class IHoldings(Interface):
    """All that a store holds, as it is, for who copies the store while others may serve from it.

    What is read is what was there at some moment of the reading. Only where nobody serves is it all of one moment.
    """

    def seal() -> Deferred[bool]:
        """Keep everybody from serving, from now on until ``close``.

        :return: fires with whether nobody serves; with ``False`` where somebody does, and then nothing has changed.
            Fails with ``Unavailable``.
        """

    def size() -> Deferred[Size]:
        """How much there is, for whoever waits. Fails with ``Unavailable``."""

    def queues(rest: str | None, limit: int) -> Deferred[Page[Standing]]:
        """Living queues of all applications, in an order of the store's own.

        :param rest: of the page before; ``None`` for the first.
        :param limit: how many at the most.
        :return: fails with ``Unavailable``.
        """

    def find(application: str, name: str) -> Deferred[Standing | None]:
        """The queue of a name, if there is one. Fails with ``Unavailable``."""

    def heads(queue: Queue, partition: int, start: MessageId, limit: int) -> Deferred[Heads]:
        """The messages of a partition that have not expired, those of the future included.

        :param start: those at or above it.
        :param limit: how many are looked at, at the most.
        :return: fires with none, and no rest, where the life has ended. Fails with ``Unavailable``.
        """

    def lookup(queue: Queue, addresses: Sequence[Address]) -> Deferred[LookupSlice]:
        """Messages by address; as ``IMessageStore.lookup``."""

    def answers(rest: str | None, limit: int) -> Deferred[Page[KeptAnswer]]:
        """What is remembered of writes that are done once, as ``queues`` has it; some may be of ended queues."""

    def state_keys(rest: str | None, limit: int) -> Deferred[Page[tuple[str, str]]]:
        """The keys of states with their versions, as ``queues`` has it; without those of ended queues as far as that
        can be told, and without the mark of a copy."""

    def state(key: str) -> Deferred[State | None]:
        """The value of a state; as ``IStateStore.read``."""

    def group_states(rest: str | None, limit: int) -> Deferred[Page[GroupPlace]]:
        """Where the store has states of groups that are not among ``state_keys``, as ``queues`` has it."""

    def group_state(place: GroupPlace) -> Deferred[GroupState | None]:
        """The state of a group in a partition, without tokens; ``None`` if there is none.

        :return: fails with ``Unavailable``, also if it is damaged.
        """

    def reach() -> Deferred[Reach]:
        """What the store has given out. Fails with ``Unavailable``."""

    def close() -> Deferred[None]:
        """Let go of the store; fires when that is done."""


class IKeeper(IHoldings):
    """A store that nobody serves from, and that takes in what another one holds.

    All of it may be repeated: what is there already is not there twice.
    """

    states: IStateStore = Attribute("The :class:`IStateStore` of this back end.")

    def opened() -> Deferred[None]:
        """Whether the store can be written to; see ``IStore.opened``."""

    def keep_queue(standing: Standing) -> Deferred[bool]:
        """Have a queue as it is said to be, in this very life; another life of its name ends.

        :return: fires with whether it was not there. Fails with ``Unavailable``, or ``InvalidRequest`` where this
            store cannot have it.
        """

    def end_queue(queue: Queue) -> Deferred[bool]:
        """End the life of a queue; as ``IQueueStore.forget``."""

    def keep(queue: Queue, messages: Sequence[Message]) -> Deferred[None]:
        """Have messages under their ids with their contents, until they expire, and nothing else in their places.

        :return: fires once they are stored. Fails with ``NoSuchQueue``, ``Unavailable``, ``StorageFull``, or another
            ``QueueyError`` where the store can never have them.
        """

    def remove(queue: Queue, addresses: Sequence[Address]) -> Deferred[int]:
        """Delete messages; as ``IMessageStore.remove``."""

    def keep_answers(answers: Sequence[KeptAnswer]) -> Deferred[int]:
        """Remember what writes were answered, those that are not remembered.

        :return: fires with how many those were. Fails with ``Unavailable``.
        """

    def keep_group_state(place: GroupPlace, state: GroupState | None) -> Deferred[None]:
        """Have a state of a group as it is said to be; ``None``: have none.

        :return: fires once it is stored. Fails with ``Unavailable``, ``StorageFull``, or ``InvalidRequest`` if this
            store can never have it.
        """

    def keep_reach(reach: Reach) -> Deferred[None]:
        """Give out nothing from now on that the other store has given; may wait until the clock has come as far.

        :return: fails with ``Unavailable``.
        """


@attrs.frozen
class Credential:
    """One scheme and value of an Authorization header; the scheme is in lower case, the value never shown.

    :ivar application: which it was sent to.
    :ivar address: from where.
    """

    scheme: str
    value: str = attrs.field(repr=False)
    application: str = ""
    address: str = ""


@attrs.frozen
class Lasting:
    """What a credential proves to an application, from any address, for as long as that has the same policy,
    the same object.

    :ivar again: is called whenever the credential is shown again, and is not looked at since this is known of it; tells
        whether it is still so.
    """

    principals: frozenset[str]
    again: Callable[[], bool]


class IAuthenticator(Interface):
    """Finds out who a caller is."""

    def authenticate(credential: Credential) -> Deferred[frozenset[str]]:
        """The principals that a credential proves.

        :return: fires with them; the empty set is "not mine". Fails with ``BadCredentials`` for "mine, and false",
            ``Unavailable`` where that cannot be found out now.
        """

    def lasting(credential: Credential) -> Lasting | None:
        """What a credential proves, where that is known without asking, and is so until something of the application
        that it was sent to, or of its keys, is changed.

        :return: ``None``: it has to be authenticated.
        """


@attrs.frozen
class Accepted:
    """What one application takes as a proof of who calls.

    :ivar challenge: the schemes that are taken, as an answer names them.
    """

    authenticator: IAuthenticator
    challenge: bytes


@attrs.frozen
class Signature:
    """What a URL brings that was signed.

    :ivar grant: what it says it is signed for.
    :ivar key: what the key is called that it says has signed.
    :ivar value: the signature; whoever has it may use the URL.
    """

    grant: Grant
    key: str
    value: str = attrs.field(repr=False)


class NotHad(Exception):
    """A document could not be had; the text says why, for the log."""


class IWeb(Interface):
    """Asks others for documents of JSON over the web, and follows nobody to another place."""

    def get(url: str, seconds: float) -> Deferred[dict[str, Any]]:
        """The object at a URL.

        :param seconds: until it has to be there.
        :return: fails with ``NotHad``.
        """

    def post(url: str, form: Mapping[str, str], seconds: float) -> Deferred[dict[str, Any]]:
        """The object that a URL answers a form with; as ``get``."""


class ITraces(Interface):
    """Tells somebody what requests were about, and how long what they did took."""

    def start() -> None:
        """Begin to tell, in the process that serves."""

    def served(served: Served) -> str | None:
        """Take note of a request that is over. Never fails, and waits for nobody.

        :return: the id of the trace under which it is told, or ``None`` where it is not.
        """

    def stop() -> Deferred[None]:
        """Tell what is left.

        :return: fires once that is done, or given up.
        """


class ISignatures(Interface):
    """Finds out what a signed URL allows."""

    def check(signature: Signature, again: bool = False) -> Deferred[frozenset[str]]:
        """The principals that a signature proves; see ``model.access.by_url``.

        :param again: whether this use of it was checked before, and so is not counted again.
        :return: fires with them. Fails with ``BadIdentity`` where it proves nothing, or nothing any more;
            ``TooManyRequests`` where it is used more often than it was signed for; ``Unavailable`` where that cannot
            be found out now.
        """


class IPolicies(Interface):
    """What each application is promised and allowed."""

    def policy_for(application: str) -> Deferred[Policy]:
        """The policy of an application, as it is in force now: the same object until something of it, or of its keys,
        was changed.

        :return: fails with ``NoSuchApplication``, or ``Unavailable``.
        """

    def at_hand(application: str) -> Policy | None:
        """What ``policy_for`` would say, where that is known without asking.

        :return: ``None``: it has to be asked for, or there is no such application.
        """
