"""A client of Queuey, the RESTful message queue: producers, readers and workers.

.. code-block:: python

   from queuey_client import Client

   with Client("http://127.0.0.1:5000", "queuey", key="...") as client:
       orders = client.queue("orders")
       orders.ensure()
       orders.post({"pears": 3})
       for message in orders.messages():
           print(message.json())

This is the face for threads. :mod:`queuey_client.aio` has the same for asyncio, and :mod:`queuey_client.tx` for
Twisted.
"""

from queuey_client.core.cursors import Cursors, FileCursors, SqlCursors
from queuey_client.core.errors import (
    Changed,
    Gap,
    Invalid,
    Limited,
    NotAllowed,
    NotFound,
    NotPromised,
    QueueReplaced,
    QueueyError,
    Stale,
    Unavailable,
)
from queuey_client.core.push_values import PushAttempt, PushInfo, PushSecret, PushTest
from queuey_client.core.reading import GapWarning
from queuey_client.core.retry import Retry
from queuey_client.core.schedule_values import ScheduleInfo
from queuey_client.core.steps import Answer, Ask, NoAnswer, NotStreaming, Opened
from queuey_client.core.values import (
    Delivery,
    Draft,
    GroupInfo,
    Lag,
    Message,
    Page,
    QueueCounts,
    QueueInfo,
    Redriven,
    Stored,
)
from queuey_client.core.verdicts import Reject, RetryLater, Verdict
from queuey_client.sync.client import Client
from queuey_client.sync.deliveries import Deliveries
from queuey_client.sync.group import Group
from queuey_client.sync.push import Push
from queuey_client.sync.queue import Queue
from queuey_client.sync.schedule import Schedule
from queuey_client.sync.transport import StreamingTransport, Transport
from queuey_client.sync.worker import Worker
from queuey_client.sync.writer import Writer
from queuey_client.version import __version__

__all__ = [
    "Answer",
    "Ask",
    "Changed",
    "Client",
    "Cursors",
    "Deliveries",
    "Delivery",
    "Draft",
    "FileCursors",
    "Gap",
    "GapWarning",
    "Group",
    "GroupInfo",
    "Invalid",
    "Lag",
    "Limited",
    "Message",
    "NoAnswer",
    "NotAllowed",
    "NotFound",
    "NotPromised",
    "NotStreaming",
    "Opened",
    "Page",
    "Push",
    "PushAttempt",
    "PushInfo",
    "PushSecret",
    "PushTest",
    "Queue",
    "QueueCounts",
    "QueueInfo",
    "QueueReplaced",
    "QueueyError",
    "Redriven",
    "Reject",
    "Retry",
    "RetryLater",
    "Schedule",
    "ScheduleInfo",
    "SqlCursors",
    "Stale",
    "Stored",
    "StreamingTransport",
    "Transport",
    "Unavailable",
    "Verdict",
    "Worker",
    "Writer",
    "__version__",
]
