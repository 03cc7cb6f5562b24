"""Find files of a patch that hide another module from import.

Python imports the first module of a name on its path: from the project's root, then `src/`, then the
installed packages. In one folder a package comes before a module. So a new file may replace a library under
code that the patch does not touch, which no probe of a changed function shows. Such a file is not refused: it
needs human review, as protected paths do.

Not covered: import roots that only the project's own settings define.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ci.behaviour.bundle import Tree, module_name
from ci.patch.parse import FileChange
from sandbox.host.interpreter import locate


def installed_names(python: str | None, repository: Path) -> frozenset[str]:
    """List the import names of the interpreter's installed packages, without running it.

    An editable install of the project points back into the repository, where a proposed file may already lie;
    such a folder is skipped. Raises `InterpreterMissing`.
    """
    sites = [
        site
        for site in locate(python).site_packages
        if site.name in ("site-packages", "dist-packages") or not site.resolve().is_relative_to(repository)
    ]
    entries = [entry for site in sites if site.is_dir() for entry in site.iterdir()]
    names = {entry.name.partition(".")[0] for entry in entries if entry.suffix in ("", ".py", ".so")}
    return frozenset(names)


def shadowing_files(changes: Iterable[FileChange], base: Tree, installed: frozenset[str]) -> tuple[str, ...]:
    """List added files whose import name base or the interpreter already has."""
    changes = tuple(changes)
    gone = {change.path for change in changes if change.kind == "delete"}
    known = [file for file, _ in base.modules.values() if file not in gone]
    tops = {_root_and_top(file) for file in (*known, *base.hidden)}
    found = []
    for path in (change.path for change in changes if change.kind == "add" and change.path.endswith(".py")):
        module = module_name(path)
        if module is None:
            continue
        in_src, top = _root_and_top(path)
        same, _ = base.modules.get(module, (path, ""))
        new_top = (in_src, top) not in tops
        if same not in (path, *gone) or (new_top and (top in installed or (not in_src, top) in tops)):
            found.append(path)
    return tuple(found)


def _root_and_top(path: str) -> tuple[bool, str]:
    """Return whether a file lies below `src/`, and its first import name."""
    parts = path.split("/")
    in_src = parts[0] == "src" and len(parts) > 1
    return in_src, parts[in_src].removesuffix(".py")
