"""Book each transfer once into PostgreSQL, until Ctrl-C.

The place of the reader is a row in the same database as the accounts, and is
written in the same transaction as the booking. So the two are never apart: kill
this program at any line, start it again, and the balances are right.

It needs psycopg (pip install 'psycopg[binary]'); the database is what PGHOST,
PGUSER, PGDATABASE and so on say.
"""

import os

import psycopg

from queuey_client import Client, SqlCursors

KEY = os.environ.get("QUEUEY_KEY", "f25bfb8fe200475c8a0532a9cbe7651e")
TABLE = """
CREATE TABLE IF NOT EXISTS accounts (
    account INTEGER PRIMARY KEY,
    balance BIGINT NOT NULL,
    bookings INTEGER NOT NULL)
"""
BOOK = """
INSERT INTO accounts AS a VALUES (%s, %s, 1)
ON CONFLICT (account) DO UPDATE
SET balance = a.balance + EXCLUDED.balance, bookings = a.bookings + 1
"""
# One consumer at a time: a second one waits here until the first one has ended.
LOCK = "SELECT pg_advisory_lock(hashtext('ledger'))"

database = psycopg.connect()
database.execute(LOCK)
database.execute(TABLE)
database.commit()

client = Client(application="queuey", key=KEY)
transfers = client.queue("transfers")
transfers.ensure(guarantee="exactly-once")
# With commit=False the place is written into your transaction.
cursors = SqlCursors(database, commit=False)
for transfer in transfers.follow(
    start="oldest", reader="ledger", cursors=cursors
):
    booking = transfer.json()
    database.execute(BOOK, (booking["account"], booking["amount"]))
    database.commit()  # the booking and the place, or neither
    print("booked:", booking, flush=True)
