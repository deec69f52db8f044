"""A Chromium that a test drives as a person would, over the pipe of the DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.live.browser.driver import LIMIT, OPTIONS, end

_SEEN: Final = 20.0
"""Seconds in which a page shows what it is asked for."""

_KEYS: Final = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    "Space": ("Space", 32, " "),
}
_SHIFT: Final = 8


class PageFailed(AssertionError):
    """The page did not do what a test waits for."""


class Browser:
    """One tab.

    :ivar problems: exceptions of the page, and what its policies forbade.
    """

    def __init__(self, write: int, read: int) -> None:
        self._write = write
        self._read = read
        self._buffer = b""
        self._number = 0
        self._session = ""
        self.problems: list[str] = []

    def attach(self) -> None:
        """Take the first tab."""
        self.wait(lambda: self._pages(), "no tab")
        target = self._pages()[0]["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def _pages(self) -> list[Any]:
        found = self._ask("Target.getTargets")["targetInfos"]
        return [one for one in found if one["type"] == "page"]

    def _ask(self, method: str, **params: Any) -> Any:
        self._number += 1
        number = self._number
        command: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            command["sessionId"] = self._session
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        deadline = time.monotonic() + LIMIT
        while True:
            message = self._next(deadline, method)
            if message.get("id") == number:
                if "error" in message:
                    raise PageFailed(f"{method}: {message['error']}")
                return message["result"]

    def _next(self, deadline: float, why: str) -> Any:
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                raise PageFailed(f"the browser does not answer {why}")
            piece = os.read(self._read, 1 << 20)
            if not piece:
                raise PageFailed(f"the browser has ended before {why}")
            self._buffer += piece
        text, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(text)
        self._note(message)
        return message

    def _note(self, message: Any) -> None:
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(params["exceptionDetails"])[:500])
        elif message.get("method") == "Log.entryAdded" and params["entry"]["source"] in ("security", "javascript"):
            self.problems.append(params["entry"]["text"])

    # What a person does

    def open(self, url: str) -> None:
        """Type an address."""
        self._ask("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page, which may be a promise."""
        found = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise PageFailed(json.dumps(found["exceptionDetails"])[:1000])
        return found["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """Return the text that is shown in an element; nothing if it is not there."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def wait(self, condition: Callable[[], Any], what: str, limit: float = _SEEN) -> Any:
        """Wait until a condition holds."""
        deadline = time.monotonic() + limit
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise PageFailed(what)
            time.sleep(0.03)
        return found

    def see(self, text: str, selector: str = "body", limit: float = _SEEN) -> None:
        """Wait until an element shows a text."""
        deadline = time.monotonic() + limit
        while text not in (shown := self.text(selector)):
            if time.monotonic() > deadline:
                raise PageFailed(f"{text!r} is not shown in {selector}: {shown[:1500]}\n{self.problems}")
            time.sleep(0.03)

    def click(self, selector: str, text: str = "") -> None:
        """Click on the first element with a text, as a mouse does; once more if the element had moved meanwhile."""
        script = f"""(async () => {{
            const all = [...document.querySelectorAll({json.dumps(selector)})];
            const found = all.find((one) => one.textContent.includes({json.dumps(text)}) && !one.disabled);
            if (!found) return null;
            found.scrollIntoView({{block: "center"}});
            // Where it is on the screen is known when that was painted.
            for (let left = 2; left; left -= 1) await new Promise((done) => requestAnimationFrame(done));
            const box = found.getBoundingClientRect();
            window.missed = true;
            found.addEventListener("click", () => {{ window.missed = false; }}, {{capture: true, once: true}});
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""

        def clicked() -> bool:
            x, y = self.wait(lambda: self.run(script), f"there is no {selector} with {text!r}")
            for kind in ("mousePressed", "mouseReleased"):
                self._ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
            return self.run("window.missed") is not True

        self.wait(clicked, f"the click did not reach {selector} with {text!r}")

    def type(self, selector: str, text: str) -> None:
        """Focus a field and type into it, in place of what is there."""
        script = f"""(() => {{
            const found = document.querySelector({json.dumps(selector)});
            found?.focus();
            found?.select?.();
            return Boolean(found);
        }})()"""
        self.wait(lambda: self.run(script), f"there is no {selector}")
        self._ask("Input.insertText", text=text)

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a list."""
        script = f"""(() => {{
            const list = document.querySelector({json.dumps(selector)});
            if (!list) return false;
            list.value = {json.dumps(value)};
            list.dispatchEvent(new Event("change", {{bubbles: true}}));
            return list.value === {json.dumps(value)};
        }})()"""
        self.wait(lambda: self.run(script), f"there is no {value} in {selector}")

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press a key."""
        code, number, text = _KEYS[key]
        common = {"key": " " if key == "Space" else key, "code": code, "windowsVirtualKeyCode": number}
        common["modifiers"] = _SHIFT if shift else 0
        self._ask("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self._ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def tab_to(self, text: str, limit: int = 60) -> None:
        """Press Tab until the element with a text or a label has the focus."""
        script = "(({innerText, ariaLabel, name, id}) => innerText || ariaLabel || name || id)(document.activeElement)"
        for _ in range(limit):
            self.press("Tab")
            if text in str(self.run(script)):
                return
        raise PageFailed(f"Tab does not come to {text!r}")

    def show_as(self, width: int, scheme: str, height: int = 900) -> None:
        """Set the size of the window, and whether the person wants ``light`` or ``dark``."""
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self._ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, file: Path) -> None:
        """Make a picture of the whole page."""
        self.run("window.scrollTo(0, 0)")
        size = self._ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4000), "scale": 1}
        found = self._ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(found["data"]))

    def used_memory(self) -> int:
        """Return the bytes of the page's own heap, after its garbage was collected."""
        self._ask("HeapProfiler.collectGarbage")
        return int(self._ask("Runtime.getHeapUsage")["usedSize"])


@contextmanager
def driving(chromium: str, folder: Path, *options: str) -> Iterator[Browser]:
    """Start a browser that knows nothing yet, and end all of it with the block.

    :param folder: an empty one, for its profile and its output.
    """
    environment = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    their_read, write = os.pipe()
    read, their_write = os.pipe()
    command = [chromium, *OPTIONS, "--remote-debugging-pipe", *options, f"--user-data-dir={folder / 'profile'}"]
    # The protocol is spoken on the descriptors 3 and 4.
    script = f'exec "$@" 3<&{their_read} 4>&{their_write}'
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-c", script, "browser", *command, "about:blank"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(their_read, their_write),
            start_new_session=True,
        )
    os.close(their_read)
    os.close(their_write)
    try:
        browser = Browser(write, read)
        browser.attach()
        browser.show_as(1280, "light")
        yield browser
    finally:
        end(process)
        os.close(write)
        os.close(read)
