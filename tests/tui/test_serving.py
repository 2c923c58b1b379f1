"""What `surrogateshap tui --serve` refuses; the rest is tested in a browser."""

import socket
import sys

import pytest
from click.testing import CliRunner
from surrogateshap_tui.serving import loopback, serve

from surrogateshap.cli.main import cli
from surrogateshap.errors import MissingExtraError, SurrogateShapError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_loopback_is_served(host: str) -> None:
    assert loopback(host) == host.replace("localhost", "127.0.0.1")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.2", "example.org", "", "127.0.0.1.example.org"])
def test_other_hosts_are_refused_with_a_remedy(host: str) -> None:
    with pytest.raises(SurrogateShapError, match="is not loopback") as raised:
        serve([], host, 0, print)
    assert "ssh -L" in raised.value.remedy


def test_a_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SurrogateShapError, match=r"port .* in use") as raised:
            serve([], "127.0.0.1", taken.getsockname()[1], print)
    assert "--port" in raised.value.remedy


def test_an_impossible_port_is_told() -> None:
    with pytest.raises(SurrogateShapError, match="port 70000"):
        serve([], "127.0.0.1", 70_000, print)


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "surrogateshap_tui.serving")
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    result = CliRunner().invoke(cli, ["tui", "--serve"])
    assert isinstance(result.exception, MissingExtraError)
    assert result.exception.exit_code == 4
    assert result.exception.remedy == 'pip install "surrogateshap[serve]"'
