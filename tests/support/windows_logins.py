"""Sessions and connections at the sandbox's modes for Windows logins."""

from gatepass._session.session import Session
from gatepass._system.context import RunContext
from gatepass.sandbox._accounts import Accounts
from gatepass.sandbox._server.login import ConnectionLogin, login_for
from tests.support.sessions import profile_for

USERS = {
    "alice": "sesame",
    r"CORP\alice": "pässwörd: ☃",
    r"CORP\zoë": "zoë's",
    "gus@corp.test": "gus:gus",
}
PAGE = "Health/v2.svc"


def session(url: str, scheme: str, name: str = "alice", password: str | None = None) -> Session:
    """Return a session of a user, by default with the right password."""
    *domain, user = name.split("\\")
    auth = {"user_name": user, "password": USERS[name] if password is None else password}
    if domain:
        auth["domain"] = domain[0]
    return Session._from_checked(profile_for(url, scheme, auth=auth), RunContext.of(environ={}))


def begin(
    mode: str = "windows", *, lock_after: int | None = None
) -> tuple[Accounts, ConnectionLogin]:
    """Return the accounts and a connection of a server without a wire."""
    accounts = Accounts(USERS, lock_after)
    return accounts, login_for(mode, accounts)()
