"""Puts an entry into the keyring: SERVICE USERNAME, and the variable SECRET."""

import os
import sys

import keyring

keyring.set_password(sys.argv[1], sys.argv[2], os.environ["SECRET"])
