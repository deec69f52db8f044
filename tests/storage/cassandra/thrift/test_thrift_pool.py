"""The nodes of a cluster over Thrift: how they are found, reached, lost and found again."""

from __future__ import annotations

import ssl
from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from queuey.errors import Unavailable
from queuey.model.telemetry.counts import Gauge
from queuey.storage.cassandra.cluster.port import AccessRefused, Kind, Level, Node, Statement
from queuey.storage.cassandra.cluster.settings import Host, SessionSettings
from queuey.storage.cassandra.cluster.thrift.calls import api
from queuey.storage.cassandra.cluster.thrift.errors import of_connecting
from queuey.storage.cassandra.cluster.thrift.node import delay
from queuey.storage.cassandra.cluster.thrift.pool import REFRESH, nodes_of
from queuey.storage.cassandra.cluster.thrift.session import ThriftSession
from queuey.storage.cassandra.cluster.thrift.wire import Lost
from tests.storage.cassandra.thrift.thrift_support import HALF, HANG_UP, INVALID, PORT, SILENCE, Network, Peer, rows

READ = Statement("SELECT a FROM k.t WHERE b = ?", Kind.READ)
CONNECTIONS = 3


class PoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.first, self.second, self.third = Peer("10.0.0.1"), Peer("10.0.0.2"), Peer("10.0.0.3")
        self.peers = (self.first, self.second, self.third)
        self.network = Network(*self.peers)

    def make(self, *hosts: str, **more: Any) -> ThriftSession:
        named = tuple(Host(host, PORT) for host in hosts or ("10.0.0.1",))
        return ThriftSession(SessionSettings(named, **more), CONNECTIONS, self.network)

    def connected(self, *hosts: str, **more: Any) -> ThriftSession:
        session = self.make(*hosts, **more)
        connected = session.connect()
        self.network.settle()
        self.successResultOf(connected)
        return session

    def fails(self, answer: Deferred[Any], kind: type[Exception] = Unavailable) -> str:
        self.network.settle()
        return str(self.failureResultOf(answer, kind).value)

    def lines(self) -> list[int]:
        return [len(peer.lines) for peer in self.peers]

    def connections(self, session: ThriftSession) -> dict[str, float]:
        """As they are counted."""
        (metric,) = session.metrics
        assert isinstance(metric, Gauge)
        return {labels[0]: number for labels, number in metric.read().items()}

    def addresses(self, session: ThriftSession) -> list[str]:
        return [node.address for node in session.nodes()]

    # To find the cluster

    def test_all_nodes_are_found_and_reached(self) -> None:
        session = self.connected()
        self.assertEqual(list(session.nodes()), [Node(f"10.0.0.{n}", "dc1") for n in (1, 2, 3)])
        self.assertEqual(self.lines(), [CONNECTIONS] * 3)
        self.assertNotIn("login", self.first.names())
        self.successResultOf(session.connect())
        self.assertEqual(self.lines(), [CONNECTIONS] * 3)

    def test_the_first_host_that_answers_tells_of_the_others(self) -> None:
        self.first.up = False
        self.second.script["describe_ring"] = [HANG_UP]
        session = self.connected("10.0.0.9", "10.0.0.1", "10.0.0.2", "10.0.0.3")
        self.assertEqual(self.addresses(session), ["10.0.0.2", "10.0.0.3"])

    def test_the_nodes_of_ones_own_data_centre(self) -> None:
        self.third.centre = "dc2"
        self.assertEqual(self.addresses(self.connected()), ["10.0.0.1", "10.0.0.2"])
        self.assertEqual(self.addresses(self.connected(local_dc="dc2")), ["10.0.0.3"])
        self.assertEqual(self.addresses(self.connected("10.0.0.3")), ["10.0.0.3"])

    def test_a_data_centre_that_is_not_there(self) -> None:
        session = self.make(local_dc="dc7")
        self.assertIn("no data centre named 'dc7', but dc1.", self.fails(session.connect(), AccessRefused))
        self.assertEqual(self.lines(), [0] * 3)

    def test_nobody_answers(self) -> None:
        for peer in self.peers:
            peer.up = False
        session = self.make("10.0.0.1", "10.0.0.2")
        text = self.fails(session.connect())
        self.assertIn("10.0.0.1:9160: ", text)
        self.assertIn("10.0.0.2:9160: ", text)
        self.assertEqual(list(session.nodes()), [])
        self.assertEqual(self.network.getDelayedCalls(), [])
        self.second.up = True
        again = session.connect()
        self.network.settle()
        self.successResultOf(again)
        self.assertEqual(self.addresses(session), ["10.0.0.2"])

    def test_a_host_that_is_silent(self) -> None:
        self.first.silent = True
        session = self.make("10.0.0.1", "10.0.0.2", connect_timeout=2.0)
        connected = session.connect()
        self.network.wait(1.9)
        self.assertNoResult(connected)
        self.network.wait(0.2)
        self.successResultOf(connected)
        self.assertEqual(self.addresses(session), ["10.0.0.2", "10.0.0.3"])

    def test_nodes_that_can_be_found_and_not_reached(self) -> None:
        self.first.ring = (Peer("10.9.9.9"), Peer("10.9.9.8"))
        session = self.make()
        text = self.fails(session.connect())
        self.assertIn("10.9.9.9: ", text)
        self.assertIn("10.9.9.8: ", text)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_one_connection_is_enough_to_begin(self) -> None:
        self.first.ring = (Peer("10.9.9.9"), self.second)
        self.assertEqual(self.addresses(self.connected()), ["10.0.0.2"])

    # Who we are

    def test_a_password(self) -> None:
        for peer in self.peers:
            peer.password = "right"
        session = self.connected(username="me", password="right")
        self.assertEqual(len(session.nodes()), 3)
        self.assertEqual(self.first.names()[:3], ["login", "execute_cql3_query", "describe_ring"])
        self.assertEqual(self.second.calls[0][1].auth_request.credentials, {"username": "me", "password": "right"})

    def test_a_wrong_password(self) -> None:
        self.first.password = "right"
        text = self.fails(self.make(username="me", password="secret").connect(), AccessRefused)
        self.assertIn("refuses this username and password", text)
        self.assertNotIn("secret", text)
        self.assertEqual(self.lines(), [0] * 3)

    def test_no_password_where_one_is_asked_for(self) -> None:
        self.first.password = "right"
        self.assertIn("asks for a username and a password", self.fails(self.make().connect(), AccessRefused))

    def test_a_node_that_cannot_look_passwords_up_now(self) -> None:
        self.first.script["login"] = [api.AuthenticationException(why="Unable to perform authentication")]
        self.fails(self.make(username="me", password="x").connect())

    def test_while_one_may_let_us_in_it_is_of_use_to_try_again(self) -> None:
        self.first.password = "right"
        self.second.up = False
        self.fails(self.make("10.0.0.1", "10.0.0.2").connect())

    def test_what_does_not_speak_thrift(self) -> None:
        self.first.script["execute_cql3_query"] = [b"\x84\x00\x00\x00\x06\x00\x00\x00\x00"]
        self.assertIn("does not speak framed Thrift", self.fails(self.make().connect(), AccessRefused))

    def test_who_may_not_read(self) -> None:
        self.first.script["execute_cql3_query"] = [INVALID(why="User me has no SELECT permission")]
        self.assertIn("does not let us in", self.fails(self.make().connect(), AccessRefused))

    def test_answers_that_make_no_sense(self) -> None:
        for answer in (HALF, rows([], []), rows([])):
            self.first.script["execute_cql3_query"] = [answer]
            self.fails(self.make().connect())
        self.first.script["describe_ring"] = [INVALID(why="There is no ring")]
        self.fails(self.make().connect(), AccessRefused)

    def test_errors_of_tls(self) -> None:
        lost = Lost("the connection ended", True, ssl.SSLError("certificate verify failed"))
        error = of_connecting({"10.0.0.1": lost}, (ssl.SSLError,))
        self.assertIsInstance(error, AccessRefused)
        self.assertIn("TLS: ", str(error))
        self.assertIsInstance(of_connecting({"10.0.0.1": lost}, ()), Unavailable)

    # To lose nodes

    def test_a_node_that_dies_is_not_asked(self) -> None:
        session = self.connected()
        self.assertEqual(self.connections(session), dict.fromkeys(["10.0.0.1", "10.0.0.2", "10.0.0.3"], CONNECTIONS))
        self.first.die()
        self.network.settle()
        self.assertEqual(self.addresses(session), ["10.0.0.2", "10.0.0.3"])
        self.assertEqual(self.connections(session), {"10.0.0.1": 0, "10.0.0.2": CONNECTIONS, "10.0.0.3": CONNECTIONS})
        for _ in range(20):
            answer = session.execute(READ, (b"x",), Level.ONE)
            self.network.settle()
            self.successResultOf(answer)

    def test_a_node_is_tried_again_after_a_delay_that_grows(self) -> None:
        self.connected()
        self.network.wait(10)
        self.first.die()
        self.first.connections.clear()
        times = [self.network.seconds()]
        self.network.wait(20, 0.01)
        times += self.first.connections
        gaps = [round(later - before, 1) for before, later in pairwise(times)]
        self.assertEqual(gaps, [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 4.0, 4.0, 4.0])
        self.assertEqual([delay(n) for n in (0, 1, 2, 6, 10**6)], [0.1, 0.2, 0.4, 4.0, 4.0])

    def test_a_node_that_comes_back(self) -> None:
        session = self.connected()
        for _ in range(6):
            session.execute(READ, (b"x",), Level.ONE)
        self.network.settle()
        self.first.die()
        self.network.wait(30)
        self.first.up = True
        self.first.prepared.clear()
        self.first.calls.clear()
        self.network.wait(4.1)
        self.assertEqual(self.lines(), [CONNECTIONS] * 3)
        self.assertEqual(len(session.nodes()), 3)
        for _ in range(6):
            answer = session.execute(READ, (b"x",), Level.ONE)
            self.network.settle()
            self.successResultOf(answer)
        self.assertEqual(self.first.texts(), [READ.text])
        self.assertEqual(len(self.first.executed()), 2)

    def test_a_node_that_hangs_up_at_once_is_not_called_all_the_time(self) -> None:
        self.connected()
        self.first.connections.clear()

        def hang_up() -> None:
            for line in list(self.first.lines):
                line.loseConnection()

        for _ in range(200):
            hang_up()
            self.network.wait(0.1, 0.1)
        self.assertLess(len(self.first.connections), 40)

    def test_one_connection_is_lost(self) -> None:
        session = self.connected()
        self.first.lines[0].loseConnection()
        self.network.settle()
        self.assertEqual(self.lines(), [CONNECTIONS - 1, CONNECTIONS, CONNECTIONS])
        self.assertEqual(len(session.nodes()), 3)
        self.network.wait(1)
        self.assertEqual(self.lines(), [CONNECTIONS] * 3)

    def test_no_node_is_left(self) -> None:
        session = self.connected()
        for peer in self.peers:
            peer.die()
        self.network.settle()
        answer = session.execute(READ, (b"x",), Level.ONE)
        self.assertIn("no node is up", self.fails(answer))

    def test_idle_connections_are_asked_for_a_sign_of_life(self) -> None:
        session = self.connected(heartbeat=2.0)
        self.network.wait(2.1)
        self.assertEqual(self.first.names().count("describe_cluster_name"), CONNECTIONS)
        self.first.silent = True
        self.network.wait(4.1)
        self.assertEqual(self.addresses(session), ["10.0.0.2", "10.0.0.3"])
        self.assertLess(self.second.names().count("describe_cluster_name"), 4 * CONNECTIONS)

    # Nodes come and go

    def test_nodes_that_join_and_leave(self) -> None:
        fourth = Peer("10.0.0.4")
        session = self.connected()
        self.network.peers["10.0.0.4"] = fourth
        for peer in self.peers:
            peer.ring = (self.first, self.second, fourth)
        self.network.wait(REFRESH + 1, 1)
        self.assertEqual(self.addresses(session), ["10.0.0.1", "10.0.0.2", "10.0.0.4"])
        self.assertEqual(self.lines(), [CONNECTIONS, CONNECTIONS, 0])

    def test_a_node_that_joins_and_cannot_be_reached(self) -> None:
        session = self.connected()
        fourth = Peer("10.0.0.4")
        fourth.up = False
        self.network.peers["10.0.0.4"] = fourth
        for peer in self.peers:
            peer.ring = (*self.peers, fourth)
        self.network.wait(REFRESH + 1, 1)
        self.assertEqual(len(session.nodes()), 3)
        fourth.up = True
        self.network.wait(5)
        self.assertEqual(len(session.nodes()), 4)

    def test_a_look_at_the_nodes_that_fails(self) -> None:
        session = self.connected()
        for peer in self.peers:
            peer.script["describe_ring"] = [INVALID(why="?")]
        self.network.wait(REFRESH + 1, 1)
        self.assertEqual(len(session.nodes()), 3)

    def test_a_data_centre_that_goes_is_kept_in_mind(self) -> None:
        session = self.connected()
        for peer in self.peers:
            peer.ring = (Peer("10.0.0.8", "dc2"),)
        self.network.wait(REFRESH + 1, 1)
        self.assertEqual(len(session.nodes()), 3)

    def test_all_nodes_have_moved(self) -> None:
        session = self.connected("10.0.0.1", "10.0.0.4")
        for peer in self.peers:
            peer.die()
        fourth = Peer("10.0.0.4")
        self.network.peers["10.0.0.4"] = fourth
        self.network.wait(REFRESH + 1, 1)
        self.assertEqual(self.addresses(session), ["10.0.0.4"])

    def test_addresses_that_are_no_addresses(self) -> None:
        details = [api.EndpointDetails(host="10.0.0.7", datacenter="x")] * 2
        found = nodes_of(
            [
                api.TokenRange(
                    endpoints=["10.0.0.7", "10.0.0.8"],
                    rpc_endpoints=["0.0.0.0", "10.0.1.8"],
                    endpoint_details=details,
                ),
                api.TokenRange(endpoints=["10.0.0.9"], rpc_endpoints=None, endpoint_details=details[:1]),
            ]
        )
        self.assertEqual(list(found), ["10.0.0.7", "10.0.1.8", "10.0.0.9"])

    # The end

    def test_the_end_leaves_nothing(self) -> None:
        session = self.connected()
        self.first.die()
        self.network.settle()
        ends = session.close()
        self.assertNoResult(ends)
        self.network.settle()
        self.successResultOf(ends)
        self.assertEqual((self.lines(), self.network.getDelayedCalls()), ([0] * 3, []))

    def test_the_end_while_it_begins(self) -> None:
        outcomes: list[bool] = []
        for turns in range(20):
            self.setUp()
            session = self.make()
            fired: list[None] = []
            connected = session.connect()
            connected.addCallback(fired.append)
            for _ in range(turns):
                self.network.advance(0)
            outcomes.append(bool(fired))
            ends = session.close()
            self.network.settle()
            self.successResultOf(ends)
            if fired:
                self.successResultOf(connected)
            else:
                self.fails(connected)
            self.assertEqual((self.lines(), self.network.getDelayedCalls()), ([0] * 3, []))
        self.assertEqual(outcomes, sorted(outcomes))
        self.assertIn(True, outcomes)

    def test_the_end_while_a_host_is_silent(self) -> None:
        self.first.script["execute_cql3_query"] = [SILENCE]
        session = self.make("10.0.0.1", "10.0.0.2")
        connected = session.connect()
        self.network.settle()
        ends = session.close()
        self.network.settle()
        self.successResultOf(ends)
        self.fails(connected)
        self.assertEqual(self.second.connections, [])
        self.assertEqual((self.lines(), self.network.getDelayedCalls()), ([0] * 3, []))

    def test_the_end_while_a_host_does_not_even_accept(self) -> None:
        self.first.accepts = False
        session = self.make()
        connected = session.connect()
        self.network.settle()
        ends = session.close()
        self.network.settle()
        self.successResultOf(ends)
        self.fails(connected)
        self.assertEqual(self.network.getDelayedCalls(), [])

    # The log

    def test_who_comes_and_goes_is_logged_once(self) -> None:
        with capturedLogs() as logged:
            self.connected()
            self.first.die()
            self.network.wait(10)
            self.first.up = True
            self.network.wait(5)
            for peer in self.peers:
                peer.ring = (self.first, self.second)
            self.network.wait(REFRESH, 1)
        found = [(str(event["address"])[-1], event["event"]) for event in logged if "address" in event]
        up = [(n, "node-up") for n in "123"]
        self.assertEqual(found, [*up, ("1", "node-down"), ("1", "node-up"), ("3", "node-gone")])
