"""The files that were looked for, for ``explain``, ``profiles`` and ``doctor``."""

import os
from collections.abc import Iterator

from gatepass._config.layer import FileSeen, Layers, is_own, is_project
from gatepass._config.locations import PROJECT_FILE, PROJECT_FILES, project_folder
from gatepass._value import replace


def files_seen(layers: Layers) -> tuple[FileSeen, ...]:
    """Return every file that was looked for, and those that a person might expect among them.

    Looks for files; reads none.
    """
    seen = list(layers.files)
    if layers.replaced_by:
        why = f"{layers.replaced_by} replaces the search"
        alone = f"for machine settings alone: {why}"
        seen = [
            replace(file, why=alone) if is_own(file.layer) and file.state == "read" else file
            for file in seen
        ]
        seen += _skipped_project_files(layers, why)
    elif not any(is_project(file.layer) for file in seen):
        seen += _no_project_file(layers)
    if layers.stray is not None:
        why = f"only your own file has this name; a project's is called {PROJECT_FILE}"
        seen.append(FileSeen(layers.stray, "project", "skipped", why))
    return tuple(seen)


def _skipped_project_files(layers: Layers, why: str) -> Iterator[FileSeen]:
    folder = project_folder(layers.locations) if layers.locations else None
    named = {file.path for file in layers.files}
    for name, layer in PROJECT_FILES.items():
        path = folder / name if folder else None
        if path and os.path.lexists(path) and path not in named:
            yield FileSeen(path, layer, "skipped", why)


def _no_project_file(layers: Layers) -> Iterator[FileSeen]:
    working = layers.locations.working if layers.locations else None
    if working is None:
        return
    path = working / PROJECT_FILE
    if os.path.lexists(path):  # then the search does not look there
        yield FileSeen(path, "project", "skipped", "the home folder and all above it are barred")
    else:
        yield FileSeen(path, "project", "absent", "here and in the folders above")
