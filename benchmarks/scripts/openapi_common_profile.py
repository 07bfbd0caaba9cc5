"""ansys-openapi-common: user name and password from variables. URL [path of a request]."""

import os
import sys

from ansys.openapi.common import ApiClientFactory

factory = ApiClientFactory(sys.argv[1]).with_credentials(
    os.environ["MI_USERNAME"], os.environ["MI_PASSWORD"]
)
session = factory.connect().rest_client
for path in sys.argv[2:]:
    session.get(f"{sys.argv[1]}/{path}").raise_for_status()
