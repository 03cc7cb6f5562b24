"""Parse proposed patches: the files that each changes, and refusals.

A patch is untrusted text. It is parsed with `unidiff`, and refused unless it is a plain text change of files
inside the repository. Binary data, symbolic links, file modes, submodules, renames, absolute paths and `..`
are refused. Edits to *protected* paths are not refused but need human review: tests, their configuration, CI,
lock files, and files that Python or pytest import by themselves. A patch must not change the tests and
settings that judge it.

Not covered: `unidiff` and `git apply` are two parsers and may read one text differently. So this module is
the first check only; `ci.patch.worktrees` compares what git changed with what was read here.
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import dataclass
from pathlib import PurePosixPath

from pathspec import GitIgnoreSpec
from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchedFile, PatchSet

MAX_PATCH_BYTES = 2 * 1024 * 1024
"""Tests and votes cannot judge a larger change."""

PROTECTED = (
    # Tests, and everything that configures how they run.
    "test/",
    "tests/",
    "test_*.py",
    "*_test.py",
    "conftest.py",
    "pytest.ini",
    ".pytest.ini",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "tox.ini",
    "noxfile.py",
    ".coveragerc",
    # Continuous integration, reviewers, and settings of git.
    ".github/",
    ".gitlab/",
    ".gitlab-ci.yml",
    ".circleci/",
    ".ci/",
    "Jenkinsfile",
    "azure-pipelines.yml",
    "CODEOWNERS",
    ".gitattributes",
    ".gitmodules",
    # Files that Python and pytest load by themselves.
    "*.pth",
    "sitecustomize.py",
    "usercustomize.py",
    "*.egg-info/",
    "*.dist-info/",
    "__pycache__/",
    "*.pyc",
    "*.so",
    # Files that decide which packages are installed.
    "*.lock",
    "requirements*.txt",
    "constraints*.txt",
    "package-lock.json",
)
"""Patterns in the syntax of .gitignore. `--protect` adds to them; nothing removes one."""

_RUNNER_MODULES = frozenset({"pytest", "_pytest", "pluggy", "iniconfig", "packaging", "py", "exceptiongroup"})
_PLAIN_MODE = "100644"
_REFUSED_HEADERS = (
    (re.compile(r"^(GIT binary patch|Binary files? )"), "binary data"),
    (
        re.compile(r"^(rename|copy) (from|to) "),
        "a rename or copy (make the patch with git diff --no-renames)",
    ),
    (re.compile(r"^(old|new) mode "), "a change of file mode"),
)


class PatchRefused(Exception):
    """Raised for a patch that is not a plain text change.

    The message gives the reason.
    """


@dataclass(frozen=True, slots=True)
class FileChange:
    """The change of one file.

    `kind` is `modify`, `add` or `delete`; `path` is relative, with slashes.
    """

    path: str
    kind: str
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class Patch:
    """A parsed patch: name in messages, exact bytes, and changed files."""

    name: str
    data: bytes
    changes: tuple[FileChange, ...]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def size(self) -> int:
        """Number of changed lines; the smallest patch of a cluster wins."""
        return sum(change.added + change.removed for change in self.changes)

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(change.path for change in self.changes)


def parse_patch(name: str, data: bytes) -> Patch:
    """Parse one unified diff in git's format, with `a/` and `b/`.

    Raises `PatchRefused` with the reason.
    """
    if len(data) > MAX_PATCH_BYTES:
        raise PatchRefused(f"it is larger than {MAX_PATCH_BYTES // 1024} KiB")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PatchRefused("it is not UTF-8 text") from error
    if "\0" in text:
        raise PatchRefused("it contains binary data (a NUL byte)")
    try:
        # Split on newlines only: unidiff's own reader would also break at a form feed inside a line.
        files = PatchSet([line + "\n" for line in text.removesuffix("\n").split("\n")])
    except UnidiffParseError as error:
        raise PatchRefused(f"it is not a unified diff ({_one_line(error)})") from error
    for file in files:
        _refuse_headers(file)
    changes = tuple(_change(file) for file in files)
    if not changes:
        raise PatchRefused("it changes nothing")
    paths = [change.path for change in changes]
    if len(set(paths)) < len(paths):
        raise PatchRefused("it changes one file in two places of the patch")
    return Patch(name, data, changes)


def protected_paths(paths: tuple[str, ...], extra: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The paths that need human review, in the order given.

    Case is ignored, because `Conftest.py` is conftest.py on the file systems of macOS and Windows.
    """
    spec = GitIgnoreSpec.from_lines(pattern.lower() for pattern in (*PROTECTED, *extra))
    return tuple(path for path in paths if spec.match_file(path.lower()) or _shadows_the_runner(path))


def _shadows_the_runner(path: str) -> bool:
    """Return True if the file hides a module of Python or pytest."""
    parts = PurePosixPath(path).parts
    if parts[0] == "src":
        parts = parts[1:]
    if not parts or not parts[-1].endswith(".py"):
        return False
    top = parts[0].removesuffix(".py")
    return top in _RUNNER_MODULES or top in sys.stdlib_module_names


def _refuse_headers(file: PatchedFile) -> None:
    """Refuse a file whose header announces more than a change of text."""
    if file.is_symlink:
        raise PatchRefused(f"it makes or changes a symbolic link ({file.path})")
    if file.is_submodule:
        raise PatchRefused(f"it changes a submodule ({file.path})")
    if file.is_binary_file:
        raise PatchRefused(f"it contains binary data ({file.path})")
    for line in file.patch_info or ():
        for pattern, what in _REFUSED_HEADERS:
            if pattern.match(line):
                raise PatchRefused(f"it contains {what}: {file.path}")
    new_file = file.source_file == "/dev/null"
    if new_file and file.target_mode not in (None, _PLAIN_MODE):
        raise PatchRefused(f"it adds a file with mode {file.target_mode}: {file.path}")


def _change(file: PatchedFile) -> FileChange:
    source, target = file.source_file, file.target_file
    old = None if source == "/dev/null" else _inside(source, "a/")
    new = None if target == "/dev/null" else _inside(target, "b/")
    if old is None and new is None:
        raise PatchRefused("it contains a file without a name")
    if old is not None and new is not None and old != new:
        raise PatchRefused("it contains a rename or copy (make the patch with git diff --no-renames)")
    path = new if new is not None else old
    assert path is not None, "one side is named, as checked above"
    kind = "add" if old is None else "delete" if new is None else "modify"
    if kind == "modify" and not len(file):
        raise PatchRefused(f"it names {path} but changes no line of it")
    return FileChange(path, kind, file.added, file.removed)


def _inside(name: str, prefix: str) -> str:
    """The relative path after `a/` or `b/`.

    Refuses a path that is unusual or outside the repository.
    """
    if '"' in name or "\\" in name or any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise PatchRefused("it contains a quoted path (names with special characters are not accepted)")
    if not name.startswith(prefix):
        raise PatchRefused(f"its paths must start with a/ and b/ (git's default), not {name[:60]!r}")
    path = name.removeprefix(prefix)
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise PatchRefused(f"it points outside the repository: {path[:80]!r}")
    if any(part.lower().rstrip(". ") == ".git" or ":" in part for part in parts):
        raise PatchRefused(f"it changes git's own files or a special name: {path[:80]!r}")
    if path.startswith("-"):
        raise PatchRefused(f"a path must not start with '-': {path[:80]!r}")
    return path


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
