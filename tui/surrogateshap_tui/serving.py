"""The app in a browser of this machine: textual-serve on loopback, behind an address that nobody can guess.

Whoever reaches the app can start runs, and loopback is open to every user of a machine and to every page that a
browser shows. So all that is served, the app's socket too, lies below a random folder.
"""

import contextlib
import ipaddress
import secrets
import shlex
import socket
import sys
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import aiohttp_jinja2
import jinja2
from aiohttp import web
from textual_serve.server import Server

from surrogateshap.errors import SurrogateShapError
from surrogateshap.text import harmless

PORT = 8000


def serve(arguments: Sequence[str], host: str, port: int, say: Callable[[str], None]) -> None:
    """Serves `surrogateshap` with these arguments, anew to every visitor, until it is interrupted.

    `say` is told the address; port 0 takes a free one. Raises SurrogateShapError for a host that is not loopback, and
    for a port that is taken.
    """
    with _listening(loopback(host), port) as listening:
        served = _Served(shlex.join([sys.executable, "-P", "-m", "surrogateshap", *arguments]), listening)
        say(f"{served.address}\nOnly this machine can open it, and only at this very address. Control-C ends it.")
        # What the library has to say of an app that failed is narration, not data.
        with contextlib.redirect_stdout(sys.stderr):
            web.run_app(served.make(), sock=listening, print=None, access_log=None)


def loopback(host: str) -> str:
    """The host's address. Raises SurrogateShapError where others could reach it."""
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback:
            return "127.0.0.1" if host == "localhost" else host
    raise SurrogateShapError(
        f"{harmless(host)} is not loopback: whoever can open the app can start runs",
        "From another machine, tunnel to it: ssh -L 8000:127.0.0.1:8000 HOST",
    )


def _listening(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()  # so that whoever reads the address can already use it
    except (OSError, OverflowError) as error:
        listening.close()
        why = getattr(error, "strerror", None) or error
        raise SurrogateShapError(f"port {port}: {why}", "Choose another with --port; 0 takes a free one.") from error
    return listening


class _Served(Server):
    """textual-serve's page and socket, with a page of our own that asks for nothing from elsewhere."""

    def __init__(self, command: str, listening: socket.socket) -> None:
        host, port = listening.getsockname()[:2]
        public = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        page = Path(str(resources.files("surrogateshap_tui") / "page"))
        super().__init__(command, host, port, title="surrogateshap", public_url=public, templates_path=page)
        self._folder = f"/{secrets.token_urlsafe(16)}"
        self.address = f"{public}{self._folder}/"

    async def make(self) -> web.Application:
        """The routes, all below the folder."""
        app = web.Application()
        aiohttp_jinja2.setup(app, loader=jinja2.FileSystemLoader(self.templates_path), autoescape=True)
        app.add_routes(
            [
                web.get(f"{self._folder}/", self.handle_index, name="index"),
                web.get(f"{self._folder}/ws", self.handle_websocket, name="websocket"),
                web.static(f"{self._folder}/static", self.statics_path, name="static"),
            ]
        )
        return app
