"""Uses a client that openapi-python-client generated: posts, reads, claims and settles, and prints what came of it.

python program.py URL KEY; the folder that has the generated package ``queuey_v2`` is on the path.
"""

from __future__ import annotations

import sys

from queuey_v2 import AuthenticatedClient
from queuey_v2.api.groups import claim_messages, get_group, put_group, settle_messages
from queuey_v2.api.messages import append_messages, get_message, put_message, read_messages
from queuey_v2.api.queues import get_queue, list_queues, put_queue
from queuey_v2.models import (
    Batch,
    Claim,
    GroupMembers,
    JsonMessage,
    Problem,
    QueueMembers,
    Settlement,
    Stored,
)
from queuey_v2.types import File

PLACE = ("queuey", "python")


def main(url: str, key: str) -> None:
    """Do everything once, and print it."""
    client = AuthenticatedClient(base_url=url, token=key, prefix="Application")
    made = put_queue.sync(
        *PLACE, client=client, body=QueueMembers.from_dict({"partitions": 1, "consistency": "strong"})
    )
    print("queue", made.name, made.partitions)
    first = append_messages.sync(*PLACE, client=client, body=File(payload=b"\x00\xff"))
    assert isinstance(first, Stored), first
    print("bytes", len(first.messages))
    pears = JsonMessage.from_dict({"pears": 3})
    print("json", len(append_messages.sync(*PLACE, client=client, body=pears, ttl=600).messages))
    batch = Batch.from_dict({"messages": [{"body": "two apples"}, {"body": "[1]", "content_type": "application/json"}]})
    print("text", len(append_messages.sync(*PLACE, client=client, body=batch).messages))
    id = first.messages[0].id
    print("put", put_message.sync_detailed(*PLACE, id, client=client, body=File(payload=b"\xfe")).status_code.value)
    print("one", get_message.sync_detailed(*PLACE, id, client=client).content)
    page = read_messages.sync(*PLACE, client=client, json=True, limit=10)
    for message in page.messages:
        shown = message.to_dict()
        print("read", message.content_type, shown.get("json", shown.get("body", shown.get("body_base64"))))
    print("more", page.more, len(read_messages.sync(*PLACE, client=client, after=page.next_).messages))
    print("group", put_group.sync(*PLACE, "workers", client=client, body=GroupMembers.from_dict({"lease": 60})).lease)
    claimed = claim_messages.sync(*PLACE, "workers", client=client, body=Claim.from_dict({"limit": 10}))
    receipts = [message.receipt for message in claimed.messages]
    settled = settle_messages.sync(*PLACE, "workers", client=client, body=Settlement.from_dict({"ack": receipts}))
    print("settled", [str(outcome.outcome) for outcome in settled.outcomes])
    print("lag", [lag.behind.count for lag in get_group.sync(*PLACE, "workers", client=client).lag])
    print("counts", get_queue.sync(*PLACE, client=client, counts=True).counts.messages)
    print("listed", [queue.name for queue in list_queues.sync("queuey", client=client).queues])
    missing = get_queue.sync("queuey", "missing", client=client)
    assert isinstance(missing, Problem), missing
    print("problem", str(missing.code), missing.status)


if __name__ == "__main__":
    main(*sys.argv[1:])
