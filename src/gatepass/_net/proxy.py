"""The key ``proxy``: of a profile, for its server, and of a scheme, for who it asks beside that."""

from dataclasses import dataclass

from gatepass._net.urls import url_problem
from gatepass.errors import KeyRefused
from gatepass.secrets import SecretField, TextField


@dataclass(frozen=True)
class Proxy:
    """The way out.

    Attributes:
        url: the proxy's URL, without user and password; or ``"none"`` for no proxy at all.
        user_name: plain or a reference.
        password: a reference.
    """

    url: str
    user_name: TextField | None = None
    password: SecretField | None = None

    def __post_init__(self) -> None:
        if self.url == "none":
            return
        problem = url_problem(self.url)
        if problem:
            problem = problem.replace("auth, as", "user_name and password, as")
            raise KeyRefused("url", problem)
        if (self.user_name is None) != (self.password is None):
            raise KeyRefused("", "user_name and password belong together")
