"""By hand, with a token from a variable: URL PATH."""

import os
import sys

import requests

session = requests.Session()
session.headers["Authorization"] = f"Bearer {os.environ['TOKEN']}"
session.get(f"{sys.argv[1]}/{sys.argv[2]}", timeout=(10, 60)).raise_for_status()
