"""gatepass by keywords, without a file: URL."""

import os
import sys

from gatepass import Session

Session(sys.argv[1], user_name=os.environ["MI_USERNAME"], password=os.environ["MI_PASSWORD"])
