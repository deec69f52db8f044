"""Take an order: shop.py CUSTOMER AMOUNT

The order and the message about it are written in one transaction, so there is
never one without the other, whatever happens.
"""

import json
import sqlite3
import sys
import uuid

TABLES = """
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY, customer TEXT NOT NULL, amount INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL, body TEXT NOT NULL);
"""

customer, amount = sys.argv[1], int(sys.argv[2])
database = sqlite3.connect("shop.sqlite", timeout=30)
database.executescript(TABLES)
with database:  # a transaction
    order = database.execute(
        "INSERT INTO orders (customer, amount) VALUES (?, ?)",
        (customer, amount),
    ).lastrowid
    body = {"order": order, "customer": customer, "amount": amount}
    # The key is made once, here: all attempts to send the message have it.
    database.execute(
        "INSERT INTO outbox (key, body) VALUES (?, ?)",
        (uuid.uuid4().hex, json.dumps(body)),
    )
print(f"order {order} of {customer}")
