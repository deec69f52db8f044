"""The face for Twisted, on treq: the same names as in :mod:`queuey_client`, with Deferreds.

.. code-block:: python

   from queuey_client.tx import Client

   client = Client("http://127.0.0.1:5000", "queuey", key="...", reactor=reactor)
   posted = client.queue("orders").post({"pears": 3})
   posted.addCallback(lambda stored: print(stored.id))
"""

from queuey_client.awaiting.deliveries import AsyncDeliveries as Deliveries
from queuey_client.awaiting.runtime import AsyncStreamingTransport as StreamingTransport
from queuey_client.awaiting.runtime import AsyncTransport as Transport
from queuey_client.tx.client import Client
from queuey_client.tx.group import Group
from queuey_client.tx.push import Push
from queuey_client.tx.queue import Queue
from queuey_client.tx.schedule import Schedule
from queuey_client.tx.worker import Worker
from queuey_client.tx.writer import Writer

__all__ = [
    "Client",
    "Deliveries",
    "Group",
    "Push",
    "Queue",
    "Schedule",
    "StreamingTransport",
    "Transport",
    "Worker",
    "Writer",
]
