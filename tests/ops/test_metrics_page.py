"""The page with the metrics, of a whole daemon in memory: how it is asked for, by whom, and how it is made."""

from __future__ import annotations

import prometheus_client
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from queuey import __version__
from queuey.model.telemetry.counts import Counter, Gauge, Histogram, gauge
from queuey.ops.metrics.text import OPENMETRICS, PIECE, PLAIN, pieces, registry
from queuey.service.parts.reactor_lag import BEAT
from tests.http.api_support import SETTINGS
from tests.http.responses import Response
from tests.http.wire_support import Connection, Fields
from tests.ops.support import OpsTestCase

TOKEN = "a-token-that-only-operators-have"


def turn(clock: Clock) -> None:
    """Let the reactor turn until nothing that is due is left."""
    while any(call.getTime() <= clock.seconds() for call in clock.getDelayedCalls()):
        clock.advance(0)


class PageCase(OpsTestCase):
    """Asks for the metrics."""

    def begin(self, headers: Fields = (), method: str = "GET") -> Connection:
        return self.ops.start(method, "/metrics", headers)

    def scrape(self, headers: Fields = (), method: str = "GET") -> Response:
        connection = self.begin(headers, method)
        turn(self.clock)
        response = connection.response(method, only_json=False)
        connection.hang_up()
        return response

    def values(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """Each value, by the name of its line and the values of its labels, which are sorted by their names."""
        text = self.scrape().body.decode()
        samples = [sample for family in read_text(text) for sample in family.samples]
        found = {
            (each.name, tuple(each.labels[label] for label in sorted(each.labels))): each.value for each in samples
        }
        self.assertEqual(len(found), len(samples))
        return found


class PageTests(PageCase):
    """The page."""

    def test_what_it_says(self) -> None:
        self.assertEqual(self.values()["queuey_build_info", (__version__,)], 1)

    def test_whether_it_is_ready_and_in_time(self) -> None:
        self.assembly.pulse.start()
        self.clock.advance(BEAT + 0.3)
        values = self.values()
        self.assertEqual((values["queuey_ready", ()], values["queuey_draining", ()]), (1, 0))
        self.assertAlmostEqual(values["queuey_reactor_delay_seconds_sum", ()], 0.3)
        self.call("drain")
        values = self.values()
        self.assertEqual((values["queuey_ready", ()], values["queuey_draining", ()]), (0, 1))
        self.assembly.pulse.stop()

    def test_formats(self) -> None:
        for accept, kind in (
            (None, PLAIN),
            ("*/*", PLAIN),
            ("text/plain;version=0.0.4", PLAIN),
            ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2", OPENMETRICS),
            ("application/OpenMetrics-Text", OPENMETRICS),
            ("application/openmetrics-text;q=0, text/plain", PLAIN),
            ("application/openmetrics-text;q=0.00", PLAIN),
            ("application/openmetrics-text;version=9; x", OPENMETRICS),
            (",;,", PLAIN),
        ):
            response = self.scrape(() if accept is None else {"Accept": accept})
            self.assertEqual((response.status, response.header("content-type")), (200, kind.content_type), accept)
            self.assertEqual(response.header("vary"), "Accept")
            read = read_openmetrics if kind is OPENMETRICS else read_text
            self.assertIn("queuey_build_info", [family.name for family in read(response.body.decode())])
            self.assertEqual(response.body.endswith(b"# EOF\n"), kind is OPENMETRICS)

    def test_head_tells_of_the_same_length(self) -> None:
        head = self.scrape(method="HEAD")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertGreater(int(head.header("content-length") or 0), 1000)

    def test_other_methods(self) -> None:
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            response = self.ops.request(method, "/metrics")
            self.assertEqual((response.status, response.header("allow")), (405, "GET, HEAD"), method)
            self.assertEqual(response.json["error"]["message"], "This path takes GET, HEAD.")

    def test_no_browser_and_no_other_name(self) -> None:
        for field in ({"Origin": "http://localhost"}, {"Sec-Fetch-Site": "none"}, {"Host": "evil.example"}):
            self.assertEqual(self.scrape(field).status, 403, field)

    def test_who_hangs_up_has_no_answer_made(self) -> None:
        connection = self.begin()
        self.assertEqual(connection.received, b"")
        connection.hang_up()
        turn(self.clock)
        self.assertEqual(connection.received, b"")
        self.assertEqual(self.assembly.ops.busy, 0)

    def test_nothing_is_where_others_may_add(self) -> None:
        names = [family.name for family in prometheus_client.REGISTRY.collect()]
        self.assertEqual([name for name in names if name.startswith("queuey")], [])


class TokenTests(PageCase):
    """Where the port has a token."""

    server = f"[server]\nops = tcp:5001:interface=127.0.0.1\nops_token = {TOKEN}\n"
    settings = SETTINGS.replace("[storage]", f"{server}[storage]")

    def test_it_has_to_be_shown(self) -> None:
        for shown in ((), {"Authorization": "Bearer another-token-of-16-characters"}):
            self.assertEqual(self.scrape(shown).status, 401)
        self.assertEqual(self.scrape({"Authorization": f"Bearer {TOKEN}"}).status, 200)


class OffTests(PageCase):
    """Where nothing is to be counted."""

    settings = f"{SETTINGS}[metrics]\nenabled = false\n"

    def test_there_is_no_such_page(self) -> None:
        self.assertEqual(self.scrape().status, 404)
        self.assertEqual(self.assembly.metrics, ())


class PiecesTests(SynchronousTestCase):
    """Metrics as pieces of text."""

    def texts(self, *metrics: Counter | Histogram | Gauge) -> list[str]:
        """The pieces that are about these metrics."""
        every = [piece.decode() for piece in pieces(registry(metrics), PLAIN)]
        return [piece for piece in every if "queuey" in piece]

    def test_a_counter_of_many_values_comes_in_pieces(self) -> None:
        counter = Counter("queuey_x_total", "What x is.", ("application",))
        names = [f"a{n}" for n in range(2 * PIECE + 1)]
        for n, name in enumerate(names):
            counter.add((name,), n)
        texts = self.texts(counter)
        self.assertEqual([len(text.splitlines()) for text in texts], [PIECE + 2, PIECE, 1])
        lines = "".join(texts).splitlines()
        self.assertEqual(lines[:2], ["# HELP queuey_x_total What x is.", "# TYPE queuey_x_total counter"])
        self.assertEqual(lines[2:], [f'queuey_x_total{{application="{name}"}} {n}.0' for n, name in enumerate(names)])

    def test_a_histogram(self) -> None:
        histogram = Histogram("queuey_x_seconds", "How long.", (0.5, 1.0), ("route",))
        for value in (0.25, 0.5, 0.75, 8):
            histogram.observe(value, ("/x",))
        self.assertEqual(
            "".join(self.texts(histogram)).splitlines()[2:],
            [
                'queuey_x_seconds_bucket{le="0.5",route="/x"} 2.0',
                'queuey_x_seconds_bucket{le="1.0",route="/x"} 3.0',
                'queuey_x_seconds_bucket{le="+Inf",route="/x"} 4.0',
                'queuey_x_seconds_count{route="/x"} 4.0',
                'queuey_x_seconds_sum{route="/x"} 9.5',
            ],
        )

    def test_labels_cannot_make_lines(self) -> None:
        counter = Counter("queuey_x_total", "What x is.", ("code",))
        counter.add(('a"} 1\n# TYPE \\',))
        self.assertEqual(self.texts(counter)[0].splitlines()[2:], ['queuey_x_total{code="a\\"} 1\\n# TYPE \\\\"} 1.0'])

    def test_what_was_not_counted_yet(self) -> None:
        unknown = gauge("queuey_z", "Z.", lambda: None)
        texts = self.texts(Counter("queuey_x_total", "X."), Counter("queuey_y_total", "Y.", ("a",)), unknown)
        values = [line for text in texts for line in text.splitlines() if not line.startswith("#")]
        self.assertEqual(values, ["queuey_x_total 0.0"])

    def test_two_of_one_name_are_refused(self) -> None:
        self.assertRaises(ValueError, registry, [Counter("queuey_x_total", "X."), Counter("queuey_x_total", "Y.")])
