"""The configuration of the test Apache: its rooms, each with its own way to ask who you are."""

from dataclasses import dataclass
from pathlib import Path

from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.environ import is_root
from tests.support.peers.oidc_provider import AUDIENCE, NATIVE, OidcAddress

MODULES = Path("/usr/lib/apache2/modules")
GSSAPI_MODULE = MODULES / "mod_auth_gssapi.so"
OIDC_MODULE = MODULES / "mod_auth_openidc.so"

_BASIC = """\
  AuthType Basic
  AuthName "standalone"
  AuthBasicProvider file
  AuthUserFile {folder}/htpasswd
  Require valid-user
"""
_KRB5 = "  GssapiAllowedMech krb5\n"
_NTLM = "  GssapiAllowedMech ntlmssp\n"
_PER_CONNECTION = "  GssapiConnectionBound On\n"


def _gssapi(name: str, *lines: str) -> str:
    head = f'  AuthType GSSAPI\n  AuthName "{name}"\n'
    return head + "".join(lines) + "  Require valid-user\n"


# mod_auth_gssapi has a Basic fallback for NTLM too, but it crashes on each attempt: here Basic
# goes to the password file, which also knows DOMAIN\user.
_BASIC_IN_MIXED = """\
  GssapiBasicAuth On
  GssapiBasicAuthMech krb5
  <If "%{{HTTP:Authorization}} =~ /^Basic/i">
   AuthType Basic
   AuthBasicProvider file
   AuthUserFile {folder}/htpasswd
  </If>
"""

# For each room, what stands in its <Location />.
PLAIN_ROOMS = {
    "open": "",
    "standalone": _BASIC,
    "mutual_tls": "",
    "wrong_host": "",
    "expired": "",
}
GSSAPI_ROOMS = {
    "windows": _gssapi("windows", _KRB5, _NTLM, _PER_CONNECTION),
    "mixed": _gssapi("mixed", _KRB5, _NTLM, _PER_CONNECTION, _BASIC_IN_MIXED),
    "ntlm": _gssapi("ntlm", _NTLM, _PER_CONNECTION),
    "krb_unbound": _gssapi("krb_unbound", _KRB5),
    "ntlm_no_keepalive": _gssapi("ntlm_no_keepalive", _NTLM, _PER_CONNECTION),
}

# Takes access tokens, and asks for one as Granta does; for that the module must not be asked: its
# own challenge cannot be replaced. A token that was refused gets it, with error="invalid_token".
_OIDC = """\
  AuthType oauth20
  Require claim aud:{audience}
  <If "-z %{{HTTP:Authorization}}">
   AuthType None
   Require all granted
   RedirectMatch 401 ^
   Header always set WWW-Authenticate "Bearer authority=\\"{issuer}\\", clientid=\\"{client}\\", \
redirecturi=\\"{redirect_uri}\\", scope=\\"openid offline_access\\", \
apiAudience=\\"{audience}\\""
  </If>
"""
# Outside <Location />: the keys are fetched when the first token comes.
_OIDC_KEYS = """\
 OIDCOAuthVerifyJwksUri {issuer}/jwks
 OIDCCABundlePath {ca_file}
 OIDCOAuthRemoteUserClaim sub
 OIDCOAuthAcceptTokenAs header
"""
OIDC_ROOMS = {"oidc": _OIDC}

_HEAD = """\
ServerRoot {folder}
ServerName localhost
PidFile {folder}/run/httpd.pid
DefaultRuntimeDir {folder}/run
Mutex file:{folder}/run default
ScriptSock {folder}/run/cgi
ErrorLog {folder}/logs/error.log
LogLevel warn auth_gssapi:info
Timeout 10
KeepAlive On
MaxKeepAliveRequests 10000
KeepAliveTimeout 15
StartServers 1
ServerLimit 2
ThreadsPerChild 32
MaxRequestWorkers 64
DocumentRoot {folder}/www
ScriptAlias /cgi/ {folder}/cgi/
ScriptAlias /mi_servicelayer {folder}/cgi/whoami
<Directory {folder}>
 Require all granted
</Directory>
SSLSessionCache shmcb:{folder}/run/tls(512000)
# The first word of a credential is no secret, and tells tests what was sent.
SetEnvIf Authorization "^(\\S+)" AUTHORIZATION_SCHEME=$1
SetEnvIf Proxy-Authorization "^(\\S+)" PROXY_AUTHORIZATION_SCHEME=$1
LogFormat "%{{local}}p\\t%{{remote}}p\\t%k\\t%u\\t%{{AUTHORIZATION_SCHEME}}e\\t%r\\t%>s\\t\
%{{WWW-Authenticate}}o" test
CustomLog {folder}/logs/access.log test
"""
_MODULE_NAMES = (
    "mpm_event authn_core authn_file authz_core authz_user auth_basic ssl socache_shmcb headers "
    "cgid alias env setenvif status"
)
# Who is still at work; these requests themselves are not logged.
_STATUS = """\
 SetHandler server-status
 CustomLog /dev/null test
"""
_TLS = """\
 SSLEngine on
 SSLCertificateFile {certificate.chain}
 SSLCertificateKeyFile {certificate.key}
"""
_CLIENT_CERTIFICATE = """\
 SSLCACertificateFile {ca_file}
 SSLVerifyClient require
 SSLOptions +StdEnvVars
"""


@dataclass(frozen=True)
class Place:
    """What the configuration depends on: the server's folder and ports, and who else is there.

    `ports` names the rooms and their http and https ports.
    """

    folder: Path
    authority: CertificateAuthority
    ports: dict[str, tuple[int, int]]
    status_port: int
    oidc: OidcAddress


def room_names() -> list[str]:
    """Return the rooms that this machine's modules allow."""
    gssapi = GSSAPI_ROOMS if GSSAPI_MODULE.exists() else ()
    return [*PLAIN_ROOMS, *gssapi, *(OIDC_ROOMS if OIDC_MODULE.exists() else ())]


def configuration(place: Place) -> str:
    """Return the whole file."""
    text = _modules() + _HEAD.format(folder=place.folder)
    text += _virtual_host(place.status_port, _STATUS)
    if is_root():
        text += "User www-data\nGroup www-data\n"
    for name, (http_port, https_port) in place.ports.items():
        body = _room(name, place)
        text += _virtual_host(http_port, body)
        text += _virtual_host(https_port, body + _tls(name, place.authority))
    return text


def _room(name: str, place: Place) -> str:
    values = {
        "folder": place.folder,
        "ca_file": place.authority.ca_file,
        "issuer": place.oidc.issuer,
        "client": NATIVE,
        "redirect_uri": place.oidc.redirect_uri,
        "audience": AUDIENCE,
    }
    location = (PLAIN_ROOMS | GSSAPI_ROOMS | OIDC_ROOMS)[name].format(**values)
    body = f" <Location />\n{location} </Location>\n"
    if name == "ntlm_no_keepalive":
        body += " KeepAlive Off\n"
    if name in OIDC_ROOMS:
        body += _OIDC_KEYS.format(**values)
    return body


def _modules() -> str:
    names = _MODULE_NAMES.split()
    names += ["auth_gssapi"] * GSSAPI_MODULE.exists() + ["auth_openidc"] * OIDC_MODULE.exists()
    return "".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so\n" for name in names)


def _virtual_host(port: int, body: str) -> str:
    return f"Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\n{body}</VirtualHost>\n"


def _tls(room: str, authority: CertificateAuthority) -> str:
    odd = {"wrong_host": authority.wrong_host, "expired": authority.expired}
    text = _TLS.format(certificate=odd.get(room, authority.server))
    if room == "mutual_tls":
        text += _CLIENT_CERTIFICATE.format(ca_file=authority.ca_file)
    return text
