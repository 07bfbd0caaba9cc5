"""A profile of certain files: NAME FILE ..."""

import sys

from gatepass import Session

Session.from_profile(sys.argv[1], config_file=sys.argv[2:])
