"""gatepass with OpenID Connect: PROFILE PATH.

With the variable BARRIER, it waits for a line on its standard input before the first request, and
says ``ready`` before that.
"""

import os
import sys

from gatepass import Session

session = Session.from_profile(sys.argv[1], interactive="BROWSER" in os.environ)
if "BARRIER" in os.environ:
    print("ready", flush=True)
    sys.stdin.readline()
session.get(sys.argv[2]).raise_for_status()
