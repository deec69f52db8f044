"""Errors as clients of SQS know them: one table of codes, and what each error of ours is in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from queuey import errors
from queuey.http.connection.limits import Refusal
from queuey.http.sqs import xml
from queuey.http.wire import Request

FORM: Final = b"application/x-www-form-urlencoded"
JSON: Final = (b"Content-Type", b"application/x-amz-json-1.0")
_TYPE: Final = "com.amazonaws.sqs#"
_OLD: Final = "AWS.SimpleQueueService."
"""The beginning of most codes of the earlier protocol."""

NO_OPERATION: Final = "UnknownOperationException"
"""The error of a request of the Query protocol that names no operation."""

CODES: Final[Mapping[str, tuple[str, int]]] = MappingProxyType(
    {
        "QueueDoesNotExist": (f"{_OLD}NonExistentQueue", 400),
        "QueueNameExists": ("QueueAlreadyExists", 400),
        "InvalidParameterValueException": ("InvalidParameterValue", 400),
        "InvalidAddress": ("InvalidAddress", 400),
        "MissingRequiredParameterException": ("MissingParameter", 400),
        "InvalidAttributeName": ("InvalidAttributeName", 400),
        "InvalidAttributeValue": ("InvalidAttributeValue", 400),
        "ReceiptHandleIsInvalid": ("ReceiptHandleIsInvalid", 400),
        "InvalidMessageContents": ("InvalidMessageContents", 400),
        "OverLimit": ("OverLimit", 403),
        "ResourceNotFoundException": ("ResourceNotFoundException", 404),
        "BatchEntryIdsNotDistinct": (f"{_OLD}BatchEntryIdsNotDistinct", 400),
        "BatchRequestTooLong": (f"{_OLD}BatchRequestTooLong", 400),
        "EmptyBatchRequest": (f"{_OLD}EmptyBatchRequest", 400),
        "InvalidBatchEntryId": (f"{_OLD}InvalidBatchEntryId", 400),
        "MessageNotInflight": (f"{_OLD}MessageNotInflight", 400),
        "TooManyEntriesInBatchRequest": (f"{_OLD}TooManyEntriesInBatchRequest", 400),
        "UnsupportedOperation": (f"{_OLD}UnsupportedOperation", 400),
        "RequestThrottled": ("RequestThrottled", 403),
        "AccessDenied": ("AccessDenied", 403),
        "InvalidAction": ("InvalidAction", 400),
        NO_OPERATION: (NO_OPERATION, 404),
        "SerializationException": ("MalformedInput", 400),
        "InvalidClientTokenId": ("InvalidClientTokenId", 403),
        "SignatureDoesNotMatch": ("SignatureDoesNotMatch", 403),
        "IncompleteSignature": ("IncompleteSignature", 400),
        "MissingAuthenticationToken": ("MissingAuthenticationToken", 403),
        "InternalFailure": ("InternalFailure", 500),
        "ServiceUnavailable": ("ServiceUnavailable", 503),
    }
)
"""Each error with its code in the earlier protocol, which clients show too, and its status."""

_KNOWN: Final[Mapping[type[errors.QueueyError], str]] = MappingProxyType(
    {
        errors.NoSuchQueue: "QueueDoesNotExist",
        errors.NoSuchApplication: "InvalidClientTokenId",
        errors.Forbidden: "AccessDenied",
        errors.TooManyRequests: "RequestThrottled",
        errors.StorageFull: "OverLimit",
        errors.NotPromised: "UnsupportedOperation",
        errors.QueueClosed: "UnsupportedOperation",
        errors.InvalidUpdate: "InvalidAttributeValue",
        errors.InvalidRequest: "InvalidParameterValueException",
        errors.BodyTooLarge: "InvalidParameterValueException",
        errors.KeyReused: "InvalidParameterValueException",
    }
)
"""The codes of SQS for our errors; all other errors can be tried again."""

PATH: Final = "/sqs"
"""The path of the API on the clients' port, beside the root."""

PATHS: Final = ("/", PATH, f"{PATH}/")
"""The paths of the API: some clients can be given a path, and some cannot."""

QUEUE_PATHS: Final = (f"{PATH}/<account>/<queue>", "/<string(length=12):account>/<queue>")
"""The paths of queues, which clients of the Query protocol use."""

_OF_QUEUE: Final = re.compile(rb"(?:/sqs/[^/]+|/[0-9]{12})/[^/]+")

_TARGET: Final = b"x-amz-target"

_IN_QUERY: Final = re.compile(rb"(?:^|&)(?:Action|X-Amz-[A-Za-z]+)=")
"""What the query of a request has that is one of SQS: an operation, or a signature."""

_PATHS: Final = frozenset(path.encode() for path in PATHS)

NO_POLICIES: Final = (
    "Policies of queues are not enforced here, so they are refused; the principals of a queue say who may use it. With "
    "sqs_policies = keep of the application they are kept, without effect."
)

NO_QUEUE: Final = "The specified queue does not exist."
_NO_QUEUE_OF_OLD: Final = "The specified queue does not exist for this wsdl version."
"""The same in the Query protocol."""


class SqsError(Exception):
    """An error of a request, as its client sees it.

    :ivar code: one of ``CODES``.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    @property
    def old_code(self) -> str:
        """The code in the earlier protocol."""
        return CODES[self.code][0]

    @property
    def status(self) -> int:
        """The status of the answer."""
        return CODES[self.code][1]


def wanted(request: Request) -> bool:
    """Whether a request is one of this API, so that its errors have to be of this API too.

    A request for the root is one if it names an operation in its head or has a signature of AWS.
    """
    path = request.path
    if request.method not in (b"POST", b"GET"):
        return False
    if path in _PATHS:
        return path != b"/" or _TARGET in request.fields or _is_signed(request)
    return is_of_queue(path)


def is_of_queue(path: bytes) -> bool:
    """Whether a path is that of a queue."""
    return (path.startswith(b"/sqs/") or path[1:13].isdigit()) and _OF_QUEUE.fullmatch(path) is not None


def is_query(request: Request) -> bool:
    """Whether a request is of the Query protocol, so that its answer has to be XML."""
    if request.method == b"GET":
        return True
    kind = request.fields.get(b"content-type", (b"",))[0]
    return _TARGET not in request.fields and kind.partition(b";")[0].strip().lower() == FORM


def _is_signed(request: Request) -> bool:
    if _IN_QUERY.search(request.line.query) is not None:
        return True
    return request.fields.get(b"authorization", (b"",))[0].startswith(b"AWS4-")


def invalid(text: str) -> SqsError:
    """Return the error of a parameter whose value is not allowed."""
    return SqsError("InvalidParameterValueException", text)


def not_valid(operation: str) -> SqsError:
    """Return the error of an operation that there is not, or not here."""
    return SqsError("InvalidAction", f"The action {operation[:100]} is not valid for this endpoint.")


def out_of_range(value: object, name: str, reason: str) -> SqsError:
    """Return the error of a value that is out of bounds, in the words of AWS."""
    return invalid(f"Value {value} for parameter {name} is invalid. Reason: {reason}")


def of(error: BaseException | None) -> SqsError | None:
    """Return what an error is here; ``None`` if it is a defect."""
    if isinstance(error, SqsError):
        return error
    if isinstance(error, errors.BadSignature):
        return SqsError(error.code, error.text)
    if isinstance(error, errors.NoSuchQueue):
        return SqsError("QueueDoesNotExist", NO_QUEUE)
    if isinstance(error, errors.StorageFull) and error.limit == "storage":
        # No fault of the client, which should try again; workers of Celery end if a receive is refused.
        return SqsError("ServiceUnavailable", error.text)
    if isinstance(error, errors.QueueyError):
        kinds = [kind for kind in type(error).__mro__ if kind in _KNOWN]
        return SqsError(_KNOWN[kinds[0]] if kinds else "ServiceUnavailable", error.text)
    return None


def of_refusal(request: Request, refusal: Refusal) -> tuple[Mapping[str, str], bytes]:
    """Return the header fields and the body of an answer to a request that the HTTP server refuses."""
    code = "ServiceUnavailable" if refusal.status >= 500 else "InvalidParameterValueException"
    if is_query(request):
        body = xml.error(CODES[code][0], refusal.text, refusal.status < 500, request.request_id)
        return {xml.TYPE[0].decode(): xml.TYPE[1].decode()}, body
    return {JSON[0].decode(): JSON[1].decode(), "x-amzn-query-error": query_error(code)}, document(code, refusal.text)


def query_error(code: str) -> str:
    """Return the code in the earlier protocol, and who is at fault."""
    old, status = CODES[code]
    return f"{old};{'Receiver' if status >= 500 else 'Sender'}"


def document(code: str, text: str) -> bytes:
    """Return the body of an answer with an error."""
    return msgspec.json.encode({"__type": f"{_TYPE}{code}", "message": text})


def answer(request: Request, error: SqsError) -> None:
    """Answer with an error."""
    fields = [(b"x-amzn-RequestId", request.request_id.encode("ascii"))]
    if error.status == 503:
        fields.append((b"Retry-After", b"1"))
    if is_query(request):
        text = _NO_QUEUE_OF_OLD if error.text == NO_QUEUE else error.text
        body = xml.error(error.old_code, text, error.status < 500, request.request_id)
        if error.code == NO_OPERATION:
            body = xml.no_operation()
        request.answer(error.status, [xml.TYPE, *fields], body)
        return
    fields.append((b"x-amzn-query-error", query_error(error.code).encode("ascii")))
    request.answer(error.status, [JSON, *fields], document(error.code, error.text))
