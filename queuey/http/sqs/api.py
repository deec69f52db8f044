"""The SQS API as a whole: one path takes all operations, by AWS JSON 1.0 or by the Query protocol."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred
from werkzeug.exceptions import NotFound

from queuey.deferreds import TurnQueue
from queuey.errors import TooManyRequests
from queuey.http.routes import BodyRoute
from queuey.http.sqs import errors, json_parts, query, xml
from queuey.http.sqs.callers import FACTOR, Caller, SqsGate
from queuey.http.sqs.errors import PATH, PATHS, QUEUE_PATHS
from queuey.http.sqs.moving import SqsMoving
from queuey.http.sqs.operations import OPERATIONS, Members, decoded, read
from queuey.http.sqs.permissions import SqsPermissions
from queuey.http.sqs.queues import SqsAdministration
from queuey.http.sqs.receiving import SqsReceiving
from queuey.http.sqs.sending import SqsSending
from queuey.http.sqs.settling import SqsSettling
from queuey.http.wire import Request
from queuey.model.queues.queue import Queue

_TARGET: Final = b"AmazonSQS."
_RECEIVE: Final = "ReceiveMessage"

Handler = Callable[[Caller, Any, Members], Coroutine[Deferred[Any], Any, Mapping[str, Any]]]


def allow_body(request: Request) -> None:
    """Let the body of a request be as long as JSON may make a message of the application's limit."""
    if errors.wanted(request) and request.max_body is not None:
        request.max_body *= FACTOR


class SqsApi:
    """Finds the operation of a request, lets the caller in, and answers."""

    def __init__(
        self,
        gate: SqsGate,
        administration: SqsAdministration,
        sending: SqsSending,
        receiving: SqsReceiving,
        settling: SqsSettling,
        moving: SqsMoving,
        permissions: SqsPermissions,
        turns: TurnQueue,
    ) -> None:
        """:param turns: give turns of the reactor to the decoding of large requests."""
        self._gate = gate
        self._turns = turns
        self._receiving = receiving
        self._handlers: Mapping[str, Handler] = {
            "CreateQueue": administration.create,
            "GetQueueUrl": administration.url,
            "ListQueues": administration.list,
            "DeleteQueue": administration.delete,
            "GetQueueAttributes": administration.describe,
            "SetQueueAttributes": administration.change,
            "PurgeQueue": administration.purge,
            "TagQueue": administration.tag,
            "UntagQueue": administration.untag,
            "ListQueueTags": administration.tags,
            "ListDeadLetterSourceQueues": administration.sources,
            "SendMessage": sending.send,
            "SendMessageBatch": sending.send_batch,
            _RECEIVE: receiving.receive,
            "DeleteMessage": settling.delete,
            "DeleteMessageBatch": settling.delete_batch,
            "ChangeMessageVisibility": settling.change,
            "ChangeMessageVisibilityBatch": settling.change_batch,
            "StartMessageMoveTask": moving.start,
            "ListMessageMoveTasks": moving.list,
            "CancelMessageMoveTask": moving.cancel,
            "AddPermission": permissions.add,
            "RemovePermission": permissions.remove,
        }

    def routes(self) -> tuple[BodyRoute, ...]:
        """Return the routes."""
        paths = (*PATHS, *QUEUE_PATHS)
        return tuple(BodyRoute(method, path, self.serve, self._look) for path in paths for method in ("GET", "POST"))

    def _look(self, request: Request) -> None:
        _check_wanted(request)
        self._gate.look(request)

    async def serve(self, request: Request) -> None:
        """Serve a request."""
        _check_wanted(request)
        try:
            name, answer = await self._serve(request)
        except TooManyRequests:
            name = (await self._named(request))[0]
            if name != _RECEIVE:
                raise
            answer = await self._receiving.pause()
        id = (b"x-amzn-RequestId", request.request_id.encode("ascii"))
        if errors.is_query(request):
            request.answer(200, (xml.TYPE, id), xml.document(name, answer, request.request_id))
        else:
            request.answer(200, (errors.JSON, id), msgspec.json.encode(answer))

    async def _serve(self, request: Request) -> tuple[str, Mapping[str, Any]]:
        """Return the name of the operation, and the members of the answer."""
        caller = await self._gate.admit(request)
        name, form = await self._named(request)
        operation = OPERATIONS.get(name)
        if operation is None:
            raise errors.not_valid(name)
        request.route = f"{PATH}/{name}"  # so that metrics and the access log tell operations apart
        if form is None:
            await json_parts.check(request.body, self._turns)
            document = decoded(request.body)
        else:
            query.check_path(name, request.path)
            document = query.members(name, operation.members, form, request)
        given = read(operation.members, document)
        queue: Queue | None = None
        if operation.right is not None:
            queue = await self._gate.queue(caller, given["QueueUrl"], operation.right)
        return name, await self._handlers[name](caller, queue, given)

    async def _named(self, request: Request) -> tuple[str, Mapping[str, str] | None]:
        """Return the name of the operation, and the fields of the form if it is one."""
        if errors.is_query(request):
            given = request.line.query if request.method == b"GET" else request.body
            form = await query.fields(given, self._turns)
            return query.action(form), form
        target = request.fields.get(b"x-amz-target", ())
        if len(target) == 1 and target[0].startswith(_TARGET):
            return target[0].removeprefix(_TARGET).decode("ascii", "replace"), None
        return "", None


def _check_wanted(request: Request) -> None:
    """Refuse a request for the root that is not one of SQS.

    :raise NotFound: it is not.
    """
    if not errors.wanted(request):
        raise NotFound
