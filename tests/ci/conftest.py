"""The project that the tests of the gate judge patches against."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ci.git_project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")
