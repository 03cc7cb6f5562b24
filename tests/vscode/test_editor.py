"""The VSIX in a real VS Code (code-server) in a real browser, with the real server on the embedded model.

Needs what `vscode-extension/e2e/setup.sh` builds (minutes, once); CODE_SERVER_DIR says where it is.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXTENSION = Path(__file__).parents[2] / "vscode-extension"
VSIX = EXTENSION / "ucoder.vsix"


@pytest.mark.slow
def test_a_workspace_is_trusted_and_ghost_text_accepted_and_explained(
    tmp_path: Path, prepared_cache: Path
) -> None:
    editor = os.environ.get("CODE_SERVER_DIR", "")
    if not (Path(editor) / "done" / "extensions").exists():
        pytest.skip("no editor: run vscode-extension/e2e/setup.sh and set CODE_SERVER_DIR to its folder")
    if not VSIX.exists() or shutil.which("node") is None:
        pytest.skip("no VSIX: run make vsix")
    server = [sys.executable, "-P", "-m", "ucoder_lsp", "serve", "--cache-dir", str(prepared_cache),
              "--data-dir", str(tmp_path / "data"), "--deadline-ms", "60000"]  # fmt: skip
    pictures = Path(os.environ.get("CODE_SERVER_PICTURES", tmp_path / "pictures"))
    run = subprocess.run(
        ["node", "e2e/run.mjs", str(VSIX), json.dumps(server), str(tmp_path / "scratch"), str(pictures)],
        cwd=EXTENSION, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout.splitlines()[-1])
    assert seen["restricted"] == "UCoder (not executing)", (
        "and not an error: the workspace's model was not asked for"
    )
    assert seen["trusted"] == "UCoder"
    assert (seen["servers"], seen["errors"]) == (1, 0)
    assert not seen["ranFromWorkspace"]
    assert "n % 2 == 0" in seen["ghostText"]
    assert "return n % 2 == 0" in seen["text"]
    assert "Chosen by consensus" in seen["explanation"]
    assert "probe inputs" in seen["explanation"]
