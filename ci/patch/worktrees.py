"""Check out fresh trees of one commit, with and without a patch.

Every run makes a private bare repository in a temporary folder. It borrows the objects of the user's
repository (git's `alternates`) and holds one worktree per patch. So hooks, filters and settings of the user's
repository cannot run, and nothing is ever written there. Two gates can run at once, and a killed gate leaves
only a temporary folder behind.

A patch is first applied to the index and compared with what `ci.patch.parse` read. Git and unidiff are two
parsers, and a patch that they read differently is refused before any file is written. The tree that the
sandbox gets has no `.git`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

# Otherwise GitPython fails at import where git is missing, without a message that says what to do.
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
import git

from ci.errors import UnavailableError, UsageError
from ci.patch.parse import Patch, PatchRefused

_PLAIN_MODES = ("100644", "100755")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@{}^~+-]*")
_QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}
_PRIVATE = {
    # The private repository uses only its own, empty configuration, not that of the system or user.
    **_QUIET,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TEMPLATE_DIR": "",
}
_INHERITED = (
    # Set when a git hook or an alias starts the gate; each would point git to another place.
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_CONFIG",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_PARAMETERS",
    "GIT_EXTERNAL_DIFF",
)
_GIT = ["env", *(part for name in _INHERITED for part in ("-u", name)), "git"]
_SAFE_SETTINGS = [
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.quotePath=false"),
]


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One changed path after `git apply`, with its modes (000000: absent)."""

    path: str
    old_mode: str
    new_mode: str


@contextmanager
def host_failures() -> Iterator[None]:
    """Turn failures of git and the operating system into `UnavailableError`."""
    try:
        yield
    except (git.GitCommandError, OSError) as error:
        cause = f"git: {_last_line(error)}" if isinstance(error, git.GitCommandError) else str(error)
        raise UnavailableError(
            f"this host failed, so no patch was judged ({cause}): free space for temporary files, "
            "or set TMPDIR to a folder that has it"
        ) from error


def top_level(repository: Path) -> Path:
    """The top folder of the repository that holds `repository`.

    Raises `UsageError` when there is none.
    """
    with _open(repository) as found:
        return Path(found.working_tree_dir or repository).resolve()


class Worktrees:
    """Trees of one commit, removed when the context ends.

    `commit` is the full id that `base` named when the run began, so a branch may move meanwhile. Failures of
    git and the disk are raised unchanged: see `host_failures`.
    """

    def __init__(self, repository: Path, base: str) -> None:
        if shutil.which("git") is None:
            raise UnavailableError("git is not installed, or not on PATH: install the package git")
        self._source = _open(repository)
        self.commit = _resolve(self._source, base)
        self._folder = tempfile.TemporaryDirectory(prefix="ucoder-gate-")
        self.root = Path(self._folder.name)
        try:
            self._private = self._borrow_objects()
            self._refuse_partial_clone()
        except BaseException:
            self._folder.cleanup()
            raise

    def __enter__(self) -> Worktrees:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.close()
        self._private.close()
        # The sandbox may have left folders without write permission; all of them are below this root.
        for parent, folders, _ in os.walk(self.root):
            for folder in folders:
                if not os.path.islink(path := os.path.join(parent, folder)):
                    os.chmod(path, 0o700)
        self._folder.cleanup()

    def plain(self, name: str) -> Path:
        """Check out a fresh tree of the base commit."""
        path, tree = self._worktree(name)
        with tree:
            _check_out(tree)
        (path / ".git").unlink()
        return path

    def patched(self, name: str, patch: Patch, keep_base: tuple[str, ...] = ()) -> Path:
        """Check out a fresh tree with `patch` applied.

        The paths in `keep_base` stay as in the base commit. Raises `PatchRefused` when it does not apply, or
        when git changed anything else than was read.
        """
        path, tree = self._worktree(name)
        with tree:
            before = self._modes(tree)
            _refuse_unsafe_targets(patch, before)
            self._apply(tree, patch)
            _compare_with_parsed(patch, self._changed(tree))
            for kept in keep_base:
                self._restore(tree, kept, kept in before)
            _check_out(tree)
        (path / ".git").unlink()
        return path

    def _worktree(self, name: str) -> tuple[Path, git.Repo]:
        path = self.root / name
        _run(self._private, "worktree", "add", "--quiet", "--detach", "--no-checkout", str(path), self.commit)
        tree = git.Repo(path)
        _run(tree, "read-tree", self.commit)
        return path, tree

    def _borrow_objects(self) -> git.Repo:
        """Make a bare repository that reads its objects from the user's."""
        objects = Path(_query(self._source, "rev-parse", "--path-format=absolute", "--git-path", "objects"))
        algorithm = _query(self._source, "rev-parse", "--show-object-format")
        folder = self.root / "private.git"
        git.Git(self.root).execute(
            [*_GIT, "init", "--quiet", "--bare", f"--object-format={algorithm}", str(folder)], env=_PRIVATE
        )
        (folder / "objects" / "info").mkdir(parents=True, exist_ok=True)
        (folder / "objects" / "info" / "alternates").write_text(f"{objects}\n", encoding="utf-8")
        return git.Repo(folder)

    def _refuse_partial_clone(self) -> None:
        """Refuse a partial clone: objects are missing, and nothing is fetched."""
        listed = _run(
            self._private,
            "rev-list",
            "--objects",
            "--no-object-names",
            "--no-walk",
            "--missing=print",
            self.commit,
        )
        missing = sum(line.startswith("?") for line in listed.splitlines())
        if missing:
            raise UsageError(
                f"{missing} objects of the base commit are not in this repository, which is a partial clone: "
                "fetch the whole commit (git fetch --refetch --no-filter, or clone without --filter)"
            )

    def _apply(self, tree: git.Repo, patch: Patch) -> None:
        saved = self.root / "incoming.patch"
        saved.write_bytes(patch.data)
        apply = ("apply", "--cached", "--whitespace=nowarn", "-p1", str(saved))
        try:
            _run(tree, *apply, "--check")
        except git.GitCommandError as error:
            raise PatchRefused(f"it does not apply to the base commit ({_last_line(error)})") from error
        _run(tree, *apply)  # a failure now is the host's
        saved.unlink()

    def _changed(self, tree: git.Repo) -> tuple[TreeEntry, ...]:
        raw = _run(tree, "diff-index", "--cached", "--raw", "-z", "--no-renames", "--full-index", self.commit)
        fields = raw.split("\0")
        entries = []
        for meta, path in zip(fields[0::2], fields[1::2], strict=False):
            old_mode, new_mode, *_ = meta.lstrip(":").split(" ")
            entries.append(TreeEntry(path, old_mode, new_mode))
        return tuple(entries)

    def _modes(self, tree: git.Repo) -> Mapping[str, str]:
        raw = _run(tree, "ls-files", "--stage", "-z")
        entries = (line.split("\t", 1) for line in raw.split("\0") if line)
        return {path: meta.split(" ", 1)[0] for meta, path in entries}

    def _restore(self, tree: git.Repo, path: str, in_base: bool) -> None:
        if in_base:
            _run(tree, "reset", "--quiet", self.commit, "--", f":(literal){path}")
        else:
            _run(tree, "rm", "--cached", "--quiet", "--force", "--", f":(literal){path}")


def _open(repository: Path) -> git.Repo:
    try:
        return git.Repo(repository, search_parent_directories=True)
    except (git.InvalidGitRepositoryError, git.NoSuchPathError) as error:
        raise UsageError(f"{repository} is not a git repository: give its folder with --repo") from error


def _resolve(source: git.Repo, ref: str) -> str:
    """The commit that `ref` names.

    `ref` is never passed to git where it could be read as an option.
    """
    hint = "give a branch, a tag or a commit id (in CI, fetch it first: actions/checkout with fetch-depth: 0)"
    if not _REF.fullmatch(ref) or ".." in ref:
        raise UsageError(f"{ref!r} is not the name of a commit: {hint}")
    try:
        return _query(source, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    except git.GitCommandError as error:
        raise UsageError(f"there is no commit {ref!r} in {source.common_dir}: {hint}") from error


def _run(repository: git.Repo, *arguments: str) -> str:
    """Run one git command with fixed arguments in the private repository."""
    return _text(repository.git.execute([*_GIT, *_SAFE_SETTINGS, *arguments], env=_PRIVATE))


def _query(source: git.Repo, *arguments: str) -> str:
    """Read from the user's repository, under the user's settings (`safe.directory`)."""
    return _text(source.git.execute([*_GIT, *_SAFE_SETTINGS, *arguments], env=_QUIET))


def _text(output: object) -> str:
    assert isinstance(output, str), "git was called for text"
    return output


def _check_out(tree: git.Repo) -> None:
    _run(tree, "checkout-index", "--all", "--force")


def _refuse_unsafe_targets(patch: Patch, modes: Mapping[str, str]) -> None:
    """Refuse a path through a symbolic link or a submodule of base."""
    for path in patch.paths:
        parts = path.split("/")
        for length in range(1, len(parts) + 1):
            prefix = "/".join(parts[:length])
            if modes.get(prefix) in ("120000", "160000"):
                raise PatchRefused(f"it writes through a symbolic link or into a submodule: {path}")


def _compare_with_parsed(patch: Patch, changed: tuple[TreeEntry, ...]) -> None:
    read = {change.path: change.kind for change in patch.changes}
    found: dict[str, str] = {}
    for entry in changed:
        for mode in (entry.old_mode, entry.new_mode):
            if mode != "000000" and mode not in _PLAIN_MODES:
                raise PatchRefused(f"it makes or changes something that is not a plain file: {entry.path}")
        added, deleted = entry.old_mode == "000000", entry.new_mode == "000000"
        if not added and not deleted and entry.old_mode != entry.new_mode:
            raise PatchRefused(f"it changes the mode of {entry.path}")
        if added and entry.new_mode != "100644":
            raise PatchRefused(f"it adds an executable file: {entry.path}")
        found[entry.path] = "add" if added else "delete" if deleted else "modify"
    if read != found:
        odd = sorted(set(read.items()) ^ set(found.items()))[0][0]
        raise PatchRefused(f"git and the patch parser disagree about what it changes, first at {odd}")


def _last_line(error: git.GitCommandError) -> str:
    lines = [line for line in str(error.stderr).splitlines() if line.strip()]
    return lines[-1].strip(" '\"").removeprefix("stderr: '") if lines else f"status {error.status}"
