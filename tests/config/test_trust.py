"""Who may decide where secrets go: project files, permissions, swapped and changed files."""

import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from gatepass._config import files
from gatepass._config.load import load_profile
from gatepass._config.locations import Locations
from gatepass._config.profile import Profile
from gatepass._config.trust import TrustStore
from gatepass.errors import (
    GatepassWarning,
    ProfileError,
    ProfileNotFound,
    UnsafePermissions,
    UntrustedFile,
)
from tests.support.config_files import PROD, Write, posix

pytestmark = pytest.mark.filterwarnings("ignore::gatepass.errors.GatepassWarning")

EVIL = PROD.replace("mine", "evil")


def _project(locations: Locations) -> Path:
    assert locations.working is not None
    return locations.working / "gatepass.toml"


def _trust_it(path: Path, locations: Locations) -> None:
    file = files.read_file(path)
    assert file is not None
    TrustStore(locations.state).add(file)


def _load(locations: Locations, name: str | None = "prod", **environ: str) -> Profile:
    return load_profile(name, environ=environ, locations=locations)


def test_a_cloned_repository_cannot_choose_the_server_of_a_profile(
    locations: Locations, write: Write
) -> None:
    """The own profile of that name is not silently used either: the run stops."""
    write(locations.user, PROD)
    evil = write(_project(locations), EVIL)

    with pytest.raises(UntrustedFile) as caught:
        _load(locations)

    assert str(evil) in str(caught.value)
    assert f"gatepass trust {evil}" in caught.value.hint
    assert f"--config-file {evil}" in caught.value.hint


@posix
def test_what_is_to_be_pasted_into_a_shell_is_quoted(locations: Locations, write: Write) -> None:
    """The folder belongs to the repository: its name could be a command."""
    folder = _project(locations).parent / "x; touch y"
    evil = write(folder / "gatepass.toml", EVIL)
    there = replace(locations, working=folder)

    write(locations.user, PROD.replace("prod", "own"))

    with pytest.warns(GatepassWarning) as warned:
        _load(there, "own")
    with warnings.catch_warnings(record=True) as more, pytest.raises(UntrustedFile) as caught:
        _load(there)
    assert more == [], "the error says it"

    for text in (caught.value.hint, str(warned[0].message)):
        assert f"gatepass trust '{evil}'" in text


def test_an_untrusted_local_file_cannot_either(locations: Locations, write: Write) -> None:
    """gatepass.local.toml is meant to be private; in a cloned repository it is a stranger's."""
    project = write(_project(locations), PROD)
    _trust_it(project, locations)
    write(project.with_name("gatepass.local.toml"), '[profiles.prod]\nurl = "https://evil.test/"')

    with pytest.raises(UntrustedFile, match="gatepass.local.toml"):
        _load(locations)


def test_a_lone_local_file_is_seen(locations: Locations, write: Write) -> None:
    write(locations.user, PROD)
    write(_project(locations).with_name("gatepass.local.toml"), EVIL)

    with pytest.raises(UntrustedFile, match="gatepass.local.toml"):
        _load(locations)


def test_an_untrusted_parent_is_refused(locations: Locations, write: Write) -> None:
    project = write(
        _project(locations),
        '[profiles.child]\nextends = "base"\n'
        '[profiles.base]\nurl = "https://a.test"\nauth = { scheme = "anonymous" }',
    )
    _trust_it(project, locations)
    write(project.with_name("gatepass.local.toml"), '[profiles.base]\nurl = "https://evil.test"')

    with pytest.raises(UntrustedFile, match="'base'"):
        _load(locations, "child")


def test_an_untrusted_file_cannot_choose_the_default(locations: Locations, write: Write) -> None:
    write(locations.user, PROD + PROD.replace("prod", "other"))
    write(_project(locations), 'default_profile = "other"')

    with pytest.raises(UntrustedFile, match="default"):
        _load(locations, None)


def test_an_untrusted_file_that_says_nothing_of_the_profile_is_skipped_with_one_warning(
    locations: Locations, write: Write
) -> None:
    write(locations.user, PROD)
    path = write(_project(locations), EVIL.replace("prod", "other"))

    with pytest.warns(UserWarning, match="is not trusted and was skipped") as warned:
        profile = _load(locations)

    assert profile.url == "https://mine.example.com/"
    assert len(warned) == 1
    assert str(path) in str(warned[0].message)


def test_a_malformed_untrusted_file_stops_the_run(locations: Locations, write: Write) -> None:
    """What it defines cannot be known, so nothing is assumed."""
    write(locations.user, PROD)
    write(_project(locations), "[profiles.prod\n")

    with pytest.raises(ProfileError, match="gatepass.toml:1:"):
        _load(locations)


def test_a_trusted_file_takes_part(locations: Locations, write: Write) -> None:
    write(locations.user, EVIL)
    _trust_it(write(_project(locations), PROD), locations)

    assert _load(locations).url == "https://mine.example.com/"


def test_a_changed_file_is_no_longer_trusted(locations: Locations, write: Write) -> None:
    path = write(_project(locations), PROD)
    _trust_it(path, locations)
    write(path, EVIL)

    with pytest.raises(UntrustedFile):
        _load(locations)


def test_trust_belongs_to_the_path_too(locations: Locations, write: Write) -> None:
    """The same bytes in another folder mean other relative paths."""
    assert locations.working is not None
    _trust_it(write(locations.working / "elsewhere" / "gatepass.toml", PROD), locations)
    write(_project(locations), PROD)

    with pytest.raises(UntrustedFile):
        _load(locations)


@posix
def test_a_swapped_symlink_gains_nothing(
    locations: Locations, write: Write, tmp_path: Path
) -> None:
    good = write(tmp_path / "good.toml", PROD)
    evil = write(tmp_path / "evil.toml", EVIL)
    link = _project(locations)
    link.symlink_to(good)
    _trust_it(link, locations)
    assert _load(locations).url == "https://mine.example.com/"

    link.unlink()
    link.symlink_to(evil)

    with pytest.raises(UntrustedFile):
        _load(locations)


@posix
def test_a_symlinked_folder_is_known_by_its_real_path(
    locations: Locations, write: Write, tmp_path: Path
) -> None:
    """Swapping the link leads to another folder, whose file is not trusted."""
    first, second = tmp_path / "first", tmp_path / "second"
    _trust_it(write(first / "gatepass.toml", PROD), locations)
    write(second / "gatepass.toml", PROD)
    link = tmp_path / "link"
    link.symlink_to(first)

    def seen_from(folder: Path) -> Locations:
        return Locations((), locations.user, locations.state, folder, locations.home)

    assert _load(seen_from(link)).url == "https://mine.example.com/"
    link.unlink()
    link.symlink_to(second)
    with pytest.raises(UntrustedFile):
        _load(seen_from(link))


@posix
def test_the_bytes_that_are_judged_are_the_bytes_that_are_used(
    locations: Locations, write: Write
) -> None:
    """A file replaced after it was read changes nothing: there is no second read."""
    path = write(_project(locations), PROD)
    file = files.read_file(path)
    assert file is not None
    path.write_text(EVIL)

    assert file.data == PROD.encode()
    TrustStore(locations.state).add(file)
    with pytest.raises(UntrustedFile):
        _load(locations)


def test_a_file_dropped_into_a_shared_folder_where_scripts_run_is_refused(
    locations: Locations, write: Write, tmp_path: Path
) -> None:
    """Search goes upward into /tmp and the like; trust keeps it harmless."""
    shared = tmp_path / "shared"
    (shared / "job").mkdir(parents=True)
    write(locations.user, PROD)
    write(shared / "gatepass.toml", EVIL)
    job = Locations((), locations.user, locations.state, shared / "job", locations.home)

    with pytest.raises(UntrustedFile, match="shared"):
        _load(job)


def test_a_file_named_explicitly_is_trusted_by_that(locations: Locations, write: Write) -> None:
    path = write(_project(locations), PROD)

    profile = load_profile("prod", config_file=path, environ={}, locations=locations)

    assert profile.url == "https://mine.example.com/"


@posix
def test_trust_admits_permissions_that_cannot_be_changed(
    locations: Locations, write: Write
) -> None:
    """WSL and NFS show 0777 whatever one does; the admitted bytes are pinned."""
    path = write(locations.user, PROD)
    path.chmod(0o777)
    _trust_it(path, locations)
    assert _load(locations).url == "https://mine.example.com/"

    path.write_text(EVIL)

    with pytest.raises(UnsafePermissions):
        _load(locations)


@posix
def test_the_record_of_trust_is_private_and_is_refused_when_others_can_write_it(
    locations: Locations, write: Write
) -> None:
    path = write(_project(locations), PROD)
    _trust_it(path, locations)
    folder = locations.state / "trust"
    (record,) = folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert record.stat().st_mode & 0o777 == 0o600

    record.chmod(0o666)

    with pytest.raises(UnsafePermissions):
        _load(locations)


def test_a_damaged_record_of_trust_is_an_error_not_trust(
    locations: Locations, write: Write
) -> None:
    path = write(_project(locations), PROD)
    _trust_it(path, locations)
    (record,) = (locations.state / "trust").iterdir()
    record.write_bytes(b"[]")

    with pytest.raises(ProfileError, match="damaged"):
        _load(locations)


def test_two_files_trusted_at_once_are_both_kept(locations: Locations, write: Write) -> None:
    """Each trusted file has a record of its own, so two commands cannot lose one."""
    first = files.read_file(write(locations.state / "a" / "gatepass.toml", PROD))
    second = files.read_file(write(locations.state / "b" / "gatepass.toml", EVIL))
    assert first is not None
    assert second is not None
    store, other = TrustStore(locations.state), TrustStore(locations.state)
    store.add(first)
    other.add(second)

    assert store.holds(first)
    assert store.holds(second)


def test_a_missing_profile_that_no_file_defines_is_not_blamed_on_trust(
    locations: Locations, write: Write
) -> None:
    write(_project(locations), EVIL)

    with pytest.raises(ProfileNotFound):
        _load(locations, "another")


@pytest.mark.parametrize("text", ['{"path": "/a\\ud800b", "sha256": "x"}', "[" * 100_000])
def test_a_record_that_no_path_fits_is_listed_as_damaged(tmp_path: Path, text: str) -> None:
    record = tmp_path / "trust" / "a.json"
    record.parent.mkdir(mode=0o700)
    record.write_text(text)
    record.chmod(0o600)

    (found,) = TrustStore(tmp_path).trusted()

    assert (found.path, found.state) == (record, "damaged record")
