import socket

import pytest


@pytest.fixture
def no_network(monkeypatch):
    """Refuse every connection and name lookup."""

    def refuse(*args, **kwargs):
        raise OSError("the network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
