# SPDX-FileCopyrightText: 2026 The DiffMPM authors
# SPDX-License-Identifier: MIT
"""A headless browser for tests: Chromium or Chrome, controlled by the DevTools protocol."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    # Without name resolution only this machine can be reached; other requests fail.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)


def find() -> str:
    """Return the path of the browser: DIFFMPM_BROWSER, or the first on PATH. Skip the test without one."""
    path = os.environ.get("DIFFMPM_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium or Chrome on PATH nor in DIFFMPM_BROWSER")
    return path


class Page:
    """A page of the browser."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._count = 0
        self.requests: list[str] = []
        """Addresses requested by the page."""
        self.problems: list[str] = []
        """Errors printed or thrown by the page."""
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a protocol method and return its result."""
        self._count += 1
        number = self._count
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._connection.recv(timeout=60))
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return dict(message["result"])
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message.get("method") in ("Network.requestWillBeSent", "Network.webSocketCreated"):
            self.requests.append(params["request"]["url"] if "request" in params else params["url"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"].get("exception", params)))
        elif message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def open(self, address: str, width: int, height: int) -> None:
        """Open an address in a window of this size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **metrics)
        self.send("Page.navigate", url="about:blank")  # otherwise a change after # would not reload the page
        self.send("Page.navigate", url=address)

    def evaluate(self, code: str) -> Any:
        """Return the value of a JavaScript expression, awaited."""
        result = self.send("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{code}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, condition: str, seconds: float = 30.0) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(f"(() => {{ try {{ return Boolean({condition}) }} catch {{ return false }} }})()"):
            if time.monotonic() > end:
                raise TimeoutError(f"{condition} within {seconds:g} s; errors: {self.problems}")
            time.sleep(0.05)

    def settle(self) -> None:
        """Wait until pending changes have been drawn."""
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def key(self, key: str) -> None:
        """Press and release a key."""
        for event in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=event, key=key)
        self.settle()

    def drag(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Drag with the left button."""
        for event, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            self.send("Input.dispatchMouseEvent", type=event, x=x, y=y, button="left", buttons=1, clickCount=1)
        self.settle()

    def screenshot(self) -> np.ndarray:
        """Return a screenshot, uint8, shape (H, W, 3)."""
        from PIL import Image

        data = base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Start a browser with a new profile in the folder and yield its page."""
    client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
    command = [find(), *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            port = folder / "DevToolsActivePort"
            end = time.monotonic() + 60
            while not (port.exists() and port.read_text().count("\n") == 1):
                assert process.poll() is None, f"{command[0]} ended with status {process.returncode}"
                assert time.monotonic() < end, f"{command[0]} opened no port within 60 s"
                time.sleep(0.05)
            number, path = port.read_text().split("\n")
            with client.connect(f"ws://127.0.0.1:{number}{path}", max_size=None, proxy=None) as root:
                root.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
                targets = json.loads(root.recv(timeout=60))["result"]["targetInfos"]
                target = next(t["targetId"] for t in targets if t["type"] == "page")
                address = f"ws://127.0.0.1:{number}/devtools/page/{target}"
                with client.connect(address, max_size=None, proxy=None) as connection:
                    yield Page(connection)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
