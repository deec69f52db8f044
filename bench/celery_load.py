"""Tasks of Celery, for :mod:`bench.sqs`; it runs in the environment that ``make bench-sqs`` makes.

    python -m bench.celery_load COUNT                    sends tasks, and prints how many a second
    python -m celery -A bench.celery_load worker ...     runs them: each writes one byte to a file

The environment of the process has the broker as ``BENCH_BROKER``, the file as ``BENCH_FILE`` and the queue as
``BENCH_QUEUE``. Everything else is as Celery has it, except remote control, which SQS does not carry, and what would
hide the server: a worker whose prefetch is full sleeps for ``polling_interval``, which is a second if it is not set.
"""

from __future__ import annotations

import os
import sys
import time

from celery import Celery

app = Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    broker_transport_options={"region": "us-east-1", "is_secure": False, "polling_interval": 0.01},
    broker_connection_retry_on_startup=True,
    task_default_queue=os.environ["BENCH_QUEUE"],
    task_ignore_result=True,
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=10,
)


def _note(text: str) -> None:
    """Note that the task has run."""
    with open(os.environ["BENCH_FILE"], "ab", buffering=0) as file:
        file.write(b".")


note = app.task(name="note")(_note)


def main(count: int) -> None:
    """Send tasks and print."""
    text = "x" * 140
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        note.apply_async((text,), producer=producer)
        began = time.monotonic()
        for _ in range(count - 1):
            note.apply_async((text,), producer=producer)
        print((count - 1) / (time.monotonic() - began))


if __name__ == "__main__":
    main(int(sys.argv[1]))
