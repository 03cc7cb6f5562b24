"""Measure what a night gains: base, consensus arm and random arm.

    python -P benchmarks/arms.py --mbppplus MbppPlus.jsonl.gz --humaneval HumanEval.jsonl.gz     # hours on 2 cores
    python -P benchmarks/arms.py ... --folder DIR      # resumes an interrupted call

Trains both arms with the profile (default: small). The random arm learns from as many samples, drawn without
consensus. No problem may repeat 8 words in a row of the benchmarks. Then each arm is measured as it is served, on
whole benchmarks: greedy pass@1, and for 10 samples at temperature 0.8 pass@1, pass@10 and the sample that consensus
chooses. MBPP+ is judged by all inputs, by MBPP's own inputs and by the first of them. Differences are paired by task;
their 95 % interval is a bootstrap over tasks. Models, runs and adapters go to `--folder`, apart from your own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from trainer.evaluation.statistics import bootstrap_mean, pass_at_k

UCODER = (sys.executable, "-P", "-m", "ucoder_lsp")
ARMS = ("base", "consensus", "random")
DRAWS = {"greedy": 1, "sampled": 10}
KEYS = {"chosen", "pass_at_first"}
"""Keys that an earlier `ucoder eval` did not write; a report without them is incomplete."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mbppplus", type=Path, help="the MBPP+ file")
    parser.add_argument("--humaneval", type=Path, help="the HumanEval file")
    parser.add_argument("--profile", default="small", help="profile of ucoder train run (default: small)")
    parser.add_argument("--folder", type=Path, default=Path(".night"), help="folder (default: .night)")
    arguments = parser.parse_args()
    files = {name: path for name in ("mbppplus", "humaneval") if (path := getattr(arguments, name))}
    if not files:
        parser.error("name at least one benchmark file")
    folder = arguments.folder.resolve()
    os.environ["UCODER_CACHE_DIR"], os.environ["UCODER_DATA_DIR"] = (
        str(folder / "cache"),
        str(folder / "data"),
    )

    versions: dict[str, str | None] = {"base": None}
    for arm in ARMS[1:]:
        versions[arm] = trained(folder, arguments.profile, arm, list(files.values()))
    print("| benchmark | measure | base | consensus | random | consensus - base | consensus - random |")
    print("|---|---|---|---|---|---|---|")
    for name, path in files.items():
        added = {"_own": ", own inputs", "_first": ", first input"} if name == "mbppplus" else {}
        judged_by = {"": "", **added}
        for draw, n in DRAWS.items():
            reports = {
                arm: measured(folder, arm, version, name, path, draw) for arm, version in versions.items()
            }
            for by, inputs in judged_by.items():
                for k in sorted({1, n}):
                    found = {arm: scores(report, k, f"passed{by}") for arm, report in reports.items()}
                    print(row(name, f"{draw} pass@{k}{inputs}", found))
                if n > 1 and by != "_first":
                    found = {arm: chosen(report, f"chosen{by}") for arm, report in reports.items()}
                    print(row(name, f"chosen of {n}{inputs}", found))


def trained(folder: Path, profile: str, arm: str, exclude: list[Path]) -> str | None:
    """Return the version that one arm published; train it if needed."""
    command = [*UCODER, "train", "run", "--profile", profile, "--select", arm]
    for path in exclude:
        command += ["--exclude", str(path)]
    subprocess.run(command, check=True)
    result = json.loads((folder / "data" / "runs" / profile / arm / "result.json").read_text())
    version: str | None = result["version"]
    return version


def measured(folder: Path, arm: str, version: str | None, name: str, path: Path, draw: str) -> dict | None:
    """Return the report of `ucoder eval` on one arm.

    A version that has a report is not measured again. An incomplete report of an earlier `ucoder eval` is made again
    from the stored answers. None where the arm's adapter was not accepted.
    """
    out = folder / f"{version or 'base'}-{name}-{draw}.json"
    if arm != "base" and version is None:
        return None
    if not out.is_file() or not json.loads(out.read_text()).keys() >= KEYS:
        command = [*UCODER, "eval", str(path), "--benchmark", name, "--samples", str(DRAWS[draw])]
        command += ["--json", str(out), "--keep", str(folder / "answers")]
        command += ["--adapter", version] if version else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    report: dict = json.loads(out.read_text())
    return report


def scores(report: dict | None, k: int, what: str = "passed") -> list[float] | None:
    """Return pass@k of each task.

    `what` is passed (all inputs), passed_own (MBPP's own inputs) or passed_first (the first input).
    """
    return report and [pass_at_k(task["n"], task[what], k) for task in report["tasks"]]


def chosen(report: dict | None, what: str) -> list[float] | None:
    """Return 1 for each task whose chosen sample passed, else 0."""
    return report and [float(task[what]) for task in report["tasks"]]


def row(name: str, measure: str, found: dict[str, list[float] | None]) -> str:
    cells = [name, measure]
    for arm in ARMS:
        values = found[arm]
        cells.append("-" if values is None else interval(values, "{:.1f}"))
    for other in ("base", "random"):
        consensus, compared = found["consensus"], found[other]
        if consensus is None or compared is None:
            cells.append("-")
        else:
            cells.append(interval([a - b for a, b in zip(consensus, compared, strict=True)], "{:+.1f}"))
    return f"| {' | '.join(cells)} |"


def interval(values: list[float], form: str) -> str:
    """Format the mean with its 95 % interval, in percent or points."""
    found = bootstrap_mean(values)
    mean, low, high = (form.format(100 * v) for v in (found.value, found.low, found.high))
    return f"{mean} ({low} to {high})"


if __name__ == "__main__":
    main()
