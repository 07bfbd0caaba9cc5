"""The configuration of the test Apache: its rooms, each with its own way to ask who you are."""

from pathlib import Path

from tests.peers.ca import CertificateAuthority
from tests.peers.environ import is_root

MODULES = Path("/usr/lib/apache2/modules")
GSSAPI_MODULE = MODULES / "mod_auth_gssapi.so"

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


def configuration(
    folder: Path,
    authority: CertificateAuthority,
    ports: dict[str, tuple[int, int]],
    status_port: int,
) -> str:
    """Return the whole file; `ports` names the rooms and their http and https ports."""
    text = _modules() + _HEAD.format(folder=folder) + _virtual_host(status_port, _STATUS)
    if is_root():
        text += "User www-data\nGroup www-data\n"
    for name, (http_port, https_port) in ports.items():
        location = (PLAIN_ROOMS | GSSAPI_ROOMS)[name].format(folder=folder)
        body = f" <Location />\n{location} </Location>\n"
        if name == "ntlm_no_keepalive":
            body += " KeepAlive Off\n"
        text += _virtual_host(http_port, body)
        text += _virtual_host(https_port, body + _tls(name, authority))
    return text


def _modules() -> str:
    names = _MODULE_NAMES.split() + ["auth_gssapi"] * GSSAPI_MODULE.exists()
    return "".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so\n" for name in names)


def _virtual_host(port: int, body: str) -> str:
    return f"Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\n{body}</VirtualHost>\n"


def _tls(room: str, authority: CertificateAuthority) -> str:
    odd = {"wrong_host": authority.wrong_host, "expired": authority.expired}
    text = _TLS.format(certificate=odd.get(room, authority.server))
    if room == "mutual_tls":
        text += _CLIENT_CERTIFICATE.format(ca_file=authority.ca_file)
    return text
