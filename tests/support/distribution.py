"""A package that looks installed, for tests of entry points."""

from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, name: str, entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """Let a package of this name look installed to programs with the folder in their path.

    Args:
        folder: where its modules lie, if it has any.
        name: of the package.
        entry_points: group → name → ``module:object``.
    """
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    lines = []
    for group, entries in entry_points.items():
        lines += [f"[{group}]", *(f"{word} = {value}" for word, value in entries.items())]
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(lines))
