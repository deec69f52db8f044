"""What tests of the frame of v2 begin with: a daemon with one queue."""

from __future__ import annotations

from tests.http.api_support import SETTINGS, V2TestCase
from tests.http.wire_support import Client

HERE = "https://app.example.org"


PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Origin": HERE}


QUEUE_METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"


class FrameTestCase(V2TestCase):
    """A daemon with one queue."""

    def setUp(self) -> None:
        super().setUp()
        self.make_queue()

    def use(self, settings: str) -> None:
        """Go on with other settings."""
        self.assembly = self.make_assembly(SETTINGS + settings)
        self.client = Client(self.assembly.site)
