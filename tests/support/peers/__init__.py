"""Real servers and desktops for the tests: each module starts, describes and stops one peer.

A peer runs as a child process of the tests, on free loopback ports, with all of its files in
one temporary folder. `tests.support.peers.fixtures` holds the pytest fixtures.
"""
