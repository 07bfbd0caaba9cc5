"""Logs in by a browser and stores it, as if that had been some time ago: PROFILE SECONDS."""

import sys
import time

SECONDS = float(sys.argv[2])
now = time.time
time.time = lambda: now() - SECONDS

from gatepass import Session  # noqa: E402 - after the clock

Session.from_profile(sys.argv[1], interactive=True).persist_oidc_token()
