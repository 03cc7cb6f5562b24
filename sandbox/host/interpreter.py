"""Find an interpreter and its files on disk without running it.

The interpreter of a user's workspace may come with a repository that was never reviewed. So its layout is read from
symlinks and `pyvenv.cfg`, and it is first executed inside the jail.
"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import InterpreterMissing

PROJECT = Path(__file__).resolve().parents[2]
"""The root of this package, to which an editable install links. Candidates must not read it."""

SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/local/lib")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python to start in the jail."""

    executable: Path
    """The real file, with all symlinks resolved."""
    readable: tuple[Path, ...]
    """Files and folders that it needs, mounted read-only at the same path."""
    site_packages: tuple[Path, ...]
    """Folders to add to `sys.path`: those of its virtual environment, if `locate` was given one."""


def locate(name: str | None = None) -> Interpreter:
    """Find an interpreter and its files.

    `name` is a path, a command on PATH, or a virtual environment's folder; by default this Python.

    Raises `InterpreterMissing` with advice when it does not exist.
    """
    path = _named(name)
    real = path.resolve()
    base = real.parent.parent
    readable = [real, *(p for p in (base / "lib", base / "lib64") if p.is_dir())]
    sites: list[Path] = []
    environment = path.parent.parent
    if (environment / "pyvenv.cfg").is_file():
        sites = sorted(environment.glob("lib*/python*/site-packages"))
        if re.search(r"(?mi)^include-system-site-packages\s*=\s*true", _config(environment)):
            sites += sorted(base.glob("lib*/python*/site-packages"))
    else:
        version = re.search(r"python(\d+\.\d+)", real.name)
        pattern = f"lib*/python{version.group(1) if version else '*'}/site-packages"
        sites = sorted(base.glob(pattern)) + [p for p in (base / "lib/python3/dist-packages",) if p.is_dir()]
    sites += [folder for site in sites for folder in _linked(site)]
    return Interpreter(real, tuple(dict.fromkeys([*readable, *sites])), tuple(dict.fromkeys(sites)))


def _named(name: str | None) -> Path:
    path = Path(name if name is not None else sys.executable)
    if path.is_dir():
        path = path / "bin" / "python"
    elif name is not None and "/" not in name:
        found = shutil.which(name)
        path = Path(found) if found else path
    if not path.is_file():
        raise InterpreterMissing(
            f"no Python interpreter exists at {path}: name another one, or leave the setting "
            f"out to use {sys.executable}"
        )
    return path.absolute()


def _linked(site: Path) -> list[Path]:
    """List the folders that `.pth` files add (editable installs).

    Lines with code are ignored.
    """
    lines = [
        line.strip()
        for f in sorted(site.glob("*.pth"))
        for line in f.read_text("utf-8", "replace").split("\n")
    ]
    folders = [site / line for line in lines if line and not line.startswith(("#", "import ", "import\t"))]
    return [folder for folder in folders if folder.is_dir() and folder != PROJECT]


def _config(environment: Path) -> str:
    return (environment / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
