"""Bundle the modules of a repository into one program text.

A program of the sandbox is a single source text in a jail without the repository. A bundle carries a module
and the project's own modules that it imports, directly or through others. It puts the module's names into the
program's namespace, where probes call them.

Not covered: data files next to the modules, compiled extensions, and packages that the interpreter lacks.
Such a module does not load, and the gate then reports that it could not compare behaviour.
"""

from __future__ import annotations

import ast
import os
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MAX_MODULES = 400
MAX_BYTES = 2 * 1024 * 1024

_LOADER = """\
def _load(modules, wanted):
    import importlib, importlib.abc, importlib.util, sys

    class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        def find_spec(self, name, path=None, target=None):
            if name not in modules:
                return None
            file, text = modules[name]
            package = file.endswith("/__init__.py")
            return importlib.util.spec_from_loader(name, self, origin=file, is_package=package)

        def exec_module(self, module):
            file, text = modules[module.__name__]
            module.__file__ = file
            exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)

    sys.meta_path.insert(0, Finder())
    module = importlib.import_module(wanted)
    return {name: value for name, value in vars(module).items() if not name.startswith("__")}


globals().update(_load(%(modules)s, %(wanted)r))
del _load
"""


class BundleError(Exception):
    """Raised when a module cannot be bundled; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The Python modules of one tree."""

    modules: dict[str, tuple[str, str]]
    """By import name: relative path and text."""
    hidden: frozenset[str] = frozenset()
    """Paths of files that cannot be imported, because another file of the same import name comes first."""

    @classmethod
    def read(cls, root: Path) -> Tree:
        """Read every module below `root`, before untrusted code runs there.

        Symbolic links are not followed: a link out of the tree is not code of the project. Of two files with
        one import name, the one that the test run imports counts: a file below the root before one below
        `src/`, and a package before a module.
        """
        modules: dict[str, tuple[str, str]] = {}
        hidden = set()
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if not name.startswith(".") and name != "node_modules"]
            for file in files:
                path = Path(folder, file)
                if not file.endswith(".py") or path.is_symlink():
                    continue
                relative = path.relative_to(root).as_posix()
                name = module_name(relative)
                if name is None:
                    continue
                text = path.read_text(encoding="utf-8", errors="surrogateescape")
                known = modules.setdefault(name, (relative, text))
                if known[0] != relative:
                    first, second = sorted([known, (relative, text)], key=lambda file: _import_order(file[0]))
                    modules[name] = first
                    hidden.add(second[0])
        return cls(modules, frozenset(hidden))


def _import_order(path: str) -> tuple[bool, bool]:
    """The sort key of files with one import name: Python's order."""
    return path.startswith("src/"), not path.endswith("/__init__.py")


def module_name(path: str) -> str | None:
    """The import name of a file, below the root or below `src/`.

    None where it cannot be imported.
    """
    pure = PurePosixPath(path)
    parts = list(pure.with_suffix("").parts)
    if parts[0] == "src" and len(parts) > 1:
        parts = parts[1:]
    if parts[-1] == "__init__" and len(parts) > 1:
        parts = parts[:-1]
    return ".".join(parts) if all(part.isidentifier() for part in parts) else None


def bundle(tree: Tree, wanted: str) -> str:
    """Build the program text whose namespace holds the names of module `wanted`.

    Raises `BundleError`.
    """
    if wanted not in tree.modules:
        raise BundleError(f"there is no module {wanted}")
    needed = _closure(tree, wanted)
    for package in [name for name in needed if name in tree.modules]:
        parts = package.split(".")
        needed |= {".".join(parts[:n]) for n in range(1, len(parts))}
    carried = {name: tree.modules.get(name, (f"{name.replace('.', '/')}/__init__.py", "")) for name in needed}
    if len(carried) > MAX_MODULES or sum(len(text) for _, text in carried.values()) > MAX_BYTES:
        raise BundleError(f"{wanted} imports more of the project than the sandbox accepts in one program")
    # ASCII, whatever the modules contain, because a job travels into the jail as text.
    modules = {name: [f"/{file}", text] for name, (file, text) in sorted(carried.items())}
    return _LOADER % {"modules": ascii(modules), "wanted": wanted}


def _closure(tree: Tree, wanted: str) -> set[str]:
    """The modules that `wanted` imports, directly or through others, and their packages."""
    needed: set[str] = set()
    pending = [wanted]
    while pending:
        name = pending.pop()
        if name in needed:
            continue
        needed.add(name)
        parts = name.split(".")
        pending += [".".join(parts[:n]) for n in range(1, len(parts)) if ".".join(parts[:n]) in tree.modules]
        if name in tree.modules:
            pending += [found for found in _imports(tree, name) if found in tree.modules]
    return needed


def _imports(tree: Tree, name: str) -> set[str]:
    """The absolute names that a module imports, anywhere in it."""
    file, text = tree.modules[name]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    package = name.split(".") if file.endswith("__init__.py") else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {origin} | {f"{origin}.{alias.name}".lstrip(".") for alias in node.names}
    return found
