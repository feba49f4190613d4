import socket

import pytest


@pytest.fixture
def no_network(monkeypatch):
    """Every connection is refused, and no name is looked up."""

    def refuse(*args, **kwargs):
        raise OSError("the network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
