"""Sends, receives and deletes messages through boto3 for some seconds, for :mod:`bench.sqs`.

    python -m bench.sqs_load URL QUEUE_URL BATCH SECONDS

The pair of credentials is in the environment. It prints ``ready``, waits for a line, and prints what it did as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any, Final

BODY: Final = "x" * 140
REGION: Final = "us-east-1"
EMPTY: Final = 5
"""Receives in a row that may be empty while there are messages."""


def client(url: str) -> Any:
    """Return a client that repeats nothing."""
    import boto3
    from botocore.config import Config

    config = Config(retries={"max_attempts": 0}, connect_timeout=10, read_timeout=30)
    return boto3.client("sqs", endpoint_url=url, region_name=REGION, config=config)


def singly(sqs: Any, queue: str) -> int:
    """Send a message, receive one, and delete it; return how many were deleted."""
    sqs.send_message(QueueUrl=queue, MessageBody=BODY)
    for _ in range(EMPTY):
        for one in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", ()):
            check(one)
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=one["ReceiptHandle"])
            return 1
    raise SystemExit("a message that was sent is not received")


def in_batches(sqs: Any, queue: str, size: int) -> int:
    """Send messages, receive as many, and delete them, each by one request if the server gives all at once."""
    entries = [{"Id": str(number), "MessageBody": BODY} for number in range(size)]
    if sqs.send_message_batch(QueueUrl=queue, Entries=entries).get("Failed"):
        raise SystemExit("a message of a batch was not sent")
    left, empty = size, 0
    while left > 0:
        given = {"QueueUrl": queue, "MaxNumberOfMessages": min(left, 10), "WaitTimeSeconds": 1}
        found = sqs.receive_message(**given).get("Messages", ())
        empty = 0 if found else empty + 1
        if empty == EMPTY:
            raise SystemExit("messages that were sent are not received")
        if not found:
            continue
        handles = []
        for number, one in enumerate(found):
            check(one)
            handles.append({"Id": str(number), "ReceiptHandle": one["ReceiptHandle"]})
        if sqs.delete_message_batch(QueueUrl=queue, Entries=handles).get("Failed"):
            raise SystemExit("a message of a batch was not deleted")
        left -= len(found)
    return size


def check(message: Any) -> None:
    """Compare a message with what was sent.

    :raise SystemExit: it is another one.
    """
    if message["Body"] != BODY:
        raise SystemExit(f"received {message['Body'][:200]!r}")


def main(url: str, queue: str, batch: int, seconds: float) -> None:
    """Work and print."""
    sqs = client(url)

    def once() -> int:
        return singly(sqs, queue) if batch == 1 else in_batches(sqs, queue, batch)

    once()
    print("ready", flush=True)
    sys.stdin.readline()
    began, done = time.monotonic(), 0
    while (took := time.monotonic() - began) < seconds or not done:
        done += once()
    print(json.dumps({"messages": done, "seconds": took}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
