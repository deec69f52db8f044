"""JSON-RPC 2.0 over HTTP by txJSON-RPC 0.5: the only module that knows it, with all that has to be mended in it.

Its way of finding methods and of describing them is used as it is. Its way of reading requests and of writing answers
is replaced: it writes requests into the log, headers as text, and answers without UTF-8; it answers GET, and wraps
answers as scripts for pages of others; it knows neither batches nor notifications; bad JSON is a traceback, a wrong
parameter an exception of Python's, whose text it gives away, as it does that of every other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET
from txjsonrpc.jsonrpc import BaseSubhandler, Introspection
from txjsonrpc.jsonrpclib import NoSuchFunction
from txjsonrpc.web.jsonrpc import JSONRPC

from queuey.deferreds import TurnQueue, shield
from queuey.errors import QueueyError
from queuey.http.inputs.json_size import TOO_MANY, has_too_many_values
from queuey.http.wire import Request
from queuey.logs import EventLog
from queuey.model.applications.rights import DashboardToken
from queuey.model.strict_json import NotJSON, decoded
from queuey.ops import faults
from queuey.ops.answers import Answers, encoded
from queuey.ops.audit import Audit, Audited
from queuey.ops.callers import MethodCaller
from queuey.ops.faults import Failed
from queuey.ops.parameters import TEXT, Parameter, read

MAX_BATCH: Final = 100
"""Calls in one request."""

MAX_DEPTH: Final = 32
"""Levels of arrays and objects in a request."""

MAX_DIGITS: Final = 30
"""Digits of a number in a request, before the point."""

MAX_ID: Final = 100
"""Bytes of the id of a call, as JSON: each answer has it."""

VERSION: Final = "2.0"
HEADERS: Final = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))

_log = EventLog(Logger(namespace="queuey.ops"))

Function = TypeVar("Function", bound=Callable[..., Coroutine[Deferred[Any], Any, Any]])


@attrs.define
class CallContext:
    """One call of a method that changes something; the method describes the change.

    :ivar who: the caller.
    :ivar token: its token of the dashboard; ``None`` at the operators' port.
    :ivar silent: whether it changed nothing, so that no line is written.
    """

    who: str
    token: DashboardToken | None = None
    before: Any = None
    after: Any = None
    silent: bool = False

    def note(self, before: Any, after: Any) -> None:
        """Say what was changed."""
        self.before, self.after = before, after


class Methods(BaseSubhandler):  # type: ignore[misc]
    """Some methods: those whose names begin with ``jsonrpc_``. Each is marked by :func:`method`."""


def method(
    returns: str, *parameters: Parameter, changes: bool = False, hidden: tuple[str, ...] = ()
) -> Callable[[Function], Function]:
    """Mark a coroutine function as a method, which is called with a :class:`Call` and the parameters that were given.

    :param returns: the type of JSON that it returns.
    :param changes: whether calls are written to the audit log.
    :param hidden: parameters that are not.
    """
    needed = sum(parameter.needed for parameter in parameters)
    types = [parameter.kind.type for parameter in parameters]

    def mark(function: Function) -> Function:
        marked: Any = function
        marked.signature = [[returns, *types[:count]] for count in range(needed, len(types) + 1)]
        marked.help = _help(function.__doc__ or "", parameters)
        marked.parameters = parameters
        marked.returns = returns
        marked.changes = changes
        marked.hidden = hidden
        return function

    return mark


def _help(text: str, parameters: Sequence[Parameter]) -> str:
    lines = [" ".join(text.split())]
    for parameter in parameters:
        optional = "" if parameter.needed else ", may be left out"
        lines.append(f"{parameter.name} ({parameter.kind.type}{optional}): {parameter.kind.allowed}")
    return "\n".join(lines)


class System(Introspection):  # type: ignore[misc]
    """Introspection: the names, signatures and help of methods."""

    @method("array")
    async def jsonrpc_listMethods(self, call: CallContext) -> list[str]:
        """List the names of all methods."""
        names: list[str] = Introspection.jsonrpc_listMethods(self)
        return names

    @method("string", Parameter("method", TEXT, needed=True))
    async def jsonrpc_methodHelp(self, call: CallContext, method: str) -> str:
        """Return the help of a method: its work and its parameters."""
        return str(Introspection.jsonrpc_methodHelp(self, method))

    @method("array", Parameter("method", TEXT, needed=True))
    async def jsonrpc_methodSignature(self, call: CallContext, method: str) -> list[list[str]]:
        """Return the types that a method returns and takes, for each number of parameters that it accepts."""
        signature: list[list[str]] = Introspection.jsonrpc_methodSignature(self, method)
        return signature


class RPC(JSONRPC):  # type: ignore[misc]
    """The resource that answers calls.

    :param top: the methods whose names have no dot.
    :param groups: the others, by the part before the dot.
    :param who: finds who sent a request.
    :param audit: writes each change into the log.
    :param incident_id: makes the id by which a defect is found in the log.
    :param slices: gives turns of the reactor to the calls of a batch.
    """

    def __init__(
        self,
        top: Methods,
        groups: Mapping[str, Methods],
        who: Callable[[Request], str],
        audit: Audit,
        incident_id: Callable[[], str],
        slices: TurnQueue,
    ) -> None:
        JSONRPC.__init__(self)
        self._slices = slices
        self._top = top
        self._who = who
        self._audit = audit
        self._incident_id = incident_id
        for prefix, group in groups.items():
            self.putSubHandler(prefix, group)
        self.putSubHandler("system", System(self))

    def _getFunction(self, functionPath: str) -> Any:
        """Find a method by its name; only listed methods are found."""
        prefix, dot, rest = functionPath.partition(".")
        owner = self.getSubHandler(prefix) if dot else self._top
        name = rest if dot else prefix
        if owner is None or name not in owner._listFunctions():
            raise faults.no_such_method(functionPath)
        try:
            return owner._getFunction(name)
        except NoSuchFunction:
            raise faults.no_such_method(functionPath) from None

    def _listFunctions(self) -> list[str]:
        found: list[str] = self._top._listFunctions()
        return found

    def render(self, request: Request) -> int:
        """Answer a request of a caller who may call every method."""
        return self.serve(request, MethodCaller(self._who(request)))

    def serve(self, request: Request, caller: MethodCaller) -> int:
        """Answer a request; calls that have begun continue if the client hangs up."""
        answering = Deferred.fromCoroutine(self._answer(request, caller))
        answering.addErrback(request.processingFailed).addErrback(_said)
        return NOT_DONE_YET

    async def _answer(self, request: Request, caller: MethodCaller) -> None:
        caller = attrs.evolve(caller, who=f"{caller.who} {request.request_id}")
        try:
            found = await shield(Deferred.fromCoroutine(self._answers(request.body, caller)))
        except Failed as failed:
            found = encoded(_error(None, failed))
        if found is None:
            request.answer(204, (), b"")
        else:
            request.answer(200, HEADERS, found)

    async def _answers(self, body: bytes, caller: MethodCaller) -> bytes | None:
        """Return the answer as JSON; ``None`` if there is no answer (a notification)."""
        document = parse(body)
        if not isinstance(document, list):
            found = await self._call(document, caller)
            return None if found is None else encoded(found)
        if not document:
            raise faults.invalid_request("A batch has at least one call.")
        if len(document) > MAX_BATCH:
            raise faults.invalid_request(f"A batch has at most {MAX_BATCH} calls.")
        answers = Answers()
        for one in document:
            if answers.is_time_to_pause():
                await self._slices.next()
            answers.add(_error(_id(one), answers.full) if answers.full else await self._call(one, caller))
        return answers.whole()

    async def _call(self, document: Any, caller: MethodCaller) -> dict[str, Any] | None:
        """Do one call, and make its answer; ``None`` for a notification."""
        try:
            id, name, params = _parts(document)
        except Failed as failed:
            return _error(_id(document), failed)
        try:
            answer = {"jsonrpc": VERSION, "result": await self.run(name, params, caller), "id": id}
        except Failed as failed:
            answer = _error(id, failed)
        return answer if "id" in document else None

    async def run(self, name: str, params: Any, caller: MethodCaller) -> Any:
        """Call a method and return its result.

        :raise Failed: it is refused, or has failed.
        """
        function = self._getFunction(name)
        try:
            caller.check(name)
        except Failed as failed:
            self._audit(Audited(caller.who, name, {}, None, None, f"{failed.word}, applied: no"))
            raise
        values = read(function.parameters, params)
        call = CallContext(caller.who, caller.token)
        try:
            result = await function(call, **values)
        except Exception as error:
            problem = self._failed(error)
            self._tell(function, name, values, call, f"{problem.word}, applied: {problem.document['data']['applied']}")
            raise problem from None
        self._tell(function, name, values, call, "done")
        return result

    def _failed(self, error: Exception) -> Failed:
        if isinstance(error, Failed):
            return error
        if isinstance(error, QueueyError):
            return faults.of(error)
        incident = self._incident_id()
        _log.failure("incident", "incident {incident} of an operator", Failure(error), incident=incident)
        return faults.internal(incident)

    def _tell(self, function: Any, name: str, values: Mapping[str, Any], call: CallContext, outcome: str) -> None:
        if function.changes and not call.silent:
            about = {key: value for key, value in values.items() if key not in function.hidden}
            self._audit(Audited(call.who, name, about, call.before, call.after, outcome))


def _said(failure: Failure) -> None:
    """Do nothing: the error was answered and logged."""


def parse(body: bytes) -> Any:
    """Parse the JSON of a request.

    :raise Failed: it is not strict JSON, nested too deeply, or has a number that is too large.
    """
    if has_too_many_values(body):
        raise faults.parse_error(TOO_MANY)
    try:
        document = decoded(body)
    except NotJSON as error:
        raise faults.parse_error(f"{error}.") from None
    _check_size(document)
    return document


def _check_size(document: Any) -> None:
    """Refuse a document that is nested too deeply, or has a number that is too large; takes no stack."""
    level = [document]
    for _ in range(MAX_DEPTH):
        if any(type(value) in (int, float) and abs(value) >= 10**MAX_DIGITS for value in level):
            raise faults.parse_error(f"The body has a number of more than {MAX_DIGITS} digits.")
        level = [one for each in level for one in _inside(each)]
        if not level:
            return
    raise faults.parse_error(f"The body is nested more deeply than {MAX_DEPTH} levels.")


def _inside(value: Any) -> Sequence[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()


def _id(document: Any) -> Any:
    """The id of what may be no call."""
    id = document.get("id") if isinstance(document, dict) else None
    return id if _is_id(id) else None


def _is_id(id: Any) -> bool:
    if id is None:
        return True
    return isinstance(id, str | int | float) and not isinstance(id, bool) and len(json.dumps(id)) <= MAX_ID


def _parts(document: Any) -> tuple[Any, str, Any]:
    """Return the id, the method and the parameters of a call.

    :raise Failed: it is no call.
    """
    if not isinstance(document, dict):
        raise faults.invalid_request("A call is an object.")
    unknown = sorted(set(document) - {"jsonrpc", "id", "method", "params"})
    if unknown:
        raise faults.invalid_request("A call has only the members jsonrpc, method, params and id.")
    if document.get("jsonrpc") != VERSION:
        raise faults.invalid_request(f'A call has "jsonrpc": "{VERSION}".')
    if not _is_id(document.get("id")):
        raise faults.invalid_request(f"An id is a string, a number or null, of at most {MAX_ID} bytes as JSON.")
    name, params = document.get("method"), document.get("params", {})
    if not isinstance(name, str):
        raise faults.invalid_request("A call has the name of a method, which is a string.")
    if not isinstance(params, dict | list):
        raise faults.invalid_request("Parameters are an object or an array.")
    return document.get("id"), name, params


def _error(id: Any, failed: Failed) -> dict[str, Any]:
    return {"jsonrpc": VERSION, "error": failed.document, "id": id}
