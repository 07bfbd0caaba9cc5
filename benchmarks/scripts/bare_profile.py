"""By hand: requests and tomllib. FILE [path of a request]."""

import os
import sys
import tomllib

import requests

with open(sys.argv[1], "rb") as file:  # noqa: PTH123 - as people write it
    profile = tomllib.load(file)["profiles"]["prod"]
session = requests.Session()
user = os.environ[profile["auth"]["user_name"].removeprefix("env:")]
session.auth = (user, os.environ[profile["auth"]["password"].removeprefix("env:")])
for path in sys.argv[2:]:
    session.get(f"{profile['url']}/{path}", timeout=(10, 60)).raise_for_status()
