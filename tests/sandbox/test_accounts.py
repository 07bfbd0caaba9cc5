"""Accounts of the sandbox: wrong passwords and lock-out."""

from gatepass.sandbox._accounts import Accounts, Outcome


def test_a_right_password_ends_the_row() -> None:
    """As in Windows domains."""
    accounts = Accounts({"alice": "sesame"}, lock_after=2)
    for _ in range(3):
        assert accounts.check("alice", "wrong") is Outcome.WRONG
        assert accounts.check("alice", "sesame") is Outcome.RIGHT
    assert accounts.attempts("alice") == 3


def test_without_lock_after_nothing_locks() -> None:
    accounts = Accounts({"alice": "sesame"}, lock_after=None)
    for _ in range(100):
        accounts.check("alice", "wrong")
    assert accounts.check("alice", "sesame") is Outcome.RIGHT
