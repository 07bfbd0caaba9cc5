"""A report for others holds no name."""

import socket
from pathlib import Path

import pytest

from gatepass._system.findings import Finding
from gatepass.cli._redaction import Redactor
from tests.support.doctor import ANONYMOUS, diagnosed, of, with_backend
from tests.support.home import Home
from tests.support.peers.kdc import Kdc

CANARIES = (
    "quagga", "zebuprofile", "yakhost", "okapiuser", "lynxdomain", "ibisproxy", "emubundle",
    "gnuproject", "kudukey", "orixissuer", "tapirtext", "numbatdir", "sakiname",
)  # fmt: skip


def _rich(server: str) -> str:
    return (
        f'[profiles.zebuprofile]\nurl = "{server}"\ndescription = "tapirtext"\n'
        'proxy = "http://ibisproxy.test:1"\n'
        '[profiles.zebuprofile.auth]\nscheme = "credentials"\nuser_name = "okapiuser"\n'
        'domain = "lynxdomain"\npassword = "keyring:kudukey/okapiuser"\n'
        '[profiles.zebuprofile-desk]\nurl = "https://yakhost.test/"\n'
        'auth = { scheme = "autologon" }\n'
        '[profiles.zebuprofile-odd]\nurl = "https://yakhost.test/"\npasword = "tapirtext"\n'
        '[profiles.zebuprofile-night]\nurl = "https://yakhost.test/"\n'
        'auth = { scheme = "oidc", issuer = "https://orixissuer.test/" }\n'
    )


BROKEN_FILES = {
    "valid": "",
    "an unknown top-level key": 'sakiname = "tapirtext"\n',
    "a wrong setting": 'vault = { url = "https://yakhost.test/" }\n',
    "no TOML": "[profiles.zebuprofile]\n[profiles.zebuprofile]\nurl = yakhost\n",
}


@pytest.mark.parametrize("broken", BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_a_redacted_report_holds_no_name(tmp_path: Path, kdc: Kdc, broken: str) -> None:
    """Every name here is an animal; and none of them is in the output, in either form."""
    from tests.cli.conftest import make_home
    from tests.support.peers.environ import clean_environ

    home = make_home(clean_environ(tmp_path / "quagga"), tmp_path / "gnuproject" / "work")
    bundle = tmp_path / "quagga" / "numbatdir" / "emubundle.pem"
    home = with_backend(home, "MyPlaintextKeyring").having(
        USER="sakiname",
        HOSTNAME="yakhost",
        REQUESTS_CA_BUNDLE=str(bundle),
        HTTPS_PROXY="http://okapiuser:tapirtext@ibisproxy.test:8080",
        NO_PROXY="yakhost.test",
        GATEPASS_VAULT=str(tmp_path / "numbatdir" / "vault"),
        GATEPASS_VAULT_KEY=f"file:{tmp_path}/numbatdir/kudukey",
        GATEPASS_PROFILES__ZEBUPROFILE__URL="https://yakhost.test/2",
        **kdc.environ(kdc.ccache()),
    )
    text = broken + _rich("https://yakhost.test/mi")
    project = text.replace("zebuprofile", "zebuprofile-work")
    home.project(project)
    if not broken:
        assert home.run("trust", "--yes").returncode == 0
        home.project(project + "\n")
    user = home.user(text)
    user.parent.chmod(0o777)

    outputs = [home.run("check", *more, "--redacted") for more in ((), ("--json",))]
    open_ = home.run("check").stdout

    names = (*CANARIES, tmp_path.name, "CORP.TEST", socket.gethostname())
    for done in outputs:
        assert done.returncode == 1
        assert done.stderr == ""
        printed = done.stdout.lower()
        assert [name for name in names if name.lower() in printed] == []
    assert any(name in open_ for name in CANARIES), "it is there without --redacted"
    assert "~" in outputs[0].stdout


def test_a_redacted_path_keeps_what_every_machine_has(home: Home) -> None:
    home.user(ANONYMOUS)

    _, found = diagnosed(home, "--redacted")

    places = {each["place"] for each in of(found, "files")}
    assert str(Path("~/.config/gatepass/profiles.toml")) in places
    assert any(place.endswith(str(Path(".../gatepass.toml"))) for place in places)


def test_the_net_takes_out_what_the_words_let_through() -> None:
    names = {"USER": "okapiuser", "HOSTNAME": "yakhost.test"}
    home = Path("/home/quagga")
    redactor = Redactor.of_this_machine(redacted=True, home=home, environ=names)
    leak = Finding("ok", "x", "OKAPIUSER at yakhost.test", "/home/quagga/x", "okapiusers")

    assert redactor.redact(leak) == Finding("ok", "x", "(user) at (computer)", "~/x", "okapiusers")


def test_of_a_path_only_what_every_machine_has_is_left() -> None:
    redactor = Redactor(redacted=True, home=Path("/home/quagga"))

    shown = [
        redactor.path(path)
        for path in (
            "/home/quagga",
            "/home/quagga/.config/gatepass/profiles.toml",
            "/home/quagga/a/b/gatepass.toml",
            "/etc/ssl/certs/corporate.pem",
            "/data/projects/vault",
        )
    ]

    assert shown == [
        "~",
        "~/.config/gatepass/profiles.toml",
        "~/.../gatepass.toml",
        "/etc/ssl/certs/...",
        "/.../vault",
    ]
