"""Test that programs cannot forge an answer or reach other jobs."""

from __future__ import annotations

import os
import time

import pytest

from sandbox.limits import Limits
from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.program import Call, Expression, Job, Program, Script
from sandbox.values import Value
from tests.sandbox.hostile.attack import QUICK, attack, whole

pytestmark = pytest.mark.hostile


# The channel


def test_closing_every_descriptor_is_never_a_pass(box: Sandbox) -> None:
    assert (
        attack(box, "import os\ndef f():\n    os.closerange(0, 4096)\n    return 1").status
        is Status.NO_RESULT
    )


def test_redirecting_every_descriptor_is_never_a_pass(box: Sandbox) -> None:
    source = "import os\ndef f():\n    for fd in range(1, 64): os.dup2(0, fd)\n    return 1"
    assert attack(box, source).status is Status.NO_RESULT


FORGE = """
import gc, os, sys, binascii
frame = sys._getframe()
while frame and 'self' not in frame.f_locals: frame = frame.f_back
child = frame.f_locals['self']
module = sys.modules[type(child).__module__] if type(child).__module__ in sys.modules else None
scope = type(child).serve.__globals__
BODY, HEADER = scope['BODY'], scope['HEADER']
def frame_of(kind, index, value=b'', status=0, seed=None):
    body = BODY.pack(kind, index, status, 0.0, len(value), 0, 0, 0) + value
    return HEADER.pack(len(body), binascii.crc32(body, child.seed if seed is None else seed)) + body
def say(*parts): os.write(3, b''.join(parts))
"""


@pytest.mark.parametrize(
    "forgery",
    [
        "say(frame_of(b'P', 0, b'i2a;'))",  # before loading was reported
        "say(frame_of(b'E', 0))",
        "say(frame_of(b'S', 0))",
        "say(frame_of(b'C', 0), frame_of(b'C', 0))",
        "say(frame_of(b'L', 0), frame_of(b'L', 0))",
        "say(frame_of(b'L', 0), frame_of(b'P', 5, b'i2a;'))",
        "say(frame_of(b'L', 0), frame_of(b'P', 0, b'i2a;', seed=1))",
        "say(frame_of(b'L', 0), frame_of(b'P', 0, b'fNaN;'))",
        "say(frame_of(b'L', 0), frame_of(b'P', 0, b'i02a;'))",
        "say(frame_of(b'L', 0), frame_of(b'P', 0, b'l1:' * 5000 + b'N'))",
        "say(frame_of(b'L', 0), frame_of(b'P', 0, b's3:\\xff\\xff\\xff'))",
        "say(frame_of(b'L', 0), frame_of(b'P', 0, b'S2:i2;i1;'))",
        "say(b'\\xff\\xff\\xff\\x7f' + b'\\0' * 100)",
    ],
)
def test_forged_frames_are_never_a_pass(box: Sandbox, forgery: str) -> None:
    result = whole(box, FORGE + forgery + "\nos._exit(0)")
    assert result.load.status is Status.PROTOCOL
    assert result.outcomes[0].status is Status.PROTOCOL


def test_answering_twice_is_never_a_pass(box: Sandbox) -> None:
    source = FORGE + "def f():\n    say(frame_of(b'P', 0, b'i2a;'))\n    return 42"
    assert attack(box, source).status is Status.PROTOCOL


def test_answer_followed_by_a_crash_is_never_a_pass(box: Sandbox) -> None:
    source = (
        FORGE + "def f():\n    child.flush(); say(frame_of(b'P', 0, b'i2a;'), frame_of(b'E', 0)); os._exit(3)"
    )
    assert attack(box, source).status is Status.PROTOCOL


# Attacks on the harness and on comparisons


def test_monkeypatched_builtins_stay_in_the_child(box: Sandbox) -> None:
    source = (
        "import builtins, json, sys\nbuiltins.len = lambda x: 7\nbuiltins.type = lambda x: int\n"
        "json.dumps = json.loads = None\nsys.settrace(lambda *a: None)\n"
        "class Hook:\n    def find_spec(self, *a): raise SystemExit\nsys.meta_path.insert(0, Hook())\n"
        "def f(): return 42"
    )
    assert attack(box, source).status is Status.PROTOCOL, "its frames have the length that it made up"
    assert attack(box, "import json\ndef f(): return len(json.dumps([1]))").value == Value.of(3)


def test_a_candidate_finds_nothing_of_other_jobs_in_its_memory(box: Sandbox) -> None:
    """Search the memory for the probes and answers of other jobs.

    Finding the program's own argument shows that the search works.
    """
    secret = 918273645546372819
    source = (
        "import gc, sys\ndef f(x):\n    frame, seen = sys._getframe(), []\n    while frame:\n"
        "        seen.append(frame.f_locals); frame = frame.f_back\n    seen += gc.get_objects()\n"
        "    held = (s.values() if type(s) is dict else s if type(s) in (list, tuple) else () for s in seen)\n"
        "    return max((o for s in held for o in s\n"
        "                if type(o) is int and o % 1000003 == 918273645546372819 % 1000003 and o > 10**17), default=0)"
    )
    holder = Job(
        Program(f"def g(x): return [x, {secret}]\nheld = g({secret})"), (Call("g", (secret,)),), QUICK
    )
    snooper, informed = (Job(Program(source), (Call("f", (n,)),), QUICK) for n in (1, secret))
    found = [r.outcomes[0].value for r in box.run([holder, snooper, informed, holder, snooper] * 3)]
    assert found[1::5] == found[4::5] == [Value.of(0)] * 3
    assert found[2::5] == [Value.of(secret)] * 3


@pytest.mark.parametrize(
    "liar",
    [
        "class Liar:\n    def __eq__(self, other): return True\n    __hash__ = None",
        "class Liar(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__",
        "class Liar(str):\n    def __repr__(self): return '42'",
        "class Liar:\n    def __reduce__(self): return (eval, ('42',))",
        "class Liar(list):\n    def __iter__(self): return iter([42])",
        "class Meta(type):\n    __name__ = 'int'\nclass Liar(metaclass=Meta): pass",
        "class Liar(float): pass",
    ],
)
def test_objects_that_equal_everything_are_opaque_and_equal_nothing(box: Sandbox, liar: str) -> None:
    for expression in ("Liar()", "[Liar()]", "{1: Liar()}"):
        outcome = attack(box, f"{liar}\ndef f(): return {expression}")
        assert outcome.status is Status.OK
        assert outcome.value is not None
        assert outcome.value.opaque
        assert outcome.value != outcome.value
        for honest in (42, "42", [42], 0, "", [], True, 0.0):
            assert outcome.value != Value.of(honest)


def test_mutated_arguments_are_part_of_the_behaviour(box: Sandbox) -> None:
    job = Job(
        Program("def f(xs):\n    xs.append(1)\n    return 5"), (Call("f", ([],)), Call("f", ([2],))), QUICK
    )
    first, second = box.run_one(job).outcomes
    assert first.value is not None
    assert first.value != Value.of(5)
    assert first.value.result == Value.of(5)
    assert second.value is not None
    liar = Program("class Liar: pass\ndef f(xs):\n    xs.append(1)\n    return Liar()")
    opaque = box.run_one(Job(liar, (Call("f", ([],)),), QUICK)).outcomes[0].value
    assert opaque is not None
    assert opaque.result.opaque
    assert second.value.text() == "5, leaving its arguments as ([2, 1])"


def test_each_returned_list_is_encoded_at_once(box: Sandbox) -> None:
    job = Job(
        Program("xs = []\ndef f(n):\n    xs.append(n)\n    return xs"),
        (Call("f", (1,)), Call("f", (2,))),
        QUICK,
    )
    first, second = box.run_one(job).outcomes
    assert first.value == Value.of([1])
    assert second.value == Value.of([1, 2])


@pytest.mark.parametrize(
    "source",
    [
        "class D:\n    def __del__(self):\n        while True: pass\nd = D()\ndef f(): return 1",
        "import atexit\natexit.register(lambda: exec('while True: pass'))\ndef f(): return 1",
        "def g():\n    try: yield 1\n    finally:\n        while True: pass\nheld = g(); next(held)\ndef f(): return 1",
    ],
    ids=["del", "atexit", "generator"],
)
def test_nothing_runs_after_the_answer(box: Sandbox, source: str) -> None:
    started = time.monotonic()
    outcome = attack(box, source, Limits(probe_wall_s=20, job_wall_s=30, cpu_s=30))
    assert outcome.value == Value.of(1)
    assert time.monotonic() - started < 15, "it waited for a finalizer"


@pytest.mark.parametrize(
    "source",
    [
        "import time\ndef f(): return time.time_ns()",
        "import os\ndef f(): return os.getpid()",
        "def f(): return hash('text')",
        "import random\ndef f(): return random.random()",
        "def f(): return list({'a', 'b', 'c', 'd', 'e', 'f', 'g'})",
    ],
    ids=["clock", "pid", "hash", "random", "set-order"],
)
def test_unstable_output_differs_under_another_hash_seed(source: str, tier_1: Sandbox) -> None:
    job = Job(Program(source), (Call("f"), Expression("1 + 1")), QUICK)
    with Sandbox(1, hash_seed=1) as other:
        first, second = tier_1.run_one(job).outcomes, other.run_one(job).outcomes
    assert first[0].value is not None
    assert first[0].value != second[0].value
    assert first[1].value == second[1].value


def test_environment_is_scrubbed(box: Sandbox) -> None:
    os.environ["UCODER_TEST_SECRET"] = "secret"
    try:
        outcome = attack(box, "import os\ndef f(): return sorted(os.environ)")
    finally:
        del os.environ["UCODER_TEST_SECRET"]
    assert outcome.value is not None
    assert "SECRET" not in outcome.value.text(10_000)
    expected = {"HOME", "LC_ALL", "PATH", "PWD", "LC_CTYPE", "LD_BIND_NOW"}
    named = outcome.value.python()
    assert isinstance(named, list)
    assert {n for n in named if not n.startswith("PYTHON") and not n.endswith("_NUM_THREADS")} <= expected


def test_candidates_are_not_root(box: Sandbox) -> None:
    assert attack(box, "import os\ndef f(): return 0 in os.getresuid() + os.getresgid()").value == Value.of(
        False
    )


def test_script_cannot_escape_its_capture(box: Sandbox) -> None:
    job = Job(Program("import os, sys\nprint(input())\nos._exit(0)"), (Script("x"), Script("y")), QUICK)
    assert [o.status for o in box.run_one(job).outcomes] == [Status.NO_RESULT, Status.NO_RESULT]
