"""An nginx that stands before other servers and ends TLS, as balancers do."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.peers.ca import CertificateAuthority
from tests.support.peers.daemon import running
from tests.support.peers.environ import clean_environ
from tests.support.peers.need import need_program
from tests.support.peers.waiting import accepts, free_port

_CONF = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{ }}
http {{
 access_log off;
 client_body_temp_path {folder}/bodies;
 proxy_temp_path {folder}/answers;
 fastcgi_temp_path {folder}/fastcgi;
 uwsgi_temp_path {folder}/uwsgi;
 scgi_temp_path {folder}/scgi;
 ssl_certificate {certificate.chain};
 ssl_certificate_key {certificate.key};
 proxy_ssl_trusted_certificate {ca_file};
 proxy_ssl_verify on;
 proxy_read_timeout 1s;
 keepalive_timeout 1s;
{servers}}}
"""
# What is sent to the server behind goes over the same connection, while there is one client.
_KEPT = """\
 upstream {name} {{ server {behind}; keepalive 1; }}
 server {{
  listen 127.0.0.1:{port} ssl;
  location / {{
   proxy_pass {scheme}://{name};
   proxy_ssl_name localhost;
   proxy_http_version 1.1;
   proxy_set_header Connection "";
  }}
 }}
"""
# As nginx does it unless told otherwise: HTTP/1.0, and a connection for each request.
_PLAIN = """\
 server {{ listen 127.0.0.1:{port} ssl; location / {{ proxy_pass {url}; }} }}
"""


@dataclass(frozen=True)
class Nginx:
    """A running balancer: its https address before each server, by a name for both."""

    urls: Mapping[str, str]


@contextmanager
def nginx(
    folder: Path,
    authority: CertificateAuthority,
    behind: CertificateAuthority,
    *,
    kept: Mapping[str, str],
    plain: Mapping[str, str],
) -> Iterator[Nginx]:
    """Run a balancer; its files lie in `folder`.

    Besides the given servers stand `dead`, where nobody listens, and `silent`, which never answers.

    Args:
        folder: is made.
        authority: of its certificate.
        behind: of the certificates of the servers behind.
        kept: URLs of servers to which it keeps the connection.
        plain: URLs of servers to which it opens one for each request.
    """
    program = need_program("nginx", "nginx-light")
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        plain = {
            **plain,
            "dead": f"http://127.0.0.1:{free_port()}",
            "silent": f"http://127.0.0.1:{silent.getsockname()[1]}",
        }
        ports = {name: free_port() for name in (*kept, *plain)}
        servers = "".join(
            _KEPT.format(
                name=name,
                port=ports[name],
                scheme=url.partition(":")[0],
                behind=url.partition("//")[2].partition("/")[0].replace("localhost", "127.0.0.1"),
            )
            for name, url in kept.items()
        ) + "".join(_PLAIN.format(port=ports[name], url=url) for name, url in plain.items())
        conf = folder / "nginx.conf"
        conf.write_text(
            _CONF.format(
                folder=folder,
                certificate=authority.server,
                ca_file=behind.ca_file,
                servers=servers,
            ),
            encoding="utf-8",
        )
        argv = [program, "-e", "stderr", "-p", str(folder), "-c", str(conf)]
        with running(
            argv,
            environ=clean_environ(folder),
            log=folder / "output.log",
            ready=lambda: all(accepts(port) for port in ports.values()),
        ):
            yield Nginx({name: f"https://localhost:{port}/" for name, port in ports.items()})
