"""Run a night in one command: train, serve, measure before and after.

    make night                                          # the tiny profile: minutes on 2 cores
    python -P benchmarks/night.py --profile small       # about an hour
    python -P benchmarks/night.py --mbppplus FILE --humaneval FILE --limit 50 --samples 10

Models, runs and adapters go to `--folder`, apart from your own. A language server runs from before the training until
after it, and gets a request every few seconds; none may fail. Benchmarks are not part of this repository. Without
their files, the only figures are those of the adapter's acceptance.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from ucoder_lsp.server.client import SERVER, Editor

DATA = Path(__file__).parents[2] / "shared" / "data" / "benchmarks"
FILES = {"mbppplus": DATA / "MbppPlus-v0.1.0.jsonl.gz", "humaneval": DATA / "HumanEval.jsonl.gz"}
UCODER = (sys.executable, "-P", "-m", "ucoder_lsp")
PAUSE_S = 5.0
"""Time between two requests during training: a developer who types now and then."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="tiny", help="profile of ucoder train run (default: tiny)")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(".night"),
        help="folder for models, runs and adapters (default: .night)",
    )
    parser.add_argument("--limit", type=int, default=20, help="tasks of each benchmark (default: 20)")
    parser.add_argument("--samples", type=int, default=5, help="samples per task (default: 5)")
    for name, path in FILES.items():
        found = path if path.is_file() else None
        parser.add_argument(
            f"--{name}", type=Path, default=found, help=f"the {name} file (default: {found or 'none'})"
        )
    arguments = parser.parse_args()
    folder: Path = arguments.folder.resolve()
    os.environ["UCODER_CACHE_DIR"], os.environ["UCODER_DATA_DIR"] = (
        str(folder / "cache"),
        str(folder / "data"),
    )
    files = {name: getattr(arguments, name) for name in FILES if getattr(arguments, name)}

    started = time.monotonic()
    version, answers, failed = asyncio.run(
        train_while_serving(folder, arguments.profile, list(files.values()))
    )
    minutes = (time.monotonic() - started) / 60
    print(
        f"\nTraining took {minutes:.1f} minutes. Meanwhile the server answered {len(answers)} requests; "
        f"{len(failed)} failed."
    )
    adapters = [adapter for adapter, _ in itertools.groupby(answers)]
    print("Adapters of its answers, in order: " + ", ".join(a or "base" for a in adapters))
    if failed:
        raise SystemExit("These requests got no answer: " + "; ".join(failed))
    if version is not None and adapters[-1] != version:
        raise SystemExit(f"The server did not answer with {version}, which was published.")
    if version is None:
        print(
            "The adapter was not accepted, so the base model is still served (see the report printed above)."
        )
        return
    print(
        f"\n| benchmark | tasks | samples | pass@1 before | pass@1 after | pass@{arguments.samples} before | after |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, path in files.items():
        before, after = (evaluate(name, path, arguments, folder, adapter) for adapter in (None, version))
        row = [show(report, k) for k in ("1", str(arguments.samples)) for report in (before, after)]
        print(f"| {name} | {len(before['tasks'])} | {before['n']} | {' | '.join(row)} |", flush=True)
    if not files:
        print("No benchmark files were given: name them with --mbppplus and --humaneval.")


async def train_while_serving(
    folder: Path, profile: str, exclude: list[Path]
) -> tuple[str | None, list[str | None], list[str]]:
    """Train in another process while a server answers requests.

    Returns the published version (None if it was refused), the adapter of each answer, and the failures.
    """
    answers: list[str | None] = []
    failed: list[str] = []
    async with Editor(folder, command=(*SERVER, "--threads", "1")) as editor:
        await editor.ready()
        command = [*UCODER, "train", "run", "--profile", profile]
        for path in exclude:
            command += ["--exclude", str(path)]
        training = await asyncio.create_subprocess_exec(*command)
        done = asyncio.create_task(training.wait())
        while True:
            ended = done.done()
            n_messages, number = len(editor.messages), len(answers) + len(failed)
            explanation = await ask(editor, number)
            if explanation is None:
                failed.append(f"{number} ({' '.join(editor.messages[n_messages:]) or 'not in time'})")
            else:
                identity = explanation["adapter"]
                answers.append(None if identity is None else identity.partition("@")[0])
            if ended:
                break
            await asyncio.wait([done], timeout=PAUSE_S)
    if done.result() != 0:
        print(
            f"If {folder} was written by an earlier version, remove it or use another --folder.",
            file=sys.stderr,
        )
        raise SystemExit(done.result())
    result = json.loads((folder / "data" / "runs" / profile / "consensus" / "result.json").read_text())
    return result["version"], answers, failed


async def ask(editor: Editor, number: int) -> dict | None:
    """Request a completion and return its explanation; None when the request failed.

    The server logs a failure and offers nothing, since an editor must not show it. So the explanation of the last
    request decides: it must be about the requested function.
    """
    function = f"double_{number}"
    text = f"def {function}(x: int) -> int:\n    return "
    await editor.inline_completion(editor.open("night.py", text), 1, len("    return "))
    explanation = await editor.explain_request()
    return explanation if explanation is not None and explanation["function"] == function else None


def evaluate(name: str, path: Path, arguments: argparse.Namespace, folder: Path, adapter: str | None) -> dict:
    """Run `ucoder eval`, with an adapter or without; return its report."""
    out = folder / f"{name}-{adapter or 'base'}.json"
    command = [*UCODER, "eval", str(path), "--benchmark", name, "--samples", str(arguments.samples)]
    command += ["--limit", str(arguments.limit), "--json", str(out)]
    if adapter is not None:
        command += ["--adapter", adapter]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(out.read_text())


def show(report: dict, k: str) -> str:
    found = report["pass_at"].get(k)
    return f"{found['value']:.1%} ({found['low']:.1%} to {found['high']:.1%})" if found else "-"


if __name__ == "__main__":
    main()
