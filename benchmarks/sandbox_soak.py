"""Run the sandbox on millions of jobs while its processes are killed at random.

python benchmarks/sandbox_soak.py --jobs 1000000
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from sandbox.soak import soak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=20_000, help="jobs (default: 20,000)")
    parser.add_argument("--seed", type=int, default=1, help="of the jobs and the kills (default: 1)")
    parser.add_argument("--kill-every", type=int, default=1000, help="jobs per kill (default: 1,000)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        report = soak(chosen.jobs, chosen.seed, Path(folder), chosen.kill_every, sessions=5)
    print(
        f"{report.jobs} jobs, {report.records} records, {len(report.wrong)} wrong, {report.kills} processes killed, "
        f"{report.supervisor_kills} supervisors killed, {time.perf_counter() - started:.0f} s"
    )
    for number, samples in enumerate(report.samples):
        for sample in samples[:: max(1, len(samples) // 4)]:
            print(
                f"  supervisor {number}: {sample.jobs:8} jobs {sample.memory_kib / 1024:6.1f} MiB "
                f"{sample.descriptors:3} descriptors"
            )
    for line in report.wrong[:20]:
        print(" ", line)
    raise SystemExit(1 if report.wrong else 0)


if __name__ == "__main__":
    main()
