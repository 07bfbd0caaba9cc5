"""A profile by its name. NAME [path of a request]."""

import sys

from gatepass import Session

session = Session.from_profile(sys.argv[1])
for path in sys.argv[2:]:
    session.get(path).raise_for_status()
