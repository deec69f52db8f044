"""The Celery application of the tests: its broker is the endpoint in the environment, and tasks note what they do."""

# mypy: disable-error-code="untyped-decorator"

import os
import time
from urllib.parse import quote

from celery import Celery

KEY = quote(os.environ["AWS_ACCESS_KEY_ID"], safe="")
SECRET = quote(os.environ["AWS_SECRET_ACCESS_KEY"], safe="")

app = Celery("tasks", broker=f"sqs://{KEY}:{SECRET}@{os.environ['SQS_PLACE']}//")
app.conf.update(
    broker_transport_options={
        "region": "us-east-1",
        "is_secure": False,
        "visibility_timeout": int(os.environ["SQS_VISIBILITY"]),
        "wait_time_seconds": 1,
        "polling_interval": 0.1,
    },
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_default_queue="jobs",
    task_ignore_result=True,
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=int(os.environ["SQS_PREFETCH"]),
    worker_send_task_events=False,
)


def note(line: str) -> None:
    """Add a line to the file of notes."""
    with open(os.environ["SQS_NOTES"], "a") as notes:
        notes.write(f"{line}\n")


@app.task(name="note")
def noted(name: str) -> None:
    """Do something that takes no time."""
    note(f"done {name}")


@app.task(name="slow")
def slow(name: str, seconds: float) -> None:
    """Do something that takes a while."""
    note(f"began {name}")
    time.sleep(seconds)
    note(f"done {name}")
