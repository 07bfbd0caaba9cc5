"""What would fail in a run without a person, profile by profile.

A person at a desk asks; cron, the Task Scheduler or a cluster will run. Each source and each scheme
says for itself what would fail; here they are asked, all of them, and what belongs to the
profile as a whole is looked at. No person is asked, no dialog shown, no connection opened to the
profile's server, no program run, nothing changed.
"""

import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, cast

from gatepass._config.layer import Layer, Layers, is_project
from gatepass._config.profile import Profile
from gatepass._net.proxy import Proxy
from gatepass._net.tls import ClientCertificate, TlsContexts, TlsSettings, authorities_of
from gatepass._session.probe import user_of
from gatepass._session.resolve import context_of_field
from gatepass._session.vault_config import vault_of
from gatepass._system.findings import Finding
from gatepass.auth import UnattendedContext, field_of, predicts_itself, references_in, value_of
from gatepass.cli._context import Context
from gatepass.errors import GatepassError, ProfileError
from gatepass.secrets import Secret, SecretRef, findings_of

# What can be asked for a user name without a dialog.
_QUIET: Final = frozenset({"env", "file"})
_INDEX: Final = re.compile(r"\[[0-9]+\]")
_SET_HERE: Final = "set here; the job must set it too"


def findings(context: Context, layers: Layers, profile: Profile, seconds: float) -> list[Finding]:
    """Predict a run of one profile. Reads files, variables, the vault, and quiet keyrings.

    Args:
        context: the surroundings, with a person in them.
        layers: all files and variables.
        profile: the profile, checked.
        seconds: for how long from now on what is there has to last.
    """
    looking = _Looking(context, layers, profile, context.without_person())
    found = [
        *looking.places(),
        *looking.references("proxy", profile.proxy),
        *looking.references("tls", profile.tls),
        *looking.certificates("tls", profile.tls, profile.url),
        *looking.beside_the_server(),
        *looking.scheme(time.time() + seconds),
    ]
    return list(dict.fromkeys(found))  # what both sides need is told once


@dataclass(frozen=True)
class _Looking:
    """Looks at one profile.

    Attributes:
        context: the surroundings.
        layers: all files and variables.
        profile: the profile.
        silent: the same surroundings with nobody there to ask.
    """

    context: Context
    layers: Layers
    profile: Profile
    silent: Context

    # ------------------------------------------------------------ places

    def places(self) -> Iterator[Finding]:
        """Tell where the profile comes from, as far as a job may not find it there."""
        origins = [*self.profile.key_locations.values()]
        origins += [origin for _, origin in self.layers.machine.values()]
        variables = [each.where for each in origins if each.layer.kind == "variable"]
        if variables:
            names = ", ".join(dict.fromkeys(variables))
            yield Finding("info", "variables", f"{names}: {_SET_HERE}")
        if self.profile.proxy is None:
            yield from self._proxies("proxy", self.profile.url)
        sources = {each.layer.label: each.layer for each in self.profile.key_locations.values()}
        for label, source in sources.items():
            message = _how_found(source)
            if message:
                yield Finding("info", "file", message, place=label)

    def _proxies(self, key: str, url: str) -> Iterator[Finding]:
        """Tell the variables of this desk by which requests for a URL find a proxy, or pass it."""
        scheme = url.partition(":")[0]
        names = [name for each in (scheme, "all") for name in _spellings(f"{each}_proxy")]
        found = [name for name in names if self.context.environ.get(name)]
        passing = [name for name in _spellings("no_proxy") if self.context.environ.get(name)]
        if found:
            variables = ", ".join((*found[:1], *passing[:1]))
            hint = f"or write it into the profile, as {key}"
            yield Finding("info", key, f"{variables}: {_SET_HERE}", hint)

    # ------------------------------------------------------------ references

    def references(self, above: str, holder: object) -> Iterator[Finding]:
        """Look at each reference of ``proxy`` or ``tls``, also of those of the scheme."""
        for name, value in _fields_of(holder).items():
            if isinstance(value, SecretRef):
                place = self.profile.place_of(*above.split("."), name)
                yield from self._reference(f"{above}.{name}", f"{above}.{name}", value, place)

    def predict(self, **fields: object) -> tuple[Finding, ...]:
        """Look at references of the scheme, and of the vault; what a scheme gets to call."""
        found: list[Finding] = []
        for field, value in fields.items():
            is_of_scheme = value_of(self.profile.auth, field) is not None
            for name, reference in references_in(value, field):
                if isinstance(reference, Secret):
                    continue
                if is_of_scheme:
                    place = self.profile.place_of("auth", *_INDEX.sub("", name).split("."))
                    known_as = field_of(f"auth.{name}")
                    found += self._reference(f"auth.{name}", known_as, reference, place)
                else:
                    found += self._reference(name, name, reference, self._place_of_machine(name))
        return tuple(found)

    def _reference(
        self, subject: str, field: str, reference: SecretRef, place: str
    ) -> Iterator[Finding]:
        here = context_of_field(self.profile, field, self.silent, self._user)
        for finding in reference.predict(here):
            yield replace(finding, subject=subject, place=finding.place or place)

    @cached_property
    def _user(self) -> str | None:
        try:
            return user_of(self.profile, self.silent, only=_QUIET)
        except GatepassError:
            return None  # what is wrong with it is told for its own field

    def _place_of_machine(self, name: str) -> str:
        _, origin = self.layers.machine.get(name.partition(".")[0], (None, None))
        return origin.where if origin else ""

    # ------------------------------------------------------------ TLS

    def beside_the_server(self) -> Iterator[Finding]:
        """Look at ``tls`` and ``proxy`` of a scheme that has them: the way to its provider."""
        tls, proxy = value_of(self.profile.auth, "tls"), value_of(self.profile.auth, "proxy")
        # A provider that is not written is asked over TLS, as all but this very computer are.
        url = str(value_of(self.profile.auth, "issuer") or "https:")
        if isinstance(tls, TlsSettings):
            if proxy is None:
                yield from self._proxies("auth.proxy", url)
            yield from self.references("auth.tls", tls)
            yield from self.certificates("auth.tls", tls, url)
        if isinstance(proxy, Proxy):
            yield from self.references("auth.proxy", proxy)

    def certificates(self, table: str, tls: TlsSettings, url: str) -> Iterator[Finding]:
        """Read the certificates, as a session would; a key with a passphrase is only opened.

        Args:
            table: the key that holds them.
            tls: what stands there.
            url: whose server is meant.
        """
        environ = self.context.environ
        trust = authorities_of(tls.ca_file, environ)
        if trust and tls.verify and (tls.ca_file or url.startswith("https:")):
            subject = f"{table}.ca_file"
            if not tls.ca_file:
                names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
                subject = next(name for name in names if environ.get(name))
                yield Finding("info", subject, f"it is {_SET_HERE}")
            yield from self._loaded(subject, TlsContexts(trust, table), None)
        elif url.startswith("https:") and tls.verify:
            # OpenSSL reads them by itself; the stores of Windows and macOS know no variables.
            elsewhere = sys.platform in {"win32", "darwin"}
            for name in () if elsewhere else ("SSL_CERT_FILE", "SSL_CERT_DIR"):
                if environ.get(name):
                    yield Finding("info", name, f"it is {_SET_HERE}")
        if tls.client_cert and tls.client_key_password is None:
            certificate = ClientCertificate(tls.client_cert, tls.client_key)
            yield from self._loaded(f"{table}.client_cert", TlsContexts(None, table), certificate)
        elif tls.client_cert:
            yield from self._opened(f"{table}.client_cert", tls.client_cert)
            yield from self._opened(f"{table}.client_key", tls.client_key or tls.client_cert)

    def _loaded(
        self, subject: str, contexts: TlsContexts, certificate: ClientCertificate | None
    ) -> Iterator[Finding]:
        try:
            contexts.get(certificate is None, certificate)
        except ProfileError as error:
            place = self.profile.place_of(*subject.split("."))
            yield Finding("problem", subject, error.message, error.hint, place)

    def _opened(self, subject: str, path: str) -> Iterator[Finding]:
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            message = f"cannot read {path}: {error.strerror}"
            place = self.profile.place_of(*subject.split("."))
            yield Finding("problem", subject, message, place=place)

    # ------------------------------------------------------------ the scheme

    def scheme(self, until: float) -> Iterator[Finding]:
        """Let the scheme say what would fail; without that, look at its references."""
        name, scheme = self.profile.scheme, cast("Any", self.profile.auth)
        if not predicts_itself(scheme):
            yield from self.predict(**_fields_of(scheme))
            message = f"what the scheme {name} needs beside its references cannot be predicted"
            yield Finding("warning", "auth", message, place=self._place_of_scheme)
            return
        unattended = UnattendedContext(
            profile_name=self.profile.name,
            origin=self.profile.origin,
            predict=self.predict,
            vault=partial(vault_of, self.profile.machine, self.silent),
            environ=self.context.environ,
            clock=time.time,
            until=until,
        )
        for finding in findings_of(
            f"the scheme {name}", "auth", lambda: scheme.unattended(unattended)
        ):
            known = finding.place or finding.subject.startswith("vault")
            yield finding if known else replace(finding, place=self._place_of_scheme)

    @property
    def _place_of_scheme(self) -> str:
        return self.profile.place_of("auth", "scheme")


def _fields_of(holder: Any) -> dict[str, Any]:
    """The fields of a dataclass with their values; none where there is no holder."""
    named = fields(type(holder)) if holder is not None else ()
    return {field.name: value_of(holder, field.name) for field in named}


def _spellings(variable: str) -> tuple[str, str]:
    """The two names of a variable about proxies, that in small letters first, as it counts."""
    return variable, variable.upper()


def _how_found(source: Layer) -> str:
    """Say how a file was found, where a job may not find it so; else nothing."""
    if is_project(source.kind):
        return (
            "it is found from the working directory, and trusted by you: the job must start below "
            "its folder, as you; or name it by GATEPASS_CONFIG_FILE"
        )
    if source.kind == "file":
        return "it was named for this command; the job must name it too, by GATEPASS_CONFIG_FILE"
    return ""
