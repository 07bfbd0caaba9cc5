"""A package that means no good, a rival of it, and what they bring.

Each module tells when it is imported, by a line in the file that ``HOSTILE_LOG`` names.
"""

from pathlib import Path
from typing import Final

import tomli_w

from gatepass._system import plugins

_TELLS: Final = """
import os, sys
def tell(text):
    with open(os.environ["HOSTILE_LOG"], "a") as log:
        log.write(text + "\\n")
tell("imported " + __name__)
"""
_BEGIN: Final = """
from dataclasses import dataclass, field, InitVar
from typing import Annotated, Any, ClassVar
from hostile import tell
from gatepass import GatepassError, SchemeBase, SecretField, TextField
"""
_WELL: Final = """
    def authenticator(self, context):
        token = context.resolve(token=self.token)["token"]
        def auth(request):
            request.headers["Authorization"] = "Hostile " + token.reveal()
            return request
        return auth
"""

# Module → its text; what it defines is called X.
SCHEMES: Final[dict[str, str]] = {
    "thief": "tell('stolen')\nclass X: pass\n",
    "raises": "raise RuntimeError('at the import')\n",
    "missing": "import no_such_module_anywhere\n",
    "gone": "",
    "number": "X = 7\n",
    "plain": "class X:\n    token: SecretField\n" + _WELL,
    "mute": "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n",
    "control": "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n    scheme: str = ''\n"
    + _WELL,
    "alien": "class Alien: pass\n@dataclass(frozen=True)\nclass X:\n    token: SecretField\n"
    "    odd: Alien | None = None\n" + _WELL,
    "hooked": "class Hook:\n    def __get_pydantic_core_schema__(self, *_):\n"
    "        raise RuntimeError('hunter2')\n@dataclass(frozen=True)\nclass X:\n"
    "    token: SecretField\n    odd: Annotated[int, Hook()] = 0\n" + _WELL,
    "picky": "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n"
    "    def __post_init__(self):\n        raise RuntimeError('hunter2')\n" + _WELL,
    "blurts": "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n"
    "    def authenticator(self, context):\n"
    "        text = context.resolve(token=self.token)['token'].reveal()\n"
    "        try:\n            int(text)\n        except ValueError as error:\n"
    "            raise RuntimeError(text) from error\n",
    "blurts_ours": "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n"
    "    def authenticator(self, context):\n"
    "        text = context.resolve(token=self.token)['token'].reveal()\n"
    "        raise GatepassError('cannot use ' + text, hint=text)\n",
    "blurts_request": "import requests\n@dataclass(frozen=True)\nclass X:\n    token: SecretField\n"
    "    def authenticator(self, context):\n"
    "        text = context.resolve(token=self.token)['token'].reveal()\n"
    "        def auth(request):\n            raise requests.ConnectionError(text)\n"
    "        return auth\n",
    "blurts_late": "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n"
    "    def authenticator(self, context):\n"
    "        text = context.resolve(token=self.token)['token'].reveal()\n"
    "        def auth(request):\n            raise KeyError(text)\n        return auth\n",
    "blurts_answering": "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n"
    "    def authenticator(self, context):\n"
    "        text = context.resolve(token=self.token)['token'].reveal()\n"
    "        def answer(response, **_):\n            raise KeyError(text)\n"
    "        def auth(request):\n"
    "            request.register_hook('response', answer)\n            return request\n"
    "        return auth\n",
    "empty": "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n"
    "    def authenticator(self, context):\n        return None\n",
    "forgets": "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n"
    "    def authenticator(self, context):\n        return lambda request: None\n",
    # what must work all the same
    "traits": "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n"
    "    sends_credentials = 0\n    answers = 7\n    connection_bound = 'yes'\n" + _WELL,
    "lax": "class Taker:\n    @classmethod\n    def __get_pydantic_core_schema__(cls, *_):\n"
    "        from pydantic_core import core_schema\n"
    "        def take(value):\n            tell('took ' + repr(value))\n            return value\n"
    "        return core_schema.no_info_plain_validator_function(take)\n"
    "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n"
    "    taken: Annotated[Any, Taker] = None\n"
    "    __pydantic_config__ = {'extra': 'allow'}\n"
    "    @classmethod\n    def __get_pydantic_core_schema__(cls, *_):\n"
    "        from pydantic_core import core_schema\n        return core_schema.any_schema()\n"
    + _WELL,
    "derived": "@dataclass(frozen=True)\nclass X(SchemeBase):\n    token: SecretField\n"
    "    made: str = field(default='', init=False)\n" + _WELL,
    "endless": "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n"
    "    inner: 'X | None' = None\n" + _WELL,
    "nosy": "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n"
    "    def authenticator(self, context):\n"
    "        found = context.resolve(token=self.token)\n"
    "        tell('resolved ' + ' '.join(found))\n"
    "        tell('sees ' + repr((context.profile_name, context.url, context.origin)))\n"
    "        return lambda request: request\n",
    "claimed": "@dataclass(frozen=True)\nclass X:\n    token: SecretField\n" + _WELL,
}
SOURCES: Final[dict[str, str]] = {
    "thief": "def X(text, context): tell('stolen')\n",
    "nothing": "def X(text, context): return ''\n",
    "null": "def X(text, context): return None\n",
    "rawbytes": "def X(text, context): return b'hunter2'\n",
    "faulty": "def X(text, context): raise ValueError('hunter2')\n",
    "spy": "def X(text, context):\n    tell('asked ' + text + ' for ' + context.field)\n"
    "    return 'secret-' + text\n",
    "uncallable": "X = 7\n",
}


def write(folder: Path) -> list[Path]:
    """Write the projects and return their folders."""
    hostile, rival = folder / "hostile", folder / "rival"
    (hostile / "hostile").mkdir(parents=True)
    (hostile / "hostile" / "__init__.py").write_text(_TELLS)
    for kind, modules in (("auth", SCHEMES), ("source", SOURCES)):
        for name, text in modules.items():
            code = _TELLS.partition("def tell")[0] + _BEGIN + f"tell('imported {kind}_{name}')\n"
            (hostile / "hostile" / f"{kind}_{name}.py").write_text(code + text)
    schemes = {
        name.replace("_", "-"): f"hostile.auth_{name}:X" for name in SCHEMES if name != "thief"
    }
    sources = {name: f"hostile.source_{name}:X" for name in SOURCES if name != "thief"}
    # Every name of ours, and some that look like one.
    schemes |= dict.fromkeys(plugins.BUILT_IN[plugins.AUTH], "hostile.auth_thief:X")
    sources |= dict.fromkeys(plugins.BUILT_IN[plugins.SECRETS], "hostile.source_thief:X")
    schemes["house-basic"] = "gatepass.auth.basic:Basic"
    _project(hostile, "hostile-gatepass", "hostile", schemes, sources)
    (rival / "rival").mkdir(parents=True)
    (rival / "rival" / "__init__.py").write_text("raise RuntimeError('nobody may import this')\n")
    _project(rival, "rival-gatepass", "rival", {"claimed": "rival:X"}, {"spyglass": "rival:X"})
    return [hostile, rival]


def _project(
    folder: Path, name: str, package: str, schemes: dict[str, str], sources: dict[str, str]
) -> None:
    points = {"gatepass.auth": schemes, "gatepass.secrets": sources}
    text = tomli_w.dumps(
        {
            "build-system": {"requires": ["hatchling"], "build-backend": "hatchling.build"},
            "project": {"name": name, "version": "1.0", "entry-points": points},
            "tool": {"hatch": {"build": {"targets": {"wheel": {"packages": [package]}}}}},
        }
    )
    (folder / "pyproject.toml").write_text(text)
