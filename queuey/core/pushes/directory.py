"""Pushes as their owners see them: made, changed, paused, tested and ended."""

from __future__ import annotations

import json
from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred

from queuey.core.groups.group_changes import GroupChanges, Judge
from queuey.core.pushes.engine import PushEngine
from queuey.core.pushes.listing import page_of
from queuey.core.pushes.registry import PushRegistry
from queuey.core.pushes.reports import read_report
from queuey.core.pushes.values import Attempted, PushBlocked, PushMeans
from queuey.deferreds import deferred
from queuey.errors import Forbidden, InvalidRequest, NoSuchGroup, NoSuchPush, NoSuchQueue, NotPromised
from queuey.interfaces import Unsealable
from queuey.model.applications.policy import Policy
from queuey.model.groups.settings import Group
from queuey.model.messages.message import Content, Message
from queuey.model.pushes.places import PushPlace, PushReport, State, state_of
from queuey.model.pushes.requests import push_body
from queuey.model.pushes.settings import Paused, Push, Secret
from queuey.model.pushes.signatures import MAX_SECRETS, SECRET_BYTES, secret_text
from queuey.model.pushes.targets import target_problem
from queuey.model.queues.queue import Consistency, Guarantee, Queue
from queuey.model.timeid import LOWEST, Ticks

Edit = Callable[[Push | None], Push]
"""Makes the settings of a push of those that are there; secrets and pause stay as they are. See
``PushSealing.edited``."""

Listed = tuple[PushPlace, Group, PushReport]
"""A push of a list."""

_ID: int = 6


@attrs.frozen
class ShownSecret:
    """A new secret, which is shown once."""

    id: str
    text: str = attrs.field(repr=False)


@attrs.frozen
class PushDirectory:
    """The pushes of all queues. Besides the errors that are named, every Deferred may fail with ``Unavailable``.

    A change needs ``push = true`` of the application, and otherwise fails with ``Forbidden``; a push can always be
    looked at and ended.
    """

    means: PushMeans
    registry: PushRegistry
    engine: PushEngine

    def may_be_made(self, policy: Policy) -> bool:
        """Return whether an application can make pushes, by its settings and those of the deployment."""
        return policy.push and bool(policy.push_hosts) and self.means.sealing.usable

    @deferred
    async def names(self, queue: Queue) -> tuple[Group, ...]:
        """Return all groups of a queue that have a push, sorted by name."""
        return tuple(group for group in await self.means.groups.names(queue) if group.settings.push is not None)

    @deferred
    async def find(self, queue: Queue, name: str) -> Group:
        """Return the group of a push. Fails with ``NoSuchPush``."""
        group = await self.means.groups.find(queue, name)
        _push_of(group)
        return group

    def shown(self, group: Group) -> Push:
        """Return the push of a group as its application sees it."""
        return self.means.sealing.shown(_push_of(group))

    def report(self, group: Group) -> Deferred[PushReport]:
        """Return what became of the attempts of a push, about a second ago."""
        return read_report(self.means.states, group)

    @deferred
    async def page(
        self, application: str, queue: str | None, state: State | None, after: str, limit: int
    ) -> tuple[list[Listed], str | None]:
        """List pushes of an application by queue and name.

        :param queue: the queue whose pushes are wanted; ``None`` for all queues.
        :param state: the state that is wanted; ``None`` for all.
        :param after: where the page begins: the ``QUEUE/NAME`` that the page before returned.
        :return: fires with at most ``limit`` pushes, and where the list goes on, or ``None``. Fails with
            ``NoSuchApplication``.
        """
        await self.means.policies.policy_for(application)

        def look(place: PushPlace) -> Deferred[tuple[Group, PushReport] | None]:
            return self._listed(place, state)

        found, next = await page_of(self.registry, application, queue, after, limit, look)
        return [(place, *one) for place, one in found], next

    @deferred
    async def _listed(self, place: PushPlace, state: State | None) -> tuple[Group, PushReport] | None:
        """Look a push up; ``None`` if it is gone, or is not in that state."""
        try:
            queue = await self.means.directory.find(place.application, place.queue)
            group = await self.find(queue, place.name)
        except (NoSuchQueue, NoSuchGroup, NoSuchPush):
            return None
        if queue.incarnation != place.incarnation:
            return None
        report = await self.report(group)
        return (group, report) if state in (None, state_of(_push_of(group), report)[0]) else None

    @deferred
    async def put(
        self, queue: Queue, name: str, changes: GroupChanges, edit: Edit, judge: Judge
    ) -> tuple[Group, bool, ShownSecret | None]:
        """Make a push, or change it. A group of that name that has no push gets one.

        :param changes: of the settings of its group.
        :return: fires with the group, whether it was made, and the secret, if this call has made one. Fails as
            ``GroupExchange.put`` does, with ``InvalidRequest``, ``Forbidden`` and ``NotPromised``.
        """
        policy = await self._policy(queue)
        secret = self._new_secret()
        used = [False]

        def edited(current: Push | None) -> Push:
            found = self._edited(policy, current, edit)
            used[0] = current is None
            return found if current is not None else attrs.evolve(found, secrets=(secret[0],), paused=None)

        await self._check_replies(queue, edit(None))
        place = place_of(queue, name)
        await self.registry.note(place)
        changes = attrs.evolve(changes, push=edited, guarantee=Guarantee.AT_LEAST_ONCE)
        group, made = await self.means.groups.put(queue, name, changes, judge)
        await self._announce(place)
        return group, made, secret[1] if used[0] else None

    @deferred
    async def change(self, queue: Queue, group: Group, changes: GroupChanges, edit: Edit, judge: Judge) -> Group:
        """Change a push. Fails as ``put`` does, and with ``NoSuchPush``."""
        policy = await self._policy(queue)
        await self._check_replies(queue, edit(group.settings.push))

        def edited(current: Push | None) -> Push:
            return self._edited(policy, _there(current), edit)

        return await self.changed(queue, group, attrs.evolve(changes, push=edited), judge)

    @deferred
    async def set_paused(self, queue: Queue, group: Group, paused: bool, judge: Judge) -> Group:
        """Pause a push, or let it go on. A push that is paused already keeps its reason, and one may be paused although
        the application may have no pushes any more."""
        if not paused:
            await self._policy(queue)
        now = self.means.ticks()

        def edited(current: Push | None) -> Push:
            push = _there(current)
            if paused is (push.paused is not None):
                return push
            return attrs.evolve(push, paused=Paused(now, "requested") if paused else None)

        return await self.changed(queue, group, GroupChanges(push=edited), judge)

    @deferred
    async def add_secret(self, queue: Queue, group: Group, judge: Judge) -> tuple[Group, ShownSecret]:
        """Add a secret, which signs from now on beside the others. Fails with ``NotPromised`` if there are too many."""
        await self._policy(queue)
        secret, shown = self._new_secret()

        def edited(current: Push | None) -> Push:
            push = _there(current)
            if len(push.secrets) >= MAX_SECRETS:
                raise NotPromised(f"A push has at most {MAX_SECRETS} secrets; remove one first.")
            return attrs.evolve(push, secrets=(secret, *push.secrets))

        return await self.changed(queue, group, GroupChanges(push=edited), judge), shown

    @deferred
    async def remove_secret(self, queue: Queue, group: Group, id: str, judge: Judge) -> Group:
        """Remove a secret. Fails with ``NoSuchPush`` if there is none of that id, ``NotPromised`` if it is the last."""

        def edited(current: Push | None) -> Push:
            push = _there(current)
            left = tuple(one for one in push.secrets if one.id != id)
            if len(left) == len(push.secrets):
                raise NoSuchPush("The push has no secret of that id.")
            if not left:
                raise NotPromised("This is the only secret of the push; add another one first.")
            return attrs.evolve(push, secrets=left)

        return await self.changed(queue, group, GroupChanges(push=edited), judge)

    @deferred
    async def delete(self, queue: Queue, group: Group, judge: Judge) -> None:
        """End a push together with its group; the messages of the queue stay."""
        await self.means.groups.delete(queue, group, judge)
        self.engine.look(place_of(queue, group.name))

    @deferred
    async def test(self, queue: Queue, group: Group) -> Attempted:
        """Send a test message once; nothing is stored.

        :return: fires with what became of it. Fails with ``Forbidden`` if the push may not be sent.
        """
        means = self.means
        try:
            opened = means.opened(_push_of(group))
        except PushBlocked as error:
            raise Forbidden(error.text) from None
        body = json.dumps({"test": True, "queue": queue.name, "push": group.name}).encode()
        message = Message(1, LOWEST, Content(body, "application/json"), Ticks(0))
        made = push_body(opened.push, f"/v2/{queue.application}/queues/{queue.name}", message)
        made = attrs.evolve(made, id=f"test-{means.new_bytes(16).hex()}")
        policy = await self._policy(queue)
        try:
            await means.take_slot(queue.application)
            try:
                return await means.send(policy, opened, made)
            finally:
                means.slots.release(queue.application)
        except PushBlocked as error:
            raise Forbidden(error.text) from None

    async def _policy(self, queue: Queue) -> Policy:
        """Return the policy of an application that may have pushes."""
        policy = await self.means.policies.policy_for(queue.application)
        if not policy.push:
            raise Forbidden("The application may have no pushes: push is false in its settings.")
        return policy

    def _edited(self, policy: Policy, current: Push | None, edit: Edit) -> Push:
        """Return a changed push as it is stored."""
        try:
            found, stored = self.means.sealing.edited(current, edit)
        except Unsealable as error:
            raise Forbidden(str(error)) from None
        problem = target_problem(found.target, policy.push_hosts, self.means.ports())
        if problem is not None:
            raise InvalidRequest({"url": problem})
        return stored

    async def _check_replies(self, queue: Queue, push: Push) -> None:
        """Refuse a queue for replies that cannot take them once."""
        if push.replies is None:
            return
        if push.replies == queue.name:
            raise InvalidRequest({"replies": "Replies cannot go to the queue of the push itself."})
        (found,) = await self.means.messages.store.describe(queue.application, (push.replies,))
        if found is None:
            raise InvalidRequest({"replies": "The application has no queue of that name for replies."})
        if self.means.messages.store.capabilities.not_once or found.settings.consistency is Consistency.WEAK:
            raise InvalidRequest({"replies": "The queue cannot store a reply only once."})

    @deferred
    async def changed(self, queue: Queue, group: Group, changes: GroupChanges, judge: Judge) -> Group:
        """Change the group of a push, and let all processes look at it. Fails as ``change`` does."""
        changed = await self.means.groups.change(queue, group, changes, judge)
        await self._announce(place_of(queue, group.name))
        return changed

    async def _announce(self, place: PushPlace) -> None:
        """Let all processes look at a push that was changed."""
        await self.registry.note(place)
        self.engine.look(place)

    def _new_secret(self) -> tuple[Secret, ShownSecret]:
        means = self.means
        secret, id = means.new_bytes(SECRET_BYTES), means.new_bytes(_ID).hex()
        try:
            sealed = means.sealing.seal(secret)
        except Unsealable as error:
            raise Forbidden(str(error)) from None
        return Secret(id, sealed, means.ticks()), ShownSecret(id, secret_text(secret))


def place_of(queue: Queue, name: str) -> PushPlace:
    """Return the place of a push."""
    return PushPlace(queue.application, queue.name, queue.incarnation, name)


def _there(push: Push | None) -> Push:
    if push is None:
        raise NoSuchPush("The group of that name has no push.")
    return push


def _push_of(group: Group) -> Push:
    return _there(group.settings.push)
