"""`surrogateshap tui --serve` in a real browser."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from json import loads
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.browser.driver import Browser, chromedriver

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tui")))}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """What the command tells, of a folder with one spec."""
    (tmp_path / "digits.toml").write_text((ROOT / "specs" / "digits.toml").read_text())
    command = [sys.executable, "-m", "surrogateshap", "tui", "--serve", "--port", "0"]
    process = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        yield process.stderr.readline().strip()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with chromedriver(tmp_path / "log") as base:
        made = Browser(base, tmp_path / "profile", (1200, 800), phone=False)
        try:
            made.command("Network.enable")
            yield made
        finally:
            made.close()


class Screen:
    """What the app has written to the browser so far."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.written = ""
        """Text with its escape codes."""
        self.asked: list[str] = []
        """URLs, of the page and of its socket."""

    def wait(self, text: str) -> None:
        """Until the app has written `text`."""
        for _ in range(600):
            self._read()
            if text in self.written:
                return
            time.sleep(0.1)
        raise AssertionError(f"the app never wrote {text!r}; it wrote {self.written[-2000:]!r}")

    def _read(self) -> None:
        for entry in self._browser._log("performance"):
            event = loads(entry["message"])["message"]
            parameters = event["params"]
            match event["method"]:
                case "Network.webSocketFrameReceived" if parameters["response"]["opcode"] == 2:
                    self.written += b64decode(parameters["response"]["payloadData"]).decode(errors="replace")
                case "Network.requestWillBeSent":
                    self.asked.append(parameters["request"]["url"])
                case "Network.webSocketCreated":
                    self.asked.append(parameters["url"])


def press(browser: Browser, key: str, code: int = 0) -> None:
    text = {} if len(key) > 1 else {"text": key}
    for kind in ("keyDown", "keyUp"):
        browser.command("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)


def test_the_app_runs_in_a_browser_and_asks_nothing_of_the_network(address: str, browser: Browser) -> None:
    assert address.startswith("http://127.0.0.1:")
    browser.open(address)
    screen, light = Screen(browser), "247;247;250"
    screen.wait("digits.toml")
    if folder := os.environ.get("PICTURES"):
        time.sleep(1)
        (Path(folder) / "serve.png").write_bytes(browser.picture())
    assert f"48;2;{light}m" not in screen.written
    press(browser, "t")
    screen.wait(f"48;2;{light}m")
    press(browser, "q")
    for _ in range(200):
        if browser.run("return document.body.classList.contains('-closed')"):
            break
        time.sleep(0.1)
    assert "Runs that were left in the background go on" in browser.run("return document.body.innerText")
    assert {urlsplit(url).hostname for url in screen.asked if url.startswith(("http", "ws"))} == {"127.0.0.1"}
    assert any(urlsplit(url).scheme == "ws" for url in screen.asked)
    assert not [line for line in browser.console() if "SEVERE" in line]


def test_only_the_very_address_is_served_and_on_loopback_alone(address: str) -> None:
    parts = urlsplit(address)
    for path in ("/", "/ws", "/static/js/textual.js", "/static/"):
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(f"http://{parts.netloc}{path}", timeout=10)
        assert raised.value.code == 404
    with suppress(OSError):  # a machine without a network has no other address
        other = socket.gethostbyname(socket.gethostname())
        if not other.startswith("127."):
            with pytest.raises(ConnectionRefusedError), socket.create_connection((other, parts.port or 0), timeout=5):
                pass
