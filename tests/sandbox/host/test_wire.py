"""Test that a child's bytes are never trusted.

No damage turns a wrong answer into the right one.
"""

from __future__ import annotations

import binascii
import itertools
import signal
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.host.job_run import MAX_INFRA, JobRun, classify
from sandbox.host.python import EncodedForPython
from sandbox.host.wire import BODY, HEADER, FrameReader, ProtocolError
from sandbox.outcome import JobResult, Status
from sandbox.program import Call, Job, Program
from sandbox.values import Value

JOB = Job(Program("def f(n): return n"), tuple(Call("f", (n,)) for n in range(4)))
ENCODED = EncodedForPython(JOB.probes)
EXPECTED = [Value.of(n) for n in range(4)]


def frame(seed: int, kind: bytes, index: int = 0, payload: bytes = b"", count: int | None = None) -> bytes:
    length = len(payload) if count is None else count
    body = BODY.pack(kind, index, 0, 0.0, length, 0, 0, 0) + payload
    return HEADER.pack(len(body), binascii.crc32(body, seed)) + body


def honest(seed: int) -> bytes:
    values = [value.canonical for value in EXPECTED]
    batch = struct.pack("<4I", *map(len, values)) + b"".join(values)
    return frame(seed, b"L") + frame(seed, b"B", 0, batch, count=4) + frame(seed, b"E")


def result_for(written: bytes | None, status: int = 0, mutate: object = None) -> JobResult:
    """Return the result of a child that wrote `written`, then ended.

    `status` is its status as from wait. None for `written`: honest bytes, to which `mutate` is applied.
    """
    finished: list[JobResult] = []
    run = JobRun(JOB, ENCODED, 1, finished.append)
    run.begin()
    assert run.reader is not None
    data = honest(run.reader.seed) if written is None else written
    if callable(mutate):
        data = mutate(data)
    run.feed(data)
    for _ in range(20):
        if run.child_ended(status, 0.0, False):
            break
        run.begin()
    return run.result()


def test_honest_bytes_are_understood() -> None:
    assert [outcome.value for outcome in result_for(None).outcomes] == EXPECTED


@given(st.data())
@settings(max_examples=400)
def test_random_mutations_of_result_frames_are_never_a_pass(data: st.DataObject) -> None:
    def damage(honest_bytes: bytes) -> bytes:
        damaged = bytearray(honest_bytes)
        how = data.draw(st.sampled_from(["flip", "cut", "insert", "drop", "double"]))
        at = data.draw(st.integers(0, len(damaged) - 1))
        if how == "flip":
            damaged[at] ^= data.draw(st.integers(1, 255))
        elif how == "cut":
            del damaged[at:]
        elif how == "insert":
            damaged[at:at] = data.draw(st.binary(min_size=1, max_size=40))
        elif how == "drop":
            del damaged[at : at + data.draw(st.integers(1, 40))]
        else:
            damaged += damaged[at:]
        return bytes(damaged) if bytes(damaged) != honest_bytes else honest_bytes[:-1]

    result = result_for(None, mutate=damage)
    assert (
        not all(outcome.status is Status.OK for outcome in result.outcomes)
        or result.load.status is not Status.OK
    )
    for outcome, expected in zip(result.outcomes, EXPECTED, strict=True):
        assert outcome.value is None or outcome.value == expected, "damage became an answer"


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_random_bytes_never_raise_and_never_pass(noise: bytes) -> None:
    result = result_for(noise)
    assert all(outcome.status is not Status.OK for outcome in result.outcomes)


def test_a_program_without_probes_needs_an_end_frame_to_pass() -> None:
    finished: list[JobResult] = []
    run = JobRun(Job(JOB.program, ()), EncodedForPython(()), 1, finished.append)
    run.begin()
    assert run.reader is not None
    run.feed(frame(run.reader.seed, b"L"))
    assert run.child_ended(0, 0.0, False)
    assert run.result().load.status is Status.NO_RESULT


def test_a_batch_lost_with_its_child_is_run_again() -> None:
    run = JobRun(JOB, ENCODED, 1, lambda _: None)
    run.begin()
    assert run.reader is not None
    run.feed(frame(run.reader.seed, b"S"))
    assert not run.child_ended(signal.SIGSEGV, 0.0, False), "nothing is known yet: not even whether it loaded"
    assert run.infra == 0
    run.begin()
    assert run.reader is not None
    seed = run.reader.seed
    run.feed(frame(seed, b"L") + frame(seed, b"P", 0, EXPECTED[0].canonical))
    assert not run.child_ended(signal.SIGSEGV, 0.0, False)
    assert [o.status if o else None for o in run.outcomes] == [Status.OK, Status.SIGNAL, None, None]


def test_a_child_killed_from_outside_after_its_last_answer_is_run_again() -> None:
    run = JobRun(JOB, ENCODED, 1, lambda _: None)
    for attempt in range(MAX_INFRA):
        run.begin()
        assert run.reader is not None
        run.feed(honest(run.reader.seed))
        complete = run.child_ended(signal.SIGKILL, 0.0, False)
        assert complete == (attempt == MAX_INFRA - 1)
        assert complete or run.outcomes == [None] * 4, "what it answered is forgotten"
    assert {o.status for o in run.result().outcomes} == {Status.INFRA}


def test_a_child_killed_once_answers_in_its_second_run() -> None:
    run = JobRun(JOB, ENCODED, 1, lambda _: None)
    for status in (signal.SIGKILL, 0):
        run.begin()
        assert run.reader is not None
        run.feed(honest(run.reader.seed))
        assert run.child_ended(status, 0.0, False) == (status == 0)
    assert [o.value for o in run.result().outcomes] == list(EXPECTED)


@pytest.mark.parametrize(("cpu_s", "timed_out"), [(0.0, True), (1e6, False)])
def test_a_child_that_stays_after_its_last_answer_is_never_a_pass(cpu_s: float, timed_out: bool) -> None:
    run = JobRun(JOB, ENCODED, 1, lambda _: None)
    run.begin()
    assert run.reader is not None
    run.feed(honest(run.reader.seed))
    assert run.child_ended(signal.SIGKILL, cpu_s, timed_out)
    assert {o.status for o in run.result().outcomes} == {Status.PROTOCOL}


@pytest.mark.parametrize("batched", [True, False])
def test_a_hang_ends_its_probe_at_once_where_answers_are_not_batched(batched: bool) -> None:
    run = JobRun(JOB, ENCODED, 1, lambda _: None)
    run.begin()
    assert run.reader is not None
    seed = run.reader.seed
    sent = frame(seed, b"L") + frame(seed, b"P", 0, EXPECTED[0].canonical)
    run.feed(sent if batched else sent + frame(seed, b"C"))
    assert not run.child_ended(signal.SIGKILL, 0.0, True)
    first = run.outcomes[1]
    assert first is None if batched else first is not None and first.status is Status.WALL


@pytest.mark.parametrize("status", [0, 1 << 8, signal.SIGSEGV])
def test_a_child_that_ends_before_its_first_frame_is_infra(status: int) -> None:
    assert {outcome.status for outcome in result_for(b"", status).outcomes} == {Status.INFRA}


@pytest.mark.parametrize("kinds", [b"SS", b"LS", b"SCS", b"CC", b"SCLC"])
def test_frames_out_of_order_are_refused(kinds: bytes) -> None:
    run = JobRun(JOB, ENCODED, 1, lambda _: None)
    run.begin()
    assert run.reader is not None
    for kind in kinds:
        assert not run.faulty
        run.feed(frame(run.reader.seed, bytes([kind])))
    assert run.faulty


def test_only_answers_are_progress() -> None:
    run = JobRun(JOB, ENCODED, 1, lambda _: None)
    run.begin()
    assert run.reader is not None
    seed = run.reader.seed
    sent = [frame(seed, b"S"), frame(seed, b"C"), frame(seed, b"L")]
    assert [run.feed(data) for data in sent] == [False, False, True]


@pytest.mark.parametrize("status", [1 << 8, 11, 31])
def test_a_non_zero_exit_status_after_a_full_answer_is_never_a_pass(status: int) -> None:
    assert all(outcome.status is Status.PROTOCOL for outcome in result_for(None, status).outcomes)


@pytest.mark.parametrize(
    ("status", "cpu_s", "expected"),
    [
        (signal.SIGSYS, 0.0, Status.SECCOMP),
        (signal.SIGXCPU, 3.0, Status.CPU),
        (signal.SIGKILL, 4.0, Status.CPU),
        (signal.SIGKILL, 0.1, Status.INFRA),
        (signal.SIGSEGV, 0.1, Status.SIGNAL),
        (0, 0.1, Status.NO_RESULT),
        (5 << 8, 0.1, Status.NO_RESULT),
    ],
)
def test_ends_are_distinguished(status: int, cpu_s: float, expected: Status) -> None:
    assert classify(int(status), cpu_s, False, JOB).status is expected
    assert classify(int(status), cpu_s, True, JOB).status is Status.WALL


def test_failures_of_the_sandbox_are_retried_and_then_reported() -> None:
    run = JobRun(JOB, ENCODED, 1, lambda _: None)
    for _ in range(MAX_INFRA - 1):
        run.begin()
        assert not run.infra_failed("gone")
    assert run.infra_failed("gone")
    assert {outcome.status for outcome in run.result().outcomes} == {Status.INFRA}


def test_frames_larger_than_any_answer_are_refused_before_they_are_read() -> None:
    with pytest.raises(ProtocolError):
        FrameReader(0, JOB).feed(struct.pack("<II", 1 << 30, 0))


def part(seed: int, first: int, stop: int) -> bytes:
    """Answers to some of the probes."""
    values = [Value.of(n).canonical for n in range(first, stop)]
    batch = struct.pack(f"<{len(values)}I", *map(len, values)) + b"".join(values)
    return frame(seed, b"B", first, batch, count=len(values)) if values else b""


@given(st.sets(st.integers(1, 3)))
def test_after_threads_were_left_the_rest_is_answered_by_another_child(stops: set[int]) -> None:
    """Each child answers some probes; all but the last one then report threads."""
    run = JobRun(JOB, ENCODED, 1, lambda _: None)
    bounds = [0, *sorted(stops), 4]
    for first, stop in itertools.pairwise(bounds):
        run.begin()
        assert run.reader is not None
        seed = run.reader.seed
        end = frame(seed, b"E" if stop == 4 else b"T")
        run.feed(frame(seed, b"S") + frame(seed, b"L") + part(seed, first, stop) + end)
        assert run.child_ended(0, 0.0, False) is (stop == 4)
    assert [outcome.value for outcome in run.result().outcomes] == EXPECTED


@pytest.mark.parametrize("stop", [0, 4], ids=["without an answer", "after the last one"])
def test_threads_are_left_between_two_probes_only(stop: int) -> None:
    run = JobRun(JOB, ENCODED, 1, lambda _: None)
    run.begin()
    assert run.reader is not None
    seed = run.reader.seed
    run.feed(frame(seed, b"S") + frame(seed, b"L") + part(seed, 0, stop) + frame(seed, b"T"))
    assert run.faulty
    assert run.child_ended(0, 0.0, False)
    assert {outcome.status for outcome in run.result().outcomes} == {Status.PROTOCOL}
