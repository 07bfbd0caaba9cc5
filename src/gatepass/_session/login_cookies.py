"""The cookies that a server sets in the middle of a login. The guard uses them."""

from http.cookiejar import CookieJar
from typing import Any

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.cookies import (
    RequestsCookieJar,
    extract_cookies_to_jar,
    get_cookie_header,
    merge_cookies,
)


class LoginConnection(BaseAdapter):
    """Sends the messages of one login, each with the cookies of the answers before it.

    The cookies also go into the session's jar at once, so that they stay where the login fails
    (RFC 6265, section 3: those of any answer count). A Cookie header that the caller wrote is kept
    as it is.

    Args:
        adapter: what sends.
        first: the first message.
        jar: the session's.
    """

    def __init__(self, adapter: Any, first: PreparedRequest, jar: CookieJar) -> None:
        super().__init__()
        self.adapter = adapter
        self._jar = jar
        self._cookies: Any = merge_cookies(RequestsCookieJar(), _cookies_of(first))  # type: ignore[no-untyped-call]
        policy = getattr(jar, "_policy", None)  # of the caller, who may take no cookies
        if policy is not None:
            self._cookies.set_policy(policy)
        self._is_callers = first.headers.get("Cookie") != _header(self._cookies, first)
        self._has_learnt = False

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:  # type: ignore[override]
        """Send the next message, and learn from its answer."""
        self.add_to(request)
        response: Response = self.adapter.send(request, **kwargs)
        self.learn(response)
        carrier: Any = self
        response.connection = carrier
        return response

    def close(self) -> None:
        """Close the adapter below."""
        self.adapter.close()

    def learn(self, response: Response) -> None:
        """Take the cookies of an answer."""
        if "Set-Cookie" in response.headers:
            self._has_learnt = True
            for jar in (self._jar, self._cookies):
                extract_cookies_to_jar(jar, response.request, response.raw)  # type: ignore[no-untyped-call]

    def add_to(self, request: PreparedRequest) -> None:
        """Set the Cookie header of a request, where an answer has set or removed a cookie."""
        if not self._has_learnt or self._is_callers:
            return
        request.__dict__["_cookies"] = self._cookies.copy()
        header = _header(self._cookies, request)
        request.headers.pop("Cookie", None)
        if header is not None:
            request.headers["Cookie"] = header


def _cookies_of(request: PreparedRequest) -> CookieJar:
    return request.__dict__.get("_cookies") or RequestsCookieJar()


def _header(cookies: CookieJar, request: PreparedRequest) -> str | None:
    """Return the Cookie header that a jar gives a request."""
    bare = request.copy()
    bare.headers.pop("Cookie", None)
    header: str | None = get_cookie_header(cookies, bare)  # type: ignore[no-untyped-call]
    return header
