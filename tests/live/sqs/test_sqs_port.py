"""The port that SQS has for itself, in a daemon with two workers: over TCP and TLS, with boto3 at its root."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
from typing import Any
from unittest import SkipTest
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from queuey.model.applications.application import digest_of
from queuey.model.applications.aws_accounts import account_of
from queuey.model.applications.aws_keys import aws_key
from tests.live.clients import KEY, ask
from tests.live.daemon.test_daemon import LiveTestCase, wait_until
from tests.live.running import LIMIT, free_port, write_settings

run_in = "test"

PAIR = aws_key(digest_of(KEY))


class PortTests(LiveTestCase):
    def client(self, url: str) -> Any:
        found = boto3.client(
            "sqs",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=PAIR.id,
            aws_secret_access_key=PAIR.secret,
            verify=str(self.folder / "cert.pem"),
            config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=30),
        )
        self.addCleanup(found.close)
        return found

    def make_certificate(self) -> None:
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                   "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=LIMIT, cwd=self.folder)

    def test_served_by_workers(self) -> None:
        if shutil.which("openssl") is None:
            raise SkipTest("there is no openssl to make a certificate with")
        plain, secure = free_port(), free_port()
        self.make_certificate()
        tls = f"ssl:{secure}:privateKey=key.pem:certKey=cert.pem:interface=127.0.0.1"
        listen = f"listen = tcp:{plain}:interface=127.0.0.1\n    {tls}\n"
        self.settings = write_settings(self.folder, self.port, workers=2)
        self.add_settings(f"[application:queuey]\nsqs = true\n[sqs]\n{listen}[logging]\nfile = queuey.log\n")
        daemon, log = self.serve(), self.folder / "queuey.log"
        self.assertIn(f"clients of SQS are served on 127.0.0.1:{plain}, 127.0.0.1:{secure}", log.read_text())
        here, there = self.client(f"http://127.0.0.1:{plain}"), self.client(f"https://127.0.0.1:{secure}")
        url = here.create_queue(QueueName="q")["QueueUrl"]
        self.assertEqual(url, f"http://127.0.0.1:{plain}/{account_of('queuey')}/q")
        secure_url = there.get_queue_url(QueueName="q")["QueueUrl"]
        self.assertEqual(urlsplit(secure_url)[:2], ("https", f"127.0.0.1:{secure}"))
        for number in range(4):
            here.send_message(QueueUrl=url, MessageBody=f"m{number}")
        found = set[str]()
        while len(found) < 4:
            for one in there.receive_message(QueueUrl=secure_url, WaitTimeSeconds=5)["Messages"]:
                there.delete_message(QueueUrl=secure_url, ReceiptHandle=one["ReceiptHandle"])
                found.add(one["Body"])
        self.assertEqual(found, {f"m{number}" for number in range(4)})
        # No other API is reached there, and SQS is where it was.
        self.assertEqual(ask(plain, "GET", "/__heartbeat__")[0], 200)
        self.assertEqual(ask(plain, "GET", "/v1/queuey")[0], 404)
        self.assertEqual(ask(self.port, "GET", "/v1/queuey")[0], 200)
        self.assertEqual(self.client(f"http://127.0.0.1:{self.port}/sqs").list_queues()["QueueUrls"][0][-2:], "/q")
        self.make_certificate()
        before = ssl.get_server_certificate(("127.0.0.1", secure), timeout=LIMIT)
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: " reloaded " in log.read_text(), "not reloaded")
        wait_until(
            lambda: ssl.get_server_certificate(("127.0.0.1", secure), timeout=LIMIT) != before, "the old certificate"
        )
        self.assertEqual(daemon.signal(signal.SIGTERM), 0)
        self.assertRaises(OSError, ask, plain, "GET", "/__heartbeat__")

    def test_a_port_that_is_taken(self) -> None:
        """The daemon says so in one line, as for its other ports."""
        self.add_settings(f"[sqs]\nlisten = tcp:{self.port}\n")
        (line,) = self.refused_start()
        self.assertIn(f"cannot listen on tcp:{self.port}", line)
