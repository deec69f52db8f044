"""AddPermission and RemovePermission, and the ``Policy`` that they change. It is kept and shown, and never enforced."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import attrs

from queuey.core.sqs_queues import SqsQueues
from queuey.http.sqs.callers import Caller
from queuey.http.sqs.errors import NO_POLICIES, SqsError, out_of_range
from queuey.http.sqs.names import arn
from queuey.http.sqs.operations import Members
from queuey.model.queues.queue import Queue
from queuey.model.queues.sqs_queue import SqsQueue

ATTRIBUTE: Final = "Policy"

MAX_SIZE: Final = 8192
"""Characters of a policy."""

MAX_ACTIONS: Final = 7
"""Actions that one permission may name, as on AWS."""

_VERSION: Final = "2008-10-17"
_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)
_ACCOUNT: Final = re.compile(r"[0-9]{12}", re.ASCII)
_OF_OTHERS: Final = frozenset(
    (
        "*", "ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "GetQueueUrl",
        "ListDeadLetterSourceQueues", "PurgeQueue", "ReceiveMessage", "SendMessage",
    )
)  # fmt: skip
"""What others than the owner of a queue may be allowed to do."""


def check(text: str, *, kept: bool) -> None:
    """Refuse a policy that is no JSON object, and any that is not empty unless policies are kept.

    :raise SqsError: saying so.
    """
    if not text:
        return
    _check_kept(kept)
    if len(text) > MAX_SIZE or _document(text) is None:
        raise SqsError("InvalidAttributeValue", f"Invalid value for the parameter {ATTRIBUTE}.")


@attrs.frozen
class SqsPermissions:
    """Handlers of the operations on permissions."""

    states: SqsQueues

    async def add(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Add a statement to the policy of a queue."""
        _check_kept(caller.keeps_policies)
        resource = arn(caller.signer.region, caller.account, queue.name)
        statement = _statement(given, resource)

        def added(policy: dict[str, Any]) -> None:
            if any(_label(one) == given["Label"] for one in policy["Statement"]):
                raise out_of_range(given["Label"], "Label", "Already exists.")
            policy["Statement"].append(statement)

        await self._change(queue, resource, added)
        return {}

    async def remove(self, caller: Caller, queue: Queue, given: Members) -> dict[str, Any]:
        """Remove a statement from the policy of a queue."""
        _check_kept(caller.keeps_policies)

        def removed(policy: dict[str, Any]) -> None:
            left = [one for one in policy["Statement"] if _label(one) != given["Label"]]
            if len(left) == len(policy["Statement"]):
                raise out_of_range(given["Label"][:200], "Label", "can't find label.")
            policy["Statement"] = left

        await self._change(queue, arn(caller.signer.region, caller.account, queue.name), removed)
        return {}

    async def _change(self, queue: Queue, resource: str, change: Any) -> None:
        """Change the policy of a queue; one without a statement is removed."""

        def changed(old: SqsQueue | None) -> SqsQueue:
            state = old or SqsQueue()
            others = dict(state.others)
            policy = _document(others.pop(ATTRIBUTE, "")) or {"Version": _VERSION, "Id": f"{resource}/SQSDefaultPolicy"}
            statements = policy.get("Statement", [])
            policy["Statement"] = list(statements) if isinstance(statements, list) else [statements]
            change(policy)
            if policy["Statement"]:
                others[ATTRIBUTE] = json.dumps(policy, separators=(",", ":"))
                check(others[ATTRIBUTE], kept=True)
            return attrs.evolve(state, others=others)

        await self.states.change(queue, changed)


def _check_kept(kept: bool) -> None:
    if not kept:
        raise SqsError("UnsupportedOperation", NO_POLICIES)


def _statement(given: Members, resource: str) -> dict[str, Any]:
    """Return the statement that a permission is.

    :raise SqsError: the permission is not one that SQS takes.
    """
    label, accounts, actions = given["Label"], given["AWSAccountIds"], given["Actions"]
    if not actions:
        raise SqsError("MissingRequiredParameterException", "The request must contain the parameter Actions.")
    if len(actions) > MAX_ACTIONS:
        raise SqsError("OverLimit", f"{len(actions)} Actions were found, maximum allowed is {MAX_ACTIONS}.")
    if _LABEL.fullmatch(label) is None:
        raise out_of_range(label[:200], "Label", "Can only include alphanumeric characters, hyphens, or underscores.")
    for action in actions:
        if action not in _OF_OTHERS:
            raise out_of_range(
                f"SQS:{action[:100]}", "ActionName", "Only the queue owner is allowed to invoke this action."
            )
    if not accounts or not all(_ACCOUNT.fullmatch(account) for account in accounts):
        raise out_of_range(f"[{', '.join(accounts)[:300]}]", "PrincipalId", "Unable to verify.")
    return {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": _one_or_all([f"arn:aws:iam::{account}:root" for account in accounts])},
        "Action": _one_or_all([f"SQS:{action}" for action in actions]),
        "Resource": resource,
    }


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def _label(statement: Any) -> Any:
    return statement.get("Sid") if isinstance(statement, dict) else None


def _document(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
