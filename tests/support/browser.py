# Copyright (c) mailops contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Chromium without a window, driven through its WebDriver: what a page looks like and asks for.

It resolves no name, so that a page can't reach anything outside of this machine.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import typing as t
from pathlib import Path

_TIMEOUT = 120  # seconds, for what takes one or two on a machine with nothing else to do

_ARGUMENTS = (
    "--headless",
    "--no-sandbox",  # the tests are root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
_STARTED = re.compile(r"started successfully on port (\d+)")


class Browser:
    """A browser with a profile of its own, for the length of a ``with`` block."""

    def __enter__(self) -> Browser:
        """Start it. Raises RuntimeError if it is not installed or does not start."""
        driver = shutil.which("chromedriver")
        browser = shutil.which("chromium")
        if driver is None or browser is None:
            raise RuntimeError("these tests need Debian's packages chromium and chromium-driver")
        self._home = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        self._driver = subprocess.Popen(
            [driver, "--port=0"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "HOME": self._home.name, "TMPDIR": self._home.name},
            start_new_session=True,
        )
        self._session = ""
        try:
            self._port = self._read_port()
            self._open_session(browser)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End it with all its processes, and remove its profile."""
        try:
            if self._session:
                self._call("DELETE", "")
        finally:
            self._session = ""
            os.killpg(self._driver.pid, signal.SIGKILL)
            self._driver.communicate()
            self._home.cleanup()

    def open(self, page: Path | str, width: int = 1280, height: int = 800) -> None:
        """Show a file or a URL, in a window of this size; what was logged before is forgotten."""
        self.resize(width, height)
        for kind in ("browser", "performance"):
            self._log(kind)
        url = page.resolve(strict=True).as_uri() if isinstance(page, Path) else page
        self._call("POST", "/url", {"url": url})

    def resize(self, width: int, height: int = 800, *, dark: bool = False) -> None:
        """Have a window of this size, as narrow as a phone's too, and a preference for colours."""
        # Of the window itself the browser makes none that is narrower than 500 pixels.
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._devtools("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setEmulatedMedia", features=[scheme])

    def evaluate(self, script: str, *arguments: t.Any) -> t.Any:
        """Return what the body of a JavaScript function returns for ``arguments``, as JSON has it."""
        return self._call("POST", "/execute/sync", {"script": script, "args": arguments})

    def texts(self, selector: str) -> list[str]:
        """The visible texts of the elements that a CSS selector selects, in order."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText.trim())"
        found: list[str] = self.evaluate(script, selector)
        return found

    def overflow(self) -> int:
        """How many pixels the page is wider than the window, which would have to be scrolled."""
        pixels: int = self.evaluate(
            "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
        )
        return pixels

    def console(self) -> list[str]:
        """The errors and warnings of the page, and all else it wrote to the console."""
        return [f"{entry['level']}: {entry['message']}" for entry in self._log("browser")]

    def requests(self) -> list[str]:
        """The URLs that the page has asked for since it was opened, its own among them.

        Those that are their own content, ``data:``, ask for nothing, and ``chrome:`` is what the
        browser asks for its own windows: no page may.
        """
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        urls = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith(("data:", "chrome:"))]

    def screenshot(self, path: Path, *, whole: bool = True) -> Path:
        """Write a PNG file of the whole page, or of what the window shows of it."""
        image = self._devtools("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(image))
        return path

    def _read_port(self) -> int:
        assert self._driver.stdout is not None
        said = []
        for line in self._driver.stdout:
            said.append(line)
            found = _STARTED.search(line)
            if found:
                return int(found[1])
        raise RuntimeError(f"chromedriver did not start: {''.join(said)}")

    def _open_session(self, browser: str) -> None:
        options = {"binary": browser, "args": [*_ARGUMENTS, f"--user-data-dir={self._home.name}/p"]}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        opened = self._call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/{opened['sessionId']}"

    def _log(self, kind: str) -> list[dict[str, t.Any]]:
        entries: list[dict[str, t.Any]] = self._call("POST", "/se/log", {"type": kind})
        return entries

    def _devtools(self, command: str, **parameters: t.Any) -> dict[str, t.Any]:
        asked = {"cmd": command, "params": parameters}
        answer: dict[str, t.Any] = self._call("POST", "/goog/cdp/execute", asked)
        return answer

    def _call(self, method: str, path: str, body: t.Any = None) -> t.Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/session{self._session}{path}", content)
            answer = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"{path or method}: {answer['error']}: {answer.get('message')}")
        return answer
