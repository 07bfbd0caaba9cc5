"""Stores the login of a profile as if it had been made some seconds ago: PROFILE SECONDS."""

import sys
import time

SECONDS = float(sys.argv[2])
now = time.time
time.time = lambda: now() - SECONDS

from gatepass import Session  # noqa: E402 - after the clock

Session.from_profile(sys.argv[1]).persist_oidc_token()
