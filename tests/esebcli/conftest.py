"""Fixtures of the client's tests."""

from __future__ import annotations

import pytest

from tests.esebcli.support_fake import FakeServer, two_groups


@pytest.fixture
def server() -> FakeServer:
    """A fresh scripted server with two storage groups."""
    return two_groups()
