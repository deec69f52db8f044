"""Send what is in the outbox, oldest first, until Ctrl-C.

If it is killed between sending a message and deleting its row, it sends the
message again when it is started again. Queuey knows the key and stores nothing.
"""

import os
import sqlite3
import time

from queuey_client import Client, Draft

KEY = os.environ.get("QUEUEY_KEY", "f25bfb8fe200475c8a0532a9cbe7651e")
OLDEST = "SELECT id, key, body FROM outbox ORDER BY id LIMIT 1"

orders = Client(application="queuey", key=KEY).queue("orders")
orders.ensure()
database = sqlite3.connect("shop.sqlite", timeout=30)


def send_oldest():
    row = database.execute(OLDEST).fetchone()
    if row is None:
        return False
    number, key, body = row
    message = Draft(body, content_type="application/json")
    stored = orders.post(message, idempotency_key=key)
    print(body, "(again)" if stored.duplicate else "", flush=True)
    with database:
        database.execute("DELETE FROM outbox WHERE id = ?", (number,))
    return True


while True:
    if not send_oldest():
        time.sleep(0.5)
