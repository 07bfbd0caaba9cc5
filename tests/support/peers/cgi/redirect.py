"""Redirect to any place: `redirect?to=URL&code=307`."""

import os
import sys
from urllib.parse import parse_qs

sys.stdin.buffer.read()  # an unread body would reset the connection
query = parse_qs(os.environ["QUERY_STRING"])
code = query.get("code", ["302"])[0]
sys.stdout.write(f"Status: {code}\r\nLocation: {query['to'][0]}\r\n\r\n")
