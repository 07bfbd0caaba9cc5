"""Select the profile that is meant: by the argument, a variable or a default."""

from itertools import islice

from gatepass._config.layer import (
    BAD_NAME,
    PROFILE_NAME,
    KeyLocation,
    Layer,
    Layers,
    refuse_untrusted,
    untrusted_file,
)
from gatepass._config.locations import PROJECT_FILE
from gatepass._config.merge import profile_layers_of, strongest
from gatepass._config.suggest import guess_name, shown_names
from gatepass._system.text import printable, quoted
from gatepass.errors import (
    ProfileError,
    ProfileNotFound,
)


def select_name(layers: Layers, name: str | None) -> str:
    """Return the name of the profile to load.

    In this order: the argument, ``GATEPASS_PROFILE``, the project's ``default_profile``, the
    user's, the only profile that is not protected.

    Raises:
        ProfileNotFound: no such profile, or none can be selected; lists the names.
        UntrustedFile: a file that is not trusted would decide.
    """
    if name is not None:
        return _existing(layers, name, "the argument")
    if layers.wanted is not None:
        return _existing(layers, layers.wanted, "GATEPASS_PROFILE")
    _refuse_untrusted_default(layers)
    for layer in reversed(layers.file_layers):
        if layer.tables.get("default_profile") is not None:
            return _default_of(layer, layers)
    return _only_open_profile(layers)


def _default_of(layer: Layer, layers: Layers) -> str:
    """Return the default profile that a file names."""
    where = KeyLocation(layer, ("default_profile",)).where
    name = _existing(layers, layer.tables["default_profile"], where)
    if is_protected(layers, name):
        raise ProfileNotFound(
            f"{where}: the default profile {name!r} is protected, and a protected "
            "profile is only taken by name",
            hint=f'name it: Session.from_profile("{name}"), or GATEPASS_PROFILE={name}',
        )
    return name


def _only_open_profile(layers: Layers) -> str:
    """Return the only profile that is not protected."""
    each_open = (each for each in layers.all_names if not is_protected(layers, each))
    open_ones = [*islice(each_open, 2)]
    if len(open_ones) == 1:
        _refuse_misnamed(layers, open_ones[0])
        return open_ones[0]
    if not layers.all_names:
        raise ProfileNotFound("no profile was found", hint=_listing(layers, ""))
    raise ProfileNotFound(
        "no profile was named, and no default can be chosen",
        hint=_listing(layers, _advice(layers, open_ones)),
    )


def _advice(layers: Layers, open_ones: list[str]) -> str:
    """Say how to choose, with the line that makes the first one the default."""
    if not open_ones or not PROFILE_NAME.fullmatch(open_ones[0]):
        return "name one, or set GATEPASS_PROFILE"
    file = printable(layers.where(open_ones[0]).layer.label)
    return (
        "name one, or set GATEPASS_PROFILE; or make one the default, by a line above the first "
        f'table of {file}:\n    default_profile = "{open_ones[0]}"\n'
        f"which writes:   gatepass init {open_ones[0]} --default"
    )


def _existing(layers: Layers, name: object, named_by: str) -> str:
    """Return a name that was given, if a profile with it exists and may be loaded."""
    if isinstance(name, str) and "://" in name:  # not repeated: it may hold a password
        raise ProfileNotFound(
            f"a URL is not the name of a profile (named by {named_by})",
            hint=_listing(layers, "a profile holds the URL: gatepass init NAME --url URL"),
        )
    if isinstance(name, str):
        refuse_untrusted(layers, name)
        if name in layers.all_names:
            _refuse_misnamed(layers, name)
            refuse_colliding_names(layers, name)
            return name
    shown = printable(str(name)) if isinstance(name, str) else type(name).__name__
    guess = guess_name(str(name).lower(), layers.names)
    raise ProfileNotFound(
        f'there is no profile "{shown}" (named by {named_by}){guess}', hint=_listing(layers, "")
    )


def _refuse_misnamed(layers: Layers, name: str) -> None:
    if not PROFILE_NAME.fullmatch(name):
        raise ProfileError(problems=[layers.where(name).problem(BAD_NAME)])


def _listing(layers: Layers, advice: str) -> str:
    """Say which profiles exist, or where they were looked for, after an advice."""
    lines = [advice] if advice else []
    if layers.names:
        lines.append(f"profiles: {shown_names(layers.names)}")
    elif layers.all_names:
        lines.append("no profile has a name that can be used; see why: gatepass validate")
    else:
        looked = ", ".join(printable(str(file.path)) for file in layers.files) or "nowhere"
        nothing = "no profile was found; " if advice else ""  # else the message says so
        lines.append(f"{nothing}looked for {looked}\nmake one with: gatepass init")
    lines += map(str, layers.unread)
    lines += [f"{name} is set, but empty, so it counts as unset" for name in layers.empty]
    if layers.stray is not None:
        lines.append(
            f"{printable(str(layers.stray))} exists but is not read; name it with "
            f"--config-file {quoted(str(layers.stray))}, or call it {PROJECT_FILE}"
        )
    return "\n".join(lines)


def _refuse_untrusted_default(layers: Layers) -> None:
    for layer in layers.untrusted:
        if "default_profile" in layer.tables:
            raise untrusted_file(layer, "it would choose the default profile")


def refuse_colliding_names(layers: Layers, name: str) -> None:
    """Refuse a name that differs from another only in ``-`` and ``_``: variables see one name."""
    flat = name.replace("-", "_")
    alike = [each for each in layers.names if each.replace("-", "_") == flat]
    if len(alike) > 1:
        raise ProfileError(
            f"the profiles {' and '.join(alike)} are one name to variables, where - is _",
            hint="rename one of them",
        )


def is_protected(layers: Layers, name: str) -> bool:
    """Say whether a profile is protected, itself or by its parent."""
    try:
        parts, _ = profile_layers_of(layers, name)
    except ProfileError:
        return False  # loading it reports what is broken
    return strongest(parts, ("protected",)) not in {None, False}
