"""Report a request that has ended: to the metrics, the access log and the tracer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from queuey.http.connection.limits import AccessLine
from queuey.http.heads.targets import without_secrets
from queuey.http.requests.traced import UNTRACED
from queuey.model.telemetry.served import Served
from queuey.model.telemetry.trace import TraceContext

if TYPE_CHECKING:
    from queuey.http.requests.request import Request

_MAX_LOGGED: Final = 1024


def report(request: Request, status: int, now: float) -> None:
    """Count the request, write its line of the access log, and hand it to the tracer.

    :param status: of its answer; 499 if the client hung up before that began.
    :param now: when it ended, in seconds of the reactor.
    """
    connection, head = request.connection, request.head
    hooks = connection.hooks
    seconds = now - request.started
    if hooks.counts is not None:
        hooks.counts.request(request.route, request.method, status, seconds)
    if head.shown is None:
        head.shown = _shown(request)
    method, target = head.shown
    hooks.access(
        AccessLine(
            request.request_id,
            request.client_host if connection.believed and b"x-forwarded-for" in head.fields else connection.peer,
            method,
            target,
            status,
            request.bytes_in,
            request.bytes_out,
            seconds,
            request.application,
            request.queue,
            None if head.trace is None and request.traced is UNTRACED else _trace_id(request, status, seconds),
        )
    )


def _shown(request: Request) -> tuple[str, str]:
    """Return the method and the target as the log has them."""
    target = request.line.target
    if b"?" in target or b"%" in target:
        target = without_secrets(target)
    return str(request.method, "ascii"), str(target[:_MAX_LOGGED], "ascii", "replace")


def _trace_id(request: Request, status: int, seconds: float) -> str | None:
    """Report the request to the tracer and return the id of its trace, if it has one."""
    parent, traces = request.trace, request.connection.hooks.traces
    if traces is not None and request.traced is not UNTRACED:
        id = traces.served(_served(request, status, seconds, parent))
        if id is not None:
            return id
    return None if parent is None else parent.trace_id


def _served(request: Request, status: int, seconds: float, parent: TraceContext | None) -> Served:
    return Served(
        request.request_id,
        request.method.decode("ascii"),
        request.route.replace("<", "{").replace(">", "}"),
        request.path[:_MAX_LOGGED].decode("ascii", "replace"),
        "https" if request.isSecure() else "http",
        "1.1" if request.line.persistent else "1.0",
        request.client_host,
        status,
        seconds,
        request.application,
        request.queue,
        parent,
        request.traced.work,
    )
