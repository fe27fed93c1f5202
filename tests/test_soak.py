"""The short form of make soak: the same clients, for less long."""

import soak
from evdtest import scaled


def test_soak():
    print(soak.run(scaled(20, 40), scaled(1000, 50)))
