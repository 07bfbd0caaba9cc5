"""Who may decide where secrets go: project files, permissions, swapped and changed files."""

import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from gatepass._config import files
from gatepass._config.trust import TrustStore
from gatepass.errors import (
    GatepassWarning,
    ProfileError,
    ProfileNotFound,
    UnsafePermissions,
    UntrustedFile,
)
from tests.support.config_files import PROD, ConfigFiles, posix

pytestmark = pytest.mark.filterwarnings("ignore::gatepass.errors.GatepassWarning")

EVIL = PROD.replace("mine", "evil")
MINE = "https://mine.example.com/"


def _refused(
    config: ConfigFiles, name: str | None = "prod", match: str | None = None
) -> UntrustedFile:
    with pytest.raises(UntrustedFile, match=match) as caught:
        config.load(name)
    return caught.value


def test_a_cloned_repository_cannot_choose_the_server_of_a_profile(config: ConfigFiles) -> None:
    """The own profile of that name is not silently used either: the run stops."""
    config.user(PROD)
    evil = config.in_project(EVIL, trusted=False)

    error = _refused(config)

    assert str(evil) in str(error)
    assert f"gatepass trust {evil}" in error.hint
    assert f"--config-file {evil}" in error.hint


@posix
def test_what_is_to_be_pasted_into_a_shell_is_quoted(config: ConfigFiles) -> None:
    """The folder belongs to the repository: its name could be a command."""
    folder = config.project.parent / "x; touch y"
    evil = config.write(folder / "gatepass.toml", EVIL)
    there = replace(config.locations, working=folder)
    config.user(PROD.replace("prod", "own"))

    with pytest.warns(GatepassWarning) as warned:
        config.load("own", locations=there)
    with warnings.catch_warnings(record=True) as more, pytest.raises(UntrustedFile) as caught:
        config.load("prod", locations=there)
    assert more == [], "the error says it"

    for text in (caught.value.hint, str(warned[0].message)):
        assert f"gatepass trust '{evil}'" in text


@pytest.mark.parametrize(
    ("own", "project", "local", "name", "said"),
    [
        ("", PROD, '[profiles.prod]\nurl = "https://evil.test/"', "prod", "gatepass.local.toml"),
        (PROD, "", EVIL, "prod", "gatepass.local.toml"),
        ("", PROD + '[profiles.child]\nextends = "prod"', EVIL, "child", "'prod'"),
        (PROD + PROD.replace("prod", "b"), "", 'default_profile = "b"', None, "default"),
    ],
    ids=["a local file beside a trusted one", "a lone local file", "a parent", "the default"],
)
def test_an_untrusted_file_decides_nothing(
    config: ConfigFiles, own: str, project: str, local: str, name: str | None, said: str
) -> None:
    """gatepass.local.toml is meant to be private; in a cloned repository it is a stranger's."""
    config.user(own)
    if project:
        config.in_project(project)
    config.in_project(local, local=True, trusted=False)

    _refused(config, name, said)


def test_an_untrusted_file_that_says_nothing_of_the_profile_is_skipped_with_one_warning(
    config: ConfigFiles,
) -> None:
    config.user(PROD)
    path = config.in_project(EVIL.replace("prod", "other"), trusted=False)

    with pytest.warns(UserWarning, match="is not trusted and was skipped") as warned:
        assert config.load("prod").url == MINE

    assert [str(path) in str(each.message) for each in warned] == [True]


def test_a_malformed_untrusted_file_stops_the_run(config: ConfigFiles) -> None:
    """What it defines cannot be known, so nothing is assumed."""
    config.user(PROD)
    config.in_project("[profiles.prod\n", trusted=False)

    assert "gatepass.toml:1:" in config.refusal("prod")


def test_a_trusted_file_takes_part_until_it_is_changed(config: ConfigFiles) -> None:
    config.user(EVIL)
    config.in_project(PROD)
    assert config.load("prod").url == MINE

    config.in_project(EVIL, trusted=False)
    _refused(config)


def test_trust_belongs_to_the_path_too(config: ConfigFiles) -> None:
    """The same bytes in another folder mean other relative paths."""
    config.trust(config.write(config.project.parent / "elsewhere" / "gatepass.toml", PROD))
    config.in_project(PROD, trusted=False)

    _refused(config)


@posix
def test_a_swapped_symlink_gains_nothing(config: ConfigFiles, tmp_path: Path) -> None:
    config.project.symlink_to(config.write(tmp_path / "good.toml", PROD))
    config.trust(config.project)
    assert config.load("prod").url == MINE

    config.project.unlink()
    config.project.symlink_to(config.write(tmp_path / "evil.toml", EVIL))

    _refused(config)


@posix
def test_a_symlinked_folder_is_known_by_its_real_path(config: ConfigFiles, tmp_path: Path) -> None:
    """Swapping the link leads to another folder, whose file is not trusted."""
    first, second, link = (tmp_path / name for name in ("first", "second", "link"))
    config.trust(config.write(first / "gatepass.toml", PROD))
    config.write(second / "gatepass.toml", PROD)
    there = replace(config.locations, working=link)

    link.symlink_to(first)
    assert config.load("prod", locations=there).url == MINE
    link.unlink()
    link.symlink_to(second)
    with pytest.raises(UntrustedFile):
        config.load("prod", locations=there)


@posix
def test_the_bytes_that_are_judged_are_the_bytes_that_are_used(config: ConfigFiles) -> None:
    """A file replaced after it was read changes nothing: there is no second read."""
    path = config.in_project(PROD, trusted=False)
    file = files.read_file(path)
    assert file is not None
    path.write_text(EVIL)

    assert file.data == PROD.encode()
    TrustStore(config.locations.state).add(file)
    _refused(config)


def test_a_file_dropped_into_a_shared_folder_where_scripts_run_is_refused(
    config: ConfigFiles, tmp_path: Path
) -> None:
    """Search goes upward into /tmp and the like; trust keeps it harmless."""
    job = tmp_path / "shared" / "job"
    job.mkdir(parents=True)
    config.user(PROD)
    config.write(job.parent / "gatepass.toml", EVIL)

    with pytest.raises(UntrustedFile, match="shared"):
        config.load("prod", locations=replace(config.locations, working=job))


def test_a_file_named_explicitly_is_trusted_by_that(config: ConfigFiles) -> None:
    path = config.in_project(PROD, trusted=False)

    assert config.load("prod", config_file=path).url == MINE


@posix
def test_trust_admits_permissions_that_cannot_be_changed(config: ConfigFiles) -> None:
    """WSL and NFS show 0777 whatever one does; the admitted bytes are pinned."""
    path = config.user(PROD)
    path.chmod(0o777)
    config.trust(path)
    assert config.load("prod").url == MINE

    path.write_text(EVIL)

    with pytest.raises(UnsafePermissions):
        config.load("prod")


@posix
def test_the_record_of_trust_is_private_and_is_refused_when_others_can_write_it(
    config: ConfigFiles,
) -> None:
    config.in_project(PROD)
    folder = config.locations.state / "trust"
    (record,) = folder.iterdir()
    assert [each.stat().st_mode & 0o777 for each in (folder, record)] == [0o700, 0o600]

    record.chmod(0o666)

    with pytest.raises(UnsafePermissions):
        config.load("prod")

    record.chmod(0o600)
    folder.chmod(0o777)

    with pytest.raises(UnsafePermissions, match="trust: can be written by anybody"):
        config.load("prod")


def test_a_damaged_record_of_trust_is_an_error_not_trust(config: ConfigFiles) -> None:
    config.in_project(PROD)
    (record,) = (config.locations.state / "trust").iterdir()
    record.write_bytes(b"[]")

    with pytest.raises(ProfileError, match="damaged"):
        config.load("prod")


def test_two_files_trusted_at_once_are_both_kept(config: ConfigFiles) -> None:
    """Each trusted file has a record of its own, so two commands cannot lose one."""
    names = [config.locations.state / name / "gatepass.toml" for name in "ab"]
    found = [files.read_file(config.write(path, PROD)) for path in names]
    stores = [TrustStore(config.locations.state) for _ in names]
    for store, file in zip(stores, found, strict=True):
        assert file is not None
        store.add(file)

    assert [stores[0].holds(file) for file in found if file] == [True, True]


def test_a_missing_profile_that_no_file_defines_is_not_blamed_on_trust(config: ConfigFiles) -> None:
    config.in_project(EVIL, trusted=False)

    with pytest.raises(ProfileNotFound):
        config.load("another")


@pytest.mark.parametrize("text", ['{"path": "/a\\ud800b", "sha256": "x"}', "[" * 100_000])
def test_a_record_that_no_path_fits_is_listed_as_damaged(tmp_path: Path, text: str) -> None:
    record = tmp_path / "trust" / "a.json"
    record.parent.mkdir(mode=0o700)
    record.write_text(text)
    record.chmod(0o600)

    (found,) = TrustStore(tmp_path).trusted()

    assert (found.path, found.state) == (record, "damaged record")
