"""What tests of descriptors share: a daemon whose open descriptors are counted.

The fixtures are imported by name; each module that does so has a daemon of its own.
"""

import pytest

from evdtest import Daemon, wait_until


def connect(evd):
    """A client that has been accepted: its connection is among evd.fds()."""
    client = evd.connect()
    client.call("now")
    return client


@pytest.fixture(name="evd", scope="module")
def fixture_evd():
    with Daemon() as daemon:
        yield daemon


@pytest.fixture(name="other", scope="module")
def fixture_other(evd):
    with connect(evd) as client:
        yield client


@pytest.fixture(name="c")
def fixture_c(evd, other):
    """A client; all that evd opened for it is closed when it has gone."""
    open_before = evd.fds()
    with connect(evd) as client:
        yield client
    wait_until(lambda: evd.fds() == open_before, "all is closed with the client")
