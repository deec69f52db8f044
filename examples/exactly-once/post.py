"""Post transfers: post.py HOW-MANY. Posted again, they are stored once."""

import os
import sys

from queuey_client import Client, Draft

KEY = os.environ.get("QUEUEY_KEY", "f25bfb8fe200475c8a0532a9cbe7651e")

with Client(application="queuey", key=KEY) as client:
    transfers = client.queue("transfers")
    transfers.ensure(guarantee="exactly-once")
    count = int(sys.argv[1])
    for first in range(0, count, 100):
        numbers = range(first, min(first + 100, count))
        batch = [Draft({"account": n % 7, "amount": n}) for n in numbers]
        transfers.post_all(batch, idempotency_key=f"transfers-{first}")
    print(f"posted {count} transfers")
