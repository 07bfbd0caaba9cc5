"""By hand, with the password from the keyring. FILE."""

import os
import sys
import tomllib

import keyring
import requests

with open(sys.argv[1], "rb") as file:  # noqa: PTH123 - as people write it
    profile = tomllib.load(file)["profiles"]["prod"]
session = requests.Session()
user = os.environ[profile["auth"]["user_name"].removeprefix("env:")]
password = keyring.get_password(profile["url"], user)
if password is None:
    raise SystemExit("no password in the keyring")
session.auth = (user, password)
