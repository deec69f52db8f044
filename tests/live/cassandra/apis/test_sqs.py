"""SQS on Cassandra: FIFO queues before two front ends that are killed and paused, and the operations of a client."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests import LONG, runs_in
from tests.histories.clients import new_seed
from tests.histories.groups.frontends import TwoFrontEnds
from tests.histories.groups.history import GroupHistory
from tests.live.cassandra.fronts import LEEWAY, SETTLE, FrontTestCase
from tests.live.cassandra.shared import cql_node
from tests.live.sqs.fifo import Field, client
from tests.live.sqs.support import ALLOWED

ROUNDS = 6 if LONG else 2
"""How often each thing happens."""

CALM = 4.0
"""Seconds between two of them."""


class HistoryTests(SynchronousTestCase):
    """Order in each group, nothing lost, nothing twice, through two front ends of one keyspace."""

    def test_two_front_ends(self) -> None:
        host, port = cql_node()
        seed = new_seed()
        ends = ExitStack()
        self.addCleanup(ends.close)
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="queuey-fronts-")))
        both = TwoFrontEnds(folder, [host], port, seed, GroupHistory(), ends)
        for front in both.fronts:
            with (front.folder / "queuey.ini").open("a") as file:
                file.write(ALLOWED)
        both.start()
        field = Field([proxy.port for proxy in both.proxies], seed)
        ends.callback(field.close)
        field.make_queue(both.fronts[0].port)
        with field.at_work():
            for _ in range(ROUNDS):
                for happen in (both.kill, both.pause):
                    time.sleep(CALM)
                    happen()
            time.sleep(CALM)
            both.calm()
        wrong = field.judge(both.fronts[1].port, SETTLE + LEEWAY)
        both.stop()
        field.report()
        self.assertEqual([*wrong, *both.defects()], [])
        self.assertEqual(field.idle(), [])


class OperationsTests(FrontTestCase):
    """boto3 at one front end, which is killed and started again in between."""

    def setUp(self) -> None:
        super().setUp()
        host, port = cql_node()
        self.served = self.front("a", [host], port)
        with (self.served.folder / "queuey.ini").open("a") as file:
            file.write(ALLOWED)
        self.served.serve()
        self.sqs = client(self.served.port)
        self.addCleanup(self.sqs.close)

    def made(self, name: str, **attributes: str) -> str:
        url: str = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    def attribute(self, url: str, name: str) -> str:
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return str(found[name])

    def receive(self, url: str, count: int, **more: Any) -> list[Any]:
        """Receive until so many have come: a receive may give some of them."""
        found: list[Any] = []
        until = time.monotonic() + 60
        while len(found) < count and time.monotonic() < until:
            asked = {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 5, "MessageSystemAttributeNames": ["All"], **more}
            found += self.sqs.receive_message(QueueUrl=url, **asked).get("Messages", [])
        self.assertEqual(len(found), count)
        return found

    def delete(self, url: str, some: list[Any]) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]} for n, one in enumerate(some)]
        done = self.sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        self.assertEqual((len(done["Successful"]), "Failed" in done), (len(some), False))

    @runs_in("test")
    def test_standard_and_fifo_queues(self) -> None:
        url = self.made("q", VisibilityTimeout="30")
        timer = threading.Timer(0.5, lambda: self.sqs.send_message(QueueUrl=url, MessageBody="late"))
        timer.start()
        self.addCleanup(timer.join)
        (late,) = self.receive(url, 1, WaitTimeSeconds=20)
        self.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=late["ReceiptHandle"], VisibilityTimeout=0)
        (again,) = self.receive(url, 1)
        self.assertEqual((again["Body"], again["Attributes"]["ApproximateReceiveCount"]), ("late", "2"))
        self.delete(url, [again])
        entries = [{"Id": f"e{n}", "MessageBody": f"m{n}"} for n in range(10)]
        sent = self.sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]
        fifo = self.made("q.fifo", FifoQueue="true", ContentBasedDeduplication="true", VisibilityTimeout="30")
        for body in ("A0", "A1", "B0", "A0"):
            self.sqs.send_message(QueueUrl=fifo, MessageBody=body, MessageGroupId=body[0])
        self.served.kill()
        self.served.serve()
        self.sqs.send_message(QueueUrl=fifo, MessageBody="B0", MessageGroupId="B")
        got = self.receive(url, 10)
        self.assertEqual({one["MessageId"] for one in got}, {one["MessageId"] for one in sent})
        self.delete(url, got)
        (first,) = self.receive(fifo, 1, MaxNumberOfMessages=1)
        (other,) = self.receive(fifo, 1)
        self.assertEqual((first["Body"], other["Body"]), ("A0", "B0"))
        self.delete(fifo, [first, other])
        (last,) = self.receive(fifo, 1)
        self.assertEqual(last["Body"], "A1")
        self.delete(fifo, [last])
        for one in (url, fifo):
            counts = [f"ApproximateNumberOfMessages{end}" for end in ("", "NotVisible", "Delayed")]
            self.assertEqual([self.attribute(one, name) for name in counts], ["0", "0", "0"])
            self.sqs.delete_queue(QueueUrl=one)
        self.assertEqual(self.defects(self.served), [])

    @runs_in("test-long")
    def test_dead_letters_and_their_way_back(self) -> None:
        dead = self.made("dead")
        arn = self.attribute(dead, "QueueArn")
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
        url = self.made("work", RedrivePolicy=policy, VisibilityTimeout="1")
        sent = self.sqs.send_message(QueueUrl=url, MessageBody="poison")
        self.receive(url, 1)
        time.sleep(1.5)
        self.assertEqual(self.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []), [])
        (letter,) = self.receive(dead, 1)
        self.assertEqual((letter["Body"], letter["MessageId"]), ("poison", sent["MessageId"]))
        self.sqs.change_message_visibility(QueueUrl=dead, ReceiptHandle=letter["ReceiptHandle"], VisibilityTimeout=0)
        self.sqs.start_message_move_task(SourceArn=arn)
        (back,) = self.receive(url, 1)
        self.assertEqual((back["Body"], back["MessageId"]), ("poison", sent["MessageId"]))
        self.delete(url, [back])
        self.sqs.send_message(QueueUrl=url, MessageBody="delayed", DelaySeconds=60)
        self.assertEqual(self.attribute(url, "ApproximateNumberOfMessagesDelayed"), "1")
        self.sqs.purge_queue(QueueUrl=url)
        self.assertEqual(self.attribute(url, "ApproximateNumberOfMessagesDelayed"), "0")
        self.assertEqual(self.defects(self.served), [])
