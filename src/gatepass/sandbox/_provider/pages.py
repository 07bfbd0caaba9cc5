"""The identity provider's pages for people: the login, and the approval of a device."""

from collections.abc import Mapping
from html import escape
from typing import Final

_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<h1>{title}</h1>
{body}
</html>
"""
_FORM: Final = """\
<p role="alert">{problem}</p>
<form method="post">
{hidden}{code}<p><label>User name <input name="login" value="{user}" autofocus></label></p>
<p><label>Password <input name="password" type="password"></label></p>
<p><button name="decision" value="allow">Log in</button>
<button name="decision" value="deny">Deny</button></p>
</form>
"""
_CODE: Final = '<p><label>Code <input name="user_code" value="{code}"></label></p>\n'


def message(title: str, text: str) -> str:
    """Return a page that says something."""
    return _PAGE.format(title=escape(title), body=f"<p>{escape(text)}</p>")


def login_form(hidden: Mapping[str, str], user: str, problem: str = "") -> str:
    """Return the login form.

    Args:
        hidden: what comes back with it: the authorization request.
        user: goes into the field of the user name.
        problem: why the last attempt did not succeed; empty for none.
    """
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">\n'
        for name, value in hidden.items()
    )
    form = _FORM.format(hidden=fields, code="", user=escape(user), problem=escape(problem))
    return _PAGE.format(title="Log in", body=form)


def device_form(user_code: str, problem: str = "") -> str:
    """Return the form that approves a device."""
    code = _CODE.format(code=escape(user_code))
    form = _FORM.format(hidden="", code=code, user="", problem=escape(problem))
    return _PAGE.format(title="Approve a device", body=form)
