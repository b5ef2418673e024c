"""Who may use the page."""

import socket

import pytest

from sot_tracker.view.access import Access, address_to_open, host_name, is_loopback
from sot_tracker.view.config import ViewConfig

LOCAL = Access.of(ViewConfig())
OPEN = Access.of(ViewConfig(host="0.0.0.0", names="robot.lan, Other"))


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:8080", "localhost"),
        ("LocalHost", "localhost"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:8080", "::1"),
        (None, None),
        ("", None),
        ("localhost:http", None),
        ("localhost:99999", None),
        ("localhost/evil", None),
        ("me@localhost", None),
        ("[::1", None),
        ("localhost; script-src *", "localhost; script-src *"),  # a name that is nobody's
    ],
)
def test_the_name_in_a_host_header(header, name):
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("host", "local", "everywhere"),
    [
        ("localhost:9000", True, True),  # another port: the page through a tunnel
        ("127.0.0.1:8080", True, True),
        ("127.1.2.3", True, True),
        ("[::1]:8080", True, True),
        ("192.168.1.5:8080", False, True),
        ("[fe80::1]:8080", False, True),
        ("evil.example:8080", False, False),
        ("robot.lan", False, True),
        ("other", False, True),
        (f"{socket.gethostname()}.local", False, True),
        ("", False, False),
        (None, False, False),
    ],
)
def test_hosts(host, local, everywhere):
    assert (LOCAL.allows_host(host), OPEN.allows_host(host)) == (local, everywhere)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:8080", True),
        ("https://localhost:8080", True),
        ("http://LOCALHOST:8080", True),
        ("http://localhost:8081", False),
        ("http://localhost", False),
        ("http://evil.example", False),
        ("http://evil.example/localhost:8080", False),
        ("file://localhost:8080", False),
        ("null", False),
        ("", False),
        (None, False),
    ],
)
def test_origins(origin, allowed):
    assert LOCAL.allows_origin(origin, "localhost:8080") is allowed


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.0.0.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.0.2", False), ("robot", False)],
)  # fmt: skip
def test_every_address_that_others_reach_asks_for_a_token(host, loopback):
    assert is_loopback(host) is loopback
    assert bool(Access.of(ViewConfig(host=host)).token) is not loopback


def test_tokens():
    assert LOCAL.allows_token("")
    assert len(OPEN.token) >= 20
    assert OPEN.token != Access.of(ViewConfig(host="0.0.0.0")).token
    assert OPEN.allows_token(OPEN.token)
    assert not any(OPEN.allows_token(wrong) for wrong in ("", OPEN.token[:-1], f"{OPEN.token}x", "é"))
    given = Access.of(ViewConfig(token="secret"))
    assert given.allows_token("secret")
    assert not given.allows_token("")


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("robot", "robot"), ("192.168.1.5", "192.168.1.5")],
)
def test_the_address_to_open(host, address):
    assert address_to_open(host) == address


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_the_address_to_open_of_a_server_on_every_network_is_one_that_can_be_opened(host):
    assert address_to_open(host) not in ("0.0.0.0", "[::]")
    assert OPEN.allows_host(f"{address_to_open(host)}:8080")
