"""Everything that is wrong with profiles, found without stopping at the first."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator

from gatepass._config import layer, merge, selection, suggest, validate
from gatepass._config.files_seen import files_seen
from gatepass._config.layer import KeyLocation, Layer, Layers
from gatepass._config.profile import MachineSettings, Profile
from gatepass._net.tls import TlsContexts, TlsSettings, trust_of
from gatepass._system import plugins
from gatepass._system.text import printable
from gatepass._value import Value, asdict, replace
from gatepass.auth import value_of
from gatepass.errors import GatepassError, Problem, ProfileError


class Complaint(Value):
    """One complaint.

    Attributes:
        problem: what and where.
        profile: whose; empty for a file, a machine setting or a package.
    """

    problem: Problem
    profile: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the form that ``validate --json`` prints."""
        told: dict[str, str] = asdict(self.problem)
        del told["excerpt"]
        return told | {"profile": self.profile}


def problems_in(error: GatepassError) -> tuple[Problem, ...]:
    """Return the complaints that an error carries, or one made of its text."""
    found = error.problems if isinstance(error, ProfileError) else ()
    return found or (Problem("", "", error.message, hint=error.hint),)


def complaints_of(
    layers: Layers, name: str, machine: MachineSettings
) -> tuple[Profile | None, tuple[Problem, ...]]:
    """Check one profile: what it is, or what is wrong with it."""
    try:
        return validate.validate_profile(merge.merge_profile(layers, name), machine), ()
    except GatepassError as error:
        return None, problems_in(error)


def broken(name: str) -> str:
    """Say that a profile is broken, and what to run; a name that is refused is not pasted."""
    return f"{printable(name)} is broken; see why: {seen_by(name)}"


def seen_by(name: str) -> str:
    """Return the command that tells what is wrong with a profile."""
    return f"gatepass validate {name if layer.PROFILE_NAME.fullmatch(name) else ''}".rstrip()


class Found(Value):
    """What came of checking profiles.

    Attributes:
        checked: their names.
        others: how many there are that were not checked.
        complaints: every complaint once.
    """

    checked: tuple[str, ...]
    others: int
    complaints: tuple[Complaint, ...]


def all_complaints(read: Callable[[], Layers], name: str | None, *, everything: bool) -> Found:
    """Check one profile, or all of them and what they share.

    Args:
        read: reads the layers.
        name: the profile; None is the selected one.
        everything: all of them.

    Raises:
        ProfileNotFound: there is no profile of that name.
        UntrustedFile: it stands in a file that nobody trusts.
    """
    try:
        layers = read()
    except ProfileError as error:
        return Found((), 0, tuple(Complaint(problem) for problem in problems_in(error)))
    found = [Complaint(problem) for problem in _of_the_machine(layers)]
    names = layers.all_names
    if everything or not names:
        found += _of_packages()
        found += _of_defaults(layers)
        found += similar_names(layers)
        found += _of_hidden_profiles(layers)
        if not found and not layers.all_names:
            found = [Complaint(_no_profile(layers))]
    else:
        names = (selection.select_name(layers, name),)
    for each in names:
        profile, problems = complaints_of(layers, each, MachineSettings())
        problems += tuple(_of_tls_files(profile) if profile else ())
        found += [Complaint(problem, each) for problem in problems]
    others = len(layers.all_names) - len(names)
    return Found(names, others, tuple(dict.fromkeys(found)))


def _of_tls_files(profile: Profile) -> Iterator[Problem]:
    """Complain about files for TLS that are not there, or hold no authority. Reads no key."""
    for table, tls in (("tls", profile.tls), ("auth.tls", value_of(profile.auth, "tls"))):
        if not isinstance(tls, TlsSettings):
            continue
        try:
            TlsContexts(trust_of(tls.ca_file, {}, f"{table}.ca_file"), table).get()
        except ProfileError as error:
            yield _of_file(profile, (*table.split("."), "ca_file"), error.message, error.hint)
        for name in ("client_cert", "client_key"):
            path = value_of(tls, name)
            # Path.is_file raises for a name that is too long
            if path and not (os.path.isfile(path) and os.access(path, os.R_OK)):  # noqa: PTH113
                yield _of_file(profile, (*table.split("."), name), f"cannot read {path}", "")


def _of_file(profile: Profile, key: tuple[str, ...], message: str, hint: str) -> Problem:
    shown = ".".join(("profiles", profile.name, *key))
    return Problem(profile.place_of(*key), shown, printable(message), hint=hint)


def _no_profile(layers: Layers) -> Problem:
    """Tell that there is nothing to check, and name each file, also those that were skipped."""
    lines = "\n".join(f"    {line}" for line in where_looked(layers))
    hint = f"looked for:\n{lines}\nmake one, or name a file:\n    gatepass init\n    "
    return Problem(
        "", "", "no profile was found", hint=hint + "gatepass validate --config-file FILE"
    )


def where_looked(layers: Layers) -> Iterator[str]:
    """Yield a line for each file that was looked for: its path and what became of it."""
    for file in files_seen(layers):
        why = f": {file.why}" if file.why else ""
        yield f"{printable(str(file.path))} ({file.state}{why})"


def _of_the_machine(layers: Layers) -> tuple[Problem, ...]:
    try:
        validate.validate_machine_settings(layers)
    except ProfileError as error:
        return problems_in(error)
    return ()


def _of_packages() -> Iterator[Complaint]:
    for sentence in plugins.conflicts():
        yield Complaint(Problem("", "", sentence, hint="uninstall the package, or tell its author"))


def _of_defaults(layers: Layers) -> Iterator[Complaint]:
    """Each file's ``default_profile``, also one that another file overrules."""
    untrusted = {name for source in layers.untrusted for name in source.names()}
    for source in layers.file_layers:
        default = source.tables.get("default_profile")
        origin = KeyLocation(source, ("default_profile",))
        if default is None or default in untrusted:
            continue
        if default not in layers.all_names:
            message = suggest.unknown_profile(default, layers.names)
            yield Complaint(origin.problem(message))
        elif selection.is_protected(layers, default):
            yield Complaint(
                origin.problem("names a protected profile, which is only taken by name")
            )


def similar_names(layers: Layers) -> Iterator[Complaint]:
    """Complain about each name that differs from another only in ``-`` and ``_``."""
    flat = defaultdict(list)
    for name in layers.names:
        flat[name.replace("-", "_")].append(name)
    for names in flat.values():
        for name in names if len(names) > 1 else ():
            others = " and ".join(other for other in names if other != name)
            message = f"differs from {others} only in - and _, which are one to variables"
            yield Complaint(layers.where(name).problem(message, hint="rename one of them"), name)


def _of_hidden_profiles(layers: Layers) -> Iterator[Complaint]:
    """The user's and the system's profiles that a project's profile of the same name hides."""
    own = tuple(source for source in layers.file_layers if source.is_own)
    project = {
        name for source in layers.file_layers if source not in own for name in source.names()
    }
    hidden = sorted({name for source in own for name in source.names()} & project)
    alone = replace(layers, file_layers=own, variables=Layer("variable", "variables", {}))
    for name in hidden:
        _, problems = complaints_of(alone, name, MachineSettings())
        for problem in problems:
            yield Complaint(problem, name)
