"""Which variables a profile may set for ``gatepass run``, and what is told about them."""

import json
from typing import Any

import pytest

from gatepass._config.abilities import abilities, summary
from gatepass._config.explain import explain
from gatepass._config.json_schema import document
from gatepass._config.layer import Layer
from gatepass.errors import ProfileError
from tests.support.config_files import ConfigFiles, profile_table

BASIC = {"scheme": "basic", "user_name": "alice", "password": "env:PW"}
REFUSED_IN_PROJECT = (
    "LD_PRELOAD LD_LIBRARY_PATH DYLD_INSERT_LIBRARIES PATH PYTHONPATH PYTHONSTARTUP NODE_OPTIONS "
    "BASH_ENV ENV IFS PS1 PS4 PROMPT_COMMAND GIT_SSH_COMMAND SSH_ASKPASS PERL5LIB PERL5OPT RUBYOPT "
    "JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS GCONV_PATH GLIBC_TUNABLES EDITOR VISUAL "
    "PAGER MANPAGER BROWSER HTTPS_PROXY https_proxy REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS "
    "SSL_CERT_FILE SSLKEYLOGFILE GATEPASS_CONFIG_FILE HOME USERPROFILE TMPDIR PIP_INDEX_URL "
    "DJANGO_SETTINGS_MODULE FLASK_APP MPLBACKEND TCL_LIBRARY COVERAGE_PROCESS_START NETRC "
    "CMAKE_TOOLCHAIN_FILE ANSIBLE_LIBRARY PGSERVICEFILE TNS_ADMIN "
    "VAULT_ADDR KUBECONFIG COMSPEC CLASSPATH ZDOTDIR R_PROFILE MAKEFLAGS TERMINFO "
    "mi_token MI-TOKEN 1MI _MI"
).split()


def _refusal(config: ConfigFiles, run: Any, auth: Any = BASIC, *, project: bool = False) -> str:
    write = config.in_project if project else config.user
    write({"profiles": {"p": profile_table(auth=auth, run=run)}})
    with pytest.raises(ProfileError) as caught:
        config.load("p")
    return str(caught.value)


@pytest.mark.parametrize("name", REFUSED_IN_PROJECT)
def test_a_project_sets_no_variable_that_other_programs_read(
    config: ConfigFiles, name: str
) -> None:
    """Its user name or url could be the path of a library."""
    message = _refusal(config, {name: "user_name"}, project=True)

    assert f"profiles.p.run.{name}: is a variable that only your own file may set" in message
    assert "such as MI_TOKEN" in message


@pytest.mark.parametrize("name", ["MI_TOKEN", "MI_URL", "API_KEY2", "MI_LINK", "TOKEN", "USERNAME"])
def test_a_project_may_set_variables_of_its_own(config: ConfigFiles, name: str) -> None:
    config.in_project({"profiles": {"p": profile_table(auth=BASIC, run={name: "password"})}})

    assert config.load("p").run == {name: "password"}


@pytest.mark.parametrize("name", [*REFUSED_IN_PROJECT, "spring.password"])
def test_your_own_file_may_set_any(config: ConfigFiles, name: str) -> None:
    config.user({"profiles": {"p": profile_table(auth=BASIC, run={name: "password"})}})

    assert config.load("p").run == {name: "password"}


def test_a_file_that_is_named_has_the_rights_of_a_projects(config: ConfigFiles) -> None:
    path = config.user({"profiles": {"p": profile_table(run={"LD_PRELOAD": "url"})}})

    with pytest.raises(ProfileError, match="only your own file"):
        config.load("p", config_file=str(path))


@pytest.mark.parametrize(
    ("auth", "field", "others"),
    [
        (BASIC, "token", '"url" or "user_name" or "password"'),
        ({"scheme": "oidc"}, "password", '"url" or "token"'),
        ({"scheme": "bearer", "token": "env:T"}, "user_name", '"url" or "token"'),
        ({"scheme": "autologon"}, "password", '"url"'),
        ({"scheme": "anonymous"}, "token", '"url"'),
    ],
)
def test_a_field_that_the_scheme_has_not_is_refused(
    config: ConfigFiles, auth: dict[str, str], field: str, others: str
) -> None:
    message = _refusal(config, {"MI_X": field}, auth)

    assert f"profiles.p.run.MI_X: asks for the {field}, which auth does not have" in message
    assert f"it can be {others}" in message


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("token", "profiles.p.run: should be a table"),
        ({"MI_PASSWORD": "hunter2"}, "profiles.p.run.MI_PASSWORD: should be 'url'"),
        ({"MI_PASSWORD": "env:hunter2"}, "name a field, not its value:   [profiles.NAME.run]"),
        ({"MI_PASSWORD": "pasword"}, 'did you mean "password"'),
        ({"A=B": "url"}, "cannot be the name of a variable"),
        ({"": "url"}, "cannot be the name of a variable"),
    ],
)
def test_what_names_no_field_is_refused_and_not_repeated(
    config: ConfigFiles, run: Any, expected: str
) -> None:
    message = _refusal(config, run)

    assert expected in message
    assert "hunter2" not in message


def test_a_scheme_with_a_mistake_hides_no_other_and_adds_none(config: ConfigFiles) -> None:
    message = _refusal(config, {"MI_TOKEN": "token"}, {"scheme": "baerer", "token": "env:T"})

    assert "unknown scheme" in message
    assert "run" not in message


def test_a_child_adds_variables_and_a_variable_takes_the_spelling_of_the_file(
    config: ConfigFiles,
) -> None:
    config.user(
        {
            "profiles": {
                "base": profile_table(auth=BASIC, run={"MI_URL": "url", "mi_user": "user_name"}),
                "p": {"extends": "base", "run": {"MI_PASSWORD": "password"}},
            }
        }
    )
    variables = ("MI_USER", "url"), ("LD_X", "url")
    environ = {f"GATEPASS_PROFILES__P__RUN__{name}": field for name, field in variables}

    loaded = config.load("p", environ=environ)

    assert loaded.run == {
        "MI_URL": "url", "mi_user": "url", "MI_PASSWORD": "password", "LD_X": "url",
    }  # fmt: skip
    explained = {each.key: each for each in explain(loaded).keys}
    assert explained["run.MI_PASSWORD"].value == "password"
    assert explained["run.mi_user"].location == "GATEPASS_PROFILES__P__RUN__MI_USER"
    assert explained["run.mi_user"].overrode[0].value == "user_name"


def test_trust_lists_each_variable_and_shows_no_value() -> None:
    run = {"MI_TOKEN": "token", "MI_PASSWORD": "hunter2", "A\x1b": "url"}
    tables: dict[str, Any] = {"profiles": {"p": profile_table(run=run)}}

    whole = "\n".join(abilities(tables))
    short = "\n".join(summary([Layer("project", "gatepass.toml", tables)]))

    assert 'run.MI_TOKEN = "token"' in whole
    assert "MI_TOKEN (token), MI_PASSWORD (a field that there is not), A\\x1b (url)" in short
    assert "hunter2" not in whole + short


def test_editors_know_the_fields() -> None:
    run = document()["$defs"]["profile"]["properties"]["run"]

    assert json.dumps(run["additionalProperties"]["enum"]) == (
        '["url", "user_name", "password", "token"]'
    )
