"""Answer with any status: `status?code=503&retry_after=120`, or `status/404`."""

import os
import sys
from urllib.parse import parse_qs

sys.stdin.buffer.read()  # an unread body would reset the connection
query = parse_qs(os.environ["QUERY_STRING"])
code = os.environ.get("PATH_INFO", "").strip("/") or query.get("code", ["200"])[0]
sys.stdout.write(f"Status: {code}\r\n")
if "retry_after" in query:
    sys.stdout.write(f"Retry-After: {query['retry_after'][0]}\r\n")
sys.stdout.write(f"Content-Type: text/plain\r\n\r\nstatus {code}\n")
