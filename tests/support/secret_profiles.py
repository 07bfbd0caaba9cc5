"""Profiles with secret fields, and what the keyring holds of them."""

import ast
import json

from tests.support.home import Home

PROD = """\
[profiles.prod]
url = "https://mi.example.com/mi"
[profiles.prod.auth]
scheme = "basic"
user_name = "{user}"
password = {password}
domain = "CORP"
"""


def prod(password: str = '"keyring:"', user: str = "alice") -> str:
    return PROD.format(password=password, user=user)


def states_of(home: Home, *arguments: str) -> dict[str, str]:
    listed = home.run("secret", "list", "--json", *arguments)
    assert listed.returncode == 0
    return {
        f"{each['field']} {each['reference']}": each["state"] for each in json.loads(listed.stdout)
    }


def read_entry(home: Home, service: str, account: str) -> str:
    script = f"import keyring; print(ascii(keyring.get_password({service!r}, {account!r})))"
    done = home.python(script)
    return str(ast.literal_eval(done.stdout))
