"""The first look at a request, by its head alone: whether it would be let in when its body is there.

Bodies of callers that may not send them are not waited for. The handler looks at everything again when the body is
there, since much can change meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping

from queuey.deferreds import CoroutineRunner
from queuey.errors import NoSuchQueue
from queuey.http.admission.gate import Gate, permit
from queuey.http.routes import OnDone, Served, ServedOnChoice, ServedOnQueue
from queuey.http.wire import Request
from queuey.model.applications.access import Operation, is_application
from queuey.model.queues.queue import MAX_NAME


def first_look(
    request: Request, endpoint: Served, names: Mapping[str, str], on_done: OnDone
) -> CoroutineRunner[Request] | None:
    """Find out whether a request would be let in, and call ``on_done`` with the result.

    :param names: what the path names.
    :return: what it waits for, if that is anything.
    """
    gate, name = endpoint.gate, None
    if isinstance(endpoint, ServedOnQueue):
        plan = request.head.plan
        if plan is not None and gate.is_let_in(plan):
            on_done(request, None)
            return None
        name = names["queue"]
    request.note()
    if isinstance(endpoint, ServedOnChoice):
        return CoroutineRunner(_prove(gate, request, names["application"]), on_done, request)
    looking = _look(gate, request, names["application"], name, endpoint.operation)
    return CoroutineRunner(looking, on_done, request)


async def _prove(gate: Gate, request: Request, application: str) -> None:
    """Raise an error if the credentials of a request are false; which queues it chooses, and what its URL is signed
    for, is in its body."""
    await gate.prove_again(request, application, None)


async def _look(gate: Gate, request: Request, application: str, name: str | None, operation: Operation) -> None:
    """Raise an error if the request would be refused whatever its body is.

    No request is counted here. A request of the application itself passes as soon as it is authenticated, because the
    next reason to refuse it would be its rate.

    :param name: the name of the queue; ``None`` if the request creates it or concerns no queue.
    """
    line = request.line
    try:
        _, caller, _ = await gate.identify(request, application, name, again=True)
    finally:
        # The signature is looked for once more when the body is there.
        request.line = line
        if request.signed:
            request.signed = b""
    if is_application(caller, application):
        return
    queue = None
    if name is not None:
        if len(name) > MAX_NAME:
            raise NoSuchQueue(f"Queue name longer than {MAX_NAME} characters.")
        request.queue = name
        queue = await gate.directory.find(application, name)
    permit(operation, caller, application, queue)
