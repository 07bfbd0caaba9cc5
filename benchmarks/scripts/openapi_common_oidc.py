"""ansys-openapi-common with OpenID Connect: WAY URL PATH.

WAY is ``login`` (in a browser), ``stored`` (a token of the keyring) or ``refresh`` (a token of the
variable TOKEN). With the variable BARRIER, it waits for a line on its standard input before the
login, and says ``ready`` before that.
"""

import os
import sys

from ansys.openapi.common import ApiClientFactory

way, url, path = sys.argv[1:]
if "BARRIER" in os.environ:
    print("ready", flush=True)
    sys.stdin.readline()
login = ApiClientFactory(url).with_oidc()
if way == "login":
    factory = login.authorize()
elif way == "stored":
    factory = login.with_stored_token()
else:
    factory = login.with_refresh_token(os.environ["TOKEN"])
factory.connect().rest_client.get(f"{url}/{path}").raise_for_status()
