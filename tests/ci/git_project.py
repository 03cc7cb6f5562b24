"""A small project in a real git repository, and patches against it."""

from __future__ import annotations

import subprocess
from pathlib import Path

SHOP = '''\
"""Prices of a small shop."""


def total(prices: list[int], discount: int = 0) -> int:
    """Sum of the prices, less a discount in percent, rounded down.

    >>> total([100, 50], 10)
    135
    """
    result = 0
    for price in prices:
        result += price
    return result * (100 - discount) // 100


def cheapest(prices: list[int]) -> int | None:
    """The lowest price, None without any.

    >>> cheapest([3, 1, 2])
    1
    """
    if not prices:
        return None
    return sorted(prices)[0]


def label(name: str, price: int) -> str:
    return f"{name}: {total([price])}"
'''

TESTS = """\
import shop


def test_total():
    assert shop.total([100, 50], 10) == 135


def test_total_of_nothing():
    assert shop.total([]) == 0


def test_cheapest():
    assert shop.cheapest([3, 1, 2]) == 1
"""

_HONEST = SHOP.replace("sorted(prices)[0]", "min(prices)")
UNSEEN = {
    "a global named like a number": _HONEST.replace("def total", "v2 = 0\n\n\ndef total", 1).replace(
        "return result *", "return v2 *"
    ),
    "another function while it loads": _HONEST.replace(
        "def label(", "_done = globals().update(total=lambda *_: 0)\n\n\ndef label("
    ),
    "another function by a default": _HONEST.replace(
        "def label(", "def _new(_=globals().pop('total')): ...\n\n\ndef label("
    ),
}
"""Modules with an honest change of `cheapest`, and a hidden one that breaks `total`."""


class Project:
    """The repository: commits files, and turns changed files into patches."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.patches = folder.parent / "patches"
        self.patches.mkdir()
        folder.mkdir()
        self.git("init", "-q", "-b", "main")
        self.commit(
            {"shop.py": SHOP, "tests/test_shop.py": TESTS, "pyproject.toml": "[project]\nname='shop'\n"}
        )

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def commit(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "state")

    def diff(self, files: dict[str, str | None]) -> bytes:
        """Make the patch that gives `files` these texts.

        None deletes a file. The working tree is restored.
        """
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        self.git("add", "-A")
        made = self.git("diff", "--cached", "--no-renames", "--binary")
        self.git("reset", "-q", "--hard")
        return made.encode()

    def patch(self, name: str, files: dict[str, str | None]) -> str:
        return self.save(name, self.diff(files))

    def save(self, name: str, data: bytes) -> str:
        path = self.patches / name
        path.write_bytes(data)
        return str(path)

    def replaced(self, old: str, new: str) -> dict[str, str | None]:
        """shop.py with one piece of text replaced."""
        text = (self.folder / "shop.py").read_text()
        assert old in text
        return {"shop.py": text.replace(old, new)}
