"""New files that take the import name of another module."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci.behaviour.bundle import Tree
from ci.patch.parse import FileChange
from ci.patch.shadows import installed_names, shadowing_files


def tree(*paths: str) -> Tree:
    from ci.behaviour.bundle import module_name

    return Tree({module_name(path) or path: (path, "") for path in paths})


@pytest.mark.parametrize(
    ("base", "added", "shadows"),
    [
        (["shop.py"], "yaml.py", True),
        (["shop.py"], "src/yaml/loader.py", True),
        (["shop.py"], "google/cloud/storage.py", True),
        (["shop.py"], "prices.py", False),
        (["shop.py"], "shop/yaml.py", False),
        (["yaml/__init__.py"], "yaml/more.py", False),  # the installed project is this one
        (["src/yaml/__init__.py"], "yaml/more.py", True),
        (["src/shop.py"], "shop.py", True),
        (["shop.py"], "src/shop.py", True),
        (["shop.py"], "shop/__init__.py", True),
        (["pkg/a.py"], "pkg/a/__init__.py", True),
        (["src/pkg/a.py"], "pkg/__init__.py", True),
        (["src/pkg/a.py"], "src/pkg/__init__.py", False),
        (["shop.py"], "bad-name/yaml.py", False),
    ],
)
def test_files_that_take_the_name_of_another_module(base: list[str], added: str, shadows: bool) -> None:
    found = shadowing_files([FileChange(added, "add", 1, 0)], tree(*base), frozenset({"yaml", "google"}))
    assert found == ((added,) if shadows else ())


def test_a_module_may_become_a_package() -> None:
    moved = [FileChange("shop.py", "delete", 0, 1), FileChange("shop/__init__.py", "add", 1, 0)]
    assert shadowing_files(moved, tree("shop.py"), frozenset()) == ()


def test_installed_names_are_those_of_the_interpreter(tmp_path: Path) -> None:
    environment, project = tmp_path / "project/.venv", tmp_path / "project/src"
    site = environment / "lib/python3.11/site-packages"
    for path in (
        site / "package/__init__.py",
        site / "single.py",
        site / "fast.cpython-311.so",
        project / "mine.py",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (site / "package-1.0.dist-info").mkdir()
    (site / "project.pth").write_text(f"{project}\n")
    (environment / "pyvenv.cfg").touch()
    (environment / "bin").mkdir()
    (environment / "bin/python").touch()
    names = installed_names(str(environment), tmp_path / "project")
    assert {"package", "single", "fast"} <= names
    assert "mine" not in names
