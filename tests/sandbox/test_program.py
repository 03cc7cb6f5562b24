"""Test probes of every kind."""

from __future__ import annotations

import pytest

from sandbox.errors import ArgumentError
from sandbox.limits import Limits
from sandbox.outcome import Status
from sandbox.pool import Sandbox
from sandbox.program import Built, Call, Check, Expression, Job, Program, Script, Sequence, probe_text
from sandbox.values import Mutated, Value
from tests.sandbox.helpers import answers


def test_calls_expressions_and_checks_give_their_values(box: Sandbox) -> None:
    source = "def f(a, b=1): return a + b\nclass A:\n    @staticmethod\n    def g(): return 'g'"
    probes = (Call("f", (1,)), Call("f", (1,), {"b": 5}), Call("A.g"), Expression("f(2) * 10"))
    assert answers(box, source, *probes) == [2, 6, "g", 30]
    assert answers(box, source, Check("assert f(1) == 2"), Check("assert f(1) == 3")) == [
        None,
        ("exception", "AssertionError"),
    ]


def test_exception_type_and_message_are_separate(box: Sandbox) -> None:
    outcome = box.run_one(Job(Program("def f(): raise KeyError('here')"), (Call("f"),))).outcomes[0]
    assert (outcome.status, outcome.exception, outcome.message) == (Status.EXCEPTION, "KeyError", "'here'")


def test_call_sequence_exercises_a_class(box: Sandbox) -> None:
    stack = "class Stack:\n    def __init__(self): self.xs = []\n"
    stack += "    def push(self, x): self.xs.append(x); return self\n"
    other = stack + "    def pop(self): return self.xs.pop(0)"
    stack += "    def pop(self): return self.xs.pop()"
    steps = (Call("push", (1,)), Call("push", (2,)), Call("pop"))
    jobs = [
        Job(Program(s), (Sequence(Call("Stack"), steps),)) for s in (stack, stack + "\n# the same", other)
    ]
    first, second, different = (result.outcomes[0].value for result in box.run(jobs))
    assert first is not None
    assert first == second
    assert first != different
    assert first.python()[2] == 2  # type: ignore[index]


def test_scripts_read_stdin_and_print_and_share_nothing(box: Sandbox) -> None:
    source = "import sys\nn = int(input())\nrest = sys.stdin.read().split()\nprint(n * 2, *rest)\nsys.exit(0)"
    assert answers(box, source, Script("21\na b"), Script("4\n"), Script("x")) == [
        "42 a b\n",
        "8\n",
        ("exception", "ValueError"),
    ]


FAST_IO = """
import io, os, sys


class Fast(io.IOBase):
    newlines = 0
    def __init__(self, file):
        self.fd, self.writable, self.buffer = file.fileno(), "r" not in file.mode, io.BytesIO()
    def read(self):
        while data := os.read(self.fd, max(os.fstat(self.fd).st_size, 8192)):
            self.buffer.write(data)
        return self.buffer.getvalue()
    def flush(self):
        if self.writable:
            os.write(self.fd, self.buffer.getvalue())
"""


@pytest.mark.parametrize(
    "source",
    [
        "print(open(0).read()[::-1], end='')",
        "import os\nos.write(1, os.read(0, 100)[::-1])",
        "import os, sys\nos.write(sys.stdout.fileno(), os.read(sys.stdin.fileno(), 100)[::-1])",
        "import sys\nopen(1, 'w').write(sys.stdin.read()[::-1])",
        "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint(input()[::-1], end='')",
        "import sys\nsys.stdout = sys.__stdout__\nprint(sys.__stdin__.readline()[::-1], end='')",
        "import atexit, os\natexit.register(lambda: os.write(1, b'cba'))",
        "print('cba', end='')\nexit()\nprint('not reached')",
        "print('cba', end='')\nquit(0)",
        "import os\nprint('a', end='')\nos.write(1, b'cb')",
        FAST_IO + "given, out = Fast(sys.stdin), Fast(sys.stdout)\nout.buffer.write(given.read()[::-1])\nout.flush()",
    ],
)  # fmt: skip
def test_scripts_use_their_descriptors_as_in_an_ordinary_process(box: Sandbox, source: str) -> None:
    assert answers(box, source, Script("abc"), Script("abc")) == ["cba", "cba"]


@pytest.mark.parametrize("n", [0, 1, 4_096, 65_536, 65_537, 1_200_000])
def test_a_script_reads_a_text_of_any_length(box: Sandbox, n: int) -> None:
    text = ("0123456789" * (n // 10 + 1))[:n]
    both = "import os, sys\nprint(sys.stdin.read() == b''.join(iter(lambda: os.read(0, 999), b'')).decode())"
    assert answers(box, both, Script(text), Script("")) == ["True\n", "True\n"]
    some = "import os, sys\nprint(os.read(0, 3).decode(), len(sys.stdin.read()))"
    assert answers(box, some, Script(text)) == [f"{text[:3]} {n}\n"]


def test_a_script_reads_all_of_its_input_or_fails_without_memory_for_it(box: Sandbox) -> None:
    """A thread feeds a long text to descriptor 0, and needs a stack."""
    job = Job(
        Program("import os\nprint(len(open(0).read()))"),
        (Script("x" * 100_000),),
        Limits(memory_bytes=64 << 20),
    )
    outcome = box.run_one(job).outcomes[0]
    assert outcome.value == Value.of("100000\n") or outcome.status in (Status.EXCEPTION, Status.MEMORY)


def test_a_script_that_writes_too_much_to_its_descriptor_ends_as_output(box: Sandbox) -> None:
    for source in ("os.write(1, b'x' * 70_000)", "while True: os.write(1, b'x' * 999)"):
        assert answers(box, f"import os\n{source}", Script()) == [("output", "")]
    assert answers(box, "import os\nos.close(1)\nprint('x')", Script()) == ["x\n"]


def test_exit_and_quit_exist(box: Sandbox) -> None:
    assert (
        answers(box, "def f(): exit(3)\ndef g(): quit()", Call("f"), Call("g"))
        == [("exception", "SystemExit")] * 2
    )


def test_async_functions_and_generators_are_run(box: Sandbox) -> None:
    source = (
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0.001)\n    return x\n"
        "async def both(): return await asyncio.gather(f(1), f(2))\n"
        "def run(): return asyncio.run(both())\n"
        "async def gen():\n    yield 1\n    yield 2\n"
        "def count():\n    n = 0\n    while True:\n        yield n\n        n += 1"
    )
    f, both, run, gen, count = answers(box, source, *(Call(n) for n in ("f", "both", "run", "gen", "count")))
    assert f == ("exception", "TypeError")
    assert (both, run) == ([1, 2], [1, 2])
    assert repr(gen) == "<yields 1, 2>"
    assert count.more  # type: ignore[attr-defined]
    assert len(count.items) == 1000  # type: ignore[attr-defined]


def test_mutation_counts_and_the_order_of_a_dict_does_not(box: Sandbox) -> None:
    source = (
        "def f(xs): xs.sort(); return {1, 2}\ndef g(d): d['b'] = d.pop('b'); return 0\ndef h(b): b.append(1)"
    )
    sort, reorder, grow = answers(
        box, source, Call("f", ([2, 1],)), Call("g", ({"b": 1, "a": 2},)), Call("h", (bytearray(),))
    )
    assert isinstance(sort, Mutated)
    assert sort.args == ([1, 2],)
    assert reorder == 0
    assert isinstance(grow, Mutated)


@pytest.mark.parametrize(
    "value", [range(3), bytearray(b"x"), [range(2), float("inf")], 1j, {1, 2}, {(1, 2): None}, "\ud800"]
)
def test_arguments_arrive_as_they_are(box: Sandbox, value: object) -> None:
    assert answers(box, "def f(x): return x", Call("f", (value,))) == [value]


def test_probes_share_no_argument(box: Sandbox) -> None:
    shared = [1]
    source = "def f(xs):\n    xs.append(0)\n    return len(xs)"
    assert [a.result for a in answers(box, source, *(Call("f", (shared,)) for _ in range(3)))] == [2, 2, 2]  # type: ignore[attr-defined]


def test_numpy_arrays_are_values_where_numpy_is_installed() -> None:
    pytest.importorskip("numpy")
    source = "import numpy\ndef f(): return numpy.arange(4).reshape(2, 2)\ndef g(): return numpy.float64(0.5)"
    limits = Limits(probe_wall_s=30, job_wall_s=60, cpu_s=30, memory_bytes=4 << 30)
    with Sandbox(1) as box:
        array, scalar = box.run_one(Job(Program(source), (Call("f"), Call("g")), limits)).outcomes
    assert array.value is not None, array
    assert array.value.text() == "array([0, 1, 2, 3], shape=(2, 2), dtype=int64)"
    assert scalar.value == Value.of(0.5)


NUMPY_VALUES = {
    "array([float('nan'), -0.0, 1.0])": "array([nan, 0.0, 1.0], shape=(3,), dtype=float64)",
    "float32(0.1)": "0.100000001",
    "array([1, 2]) > 1": "array([False, True], shape=(2,), dtype=bool)",
    "asfortranarray(arange(6).reshape(2, 3))": "array([0, 1, 2, 3, 4, 5], shape=(2, 3), dtype=int64)",
    "arange(10)[::4]": "array([0, 4, 8], shape=(3,), dtype=int64)",
    "arange(2).flat": "<yields 0, 1>",
    "array([1, 'a', None], dtype=object)": "<ndarray>",
    "matrix([[1]])": "<matrix>",
    "ma.array([1], mask=[True])": "<MaskedArray>",
    "datetime64('2020-01-01')": "<datetime64>",
    "array([(1, 2.0)], dtype=[('a', int), ('b', float)])": "<ndarray>",
}


def test_values_of_numpy_are_read_or_opaque() -> None:
    pytest.importorskip("numpy")
    limits = Limits(probe_wall_s=30, job_wall_s=60, cpu_s=30, memory_bytes=4 << 30)
    with Sandbox(1) as box:
        probes = tuple(map(Expression, NUMPY_VALUES))
        outcomes = box.run_one(Job(Program("from numpy import *"), probes, limits)).outcomes
    shown = [outcome.value.text() if outcome.value is not None else outcome for outcome in outcomes]
    assert shown == [*NUMPY_VALUES.values()]
    opaque = [outcome.value.opaque for outcome in outcomes if outcome.value is not None]
    assert opaque == [text.startswith("<") and "yields" not in text for text in NUMPY_VALUES.values()]


LARGE_AND_ODD = {
    "10 ** 30": str(10**30),
    "10 ** 5000": f"<{len(f'{10**5000:x}') + 2} bytes of data>",
    "-0.0": "0.0",
    "{float('nan')}": "{nan}",
    "(1, 1.0, True)": "(1, 1.0, True)",
    "...": "Ellipsis",
    "(range(10), slice(1, 2))": "(range(0, 10), <slice>)",
    "(bytearray(b'\\x00'), memoryview(b'ab'))": "(bytearray(b'\\x00'), <memoryview>)",
    "NotImplemented": "<NotImplementedType>",
    "int": "<type>",
}


@pytest.mark.parametrize(("source", "text"), LARGE_AND_ODD.items())
def test_large_and_odd_values_are_shown(box: Sandbox, source: str, text: str) -> None:
    outcome = box.run_one(Job(Program(""), (Expression(source),))).outcomes[0]
    assert outcome.value is not None, outcome
    assert outcome.value.text() == text


@pytest.mark.parametrize("module", ["asyncio", "decimal", "fractions", "statistics"])
def test_usual_modules_can_be_imported_in_every_tier(box: Sandbox, module: str) -> None:
    assert answers(box, f"import {module}", Expression(f"{module}.__name__")) == [module]


POINT = """
class Point:
    def __init__(self, x, y=0): self.x, self.y = x, y
def move(p, dx): p.x += dx
def both(points, f): return sorted(f(p) for p in points)
def moved(p): return Point(p.x + 1)
def first(items): return next(items)
def keep(p, f): return None
"""


def test_built_arguments_are_made_in_the_namespace_of_the_program(box: Sandbox) -> None:
    probes = (
        Call("both", ([Built("Point(1)"), Built("Point(0)")], Built("lambda p: p.x"))),
        Call("both", ([Built("Point(math.pi, nan)", ("math",))], Built("lambda p: p.x"))),
        Call("keep", (Built("Point(1)"),), {"f": Built("lambda: 0")}),
        Call("keep", (Built("Point(missing)"), None)),
        Call("keep", (Built("Point("), None)),
    )
    assert answers(box, POINT, *probes) == [
        [0, 1], [3.14159265], None, ("exception", "NameError"), ("exception", "SyntaxError"),
    ]  # fmt: skip
    assert probe_text(probes[0]) == "both([Point(1), Point(0)], lambda p: p.x)"


def test_a_changed_object_is_part_of_the_value_and_built_anew(box: Sandbox) -> None:
    probe = Call("move", (Built("Point(1)"), 5))
    results = box.run_one(Job(Program(POINT), (probe, probe))).outcomes
    values = [outcome.value for outcome in results]
    assert values[0] == values[1]
    assert values[0] is not None
    assert values[0].text() == "None, leaving its arguments as (<Point x=6, y=0>, Ellipsis)"


def test_an_iterator_is_not_used_up_before_the_call(box: Sandbox) -> None:
    value = box.run_one(Job(Program(POINT), (Call("first", (Built("iter([7, 8])"),)),))).outcomes[0].value
    assert value is not None
    assert value.result.python() == 7


def test_a_returned_object_is_compared_by_its_state(box: Sandbox) -> None:
    probes = (Call("moved", (Built("Point(1)"),)), Call("moved", (Built("Point(2)"),)))
    one, two = (outcome.value for outcome in box.run_one(Job(Program(POINT), probes)).outcomes)
    assert one is not None
    assert not one.opaque
    assert one != two


@pytest.mark.parametrize("text", [7, None])
def test_a_built_argument_is_text(box: Sandbox, text: object) -> None:
    with pytest.raises(ArgumentError, match="must be str"):
        box.run_one(Job(Program(POINT), (Call("keep", (Built(text), None)),)))  # type: ignore[arg-type]
