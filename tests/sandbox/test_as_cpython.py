"""Test that a program finds in the jail what CPython gives to a file that it runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.limits import Limits
from sandbox.pool import Sandbox
from sandbox.program import Call, Check, Expression, Job, Program, Script
from tests.sandbox.helpers import answers

ROOT = Path(__file__).parents[2]
PATIENT = Limits(probe_wall_s=20.0, job_wall_s=40.0, cpu_s=20)
DEEPEST = """
def deepest(n=900):
    try:
        while True:
            down(n)
            n += 1
    except RecursionError:
        return n
def down(n):
    return n if n == 1 else down(n - 1)
"""
PROGRAMS = {
    "hints are objects": "def f(x: int) -> 'str': pass\nprint(f.__annotations__)",
    "an undefined hint": "try:\n    def f(x: Missing): pass\nexcept NameError as error:\n    print(error)",
    "hints of a data class": "from dataclasses import dataclass, fields\n@dataclass\nclass P:\n"
    "    x: int\n    y: 'int' = 1\nprint([field.type for field in fields(P)])",
    "hints that the program defers": '"""Text."""\nfrom __future__ import annotations\ndef f(x: Missing): pass\n'
    "print(f.__annotations__, __doc__)",
    "hints read back": "import typing\ndef f(x: int) -> 'list[int]': pass\nclass C:\n    x: 'C'\n"
    "print(typing.get_type_hints(f), typing.get_type_hints(C)['x'] is C)",
    "hints in eval and exec": "exec('def f(x: int): pass')\nprint(f.__annotations__)",
    "source lines": "import inspect\ndef f(x):\n    return x  # so\nclass C:\n    y = 1\nprint(inspect.getsource(f) + "
    "inspect.getsource(C))",
    "a traceback": "import traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n"
    "    print(traceback.format_exc().split('\\n', 2)[2])",
    "pickled classes": "import pickle\nclass C:\n    pass\n"
    "print(pickle.dumps(C), type(pickle.loads(pickle.dumps(C()))) is C)",
    "names of the module": "import sys\nprint(__name__, bool(__file__), __package__, len(sys.argv))\n"
    "print(type(__builtins__))\nprint(sys.modules['__main__'].sys is sys)",
    "recursion": "import sys\n" + DEEPEST + "print(deepest(), sys.getrecursionlimit())",
    "its limit": "import sys\nfor n in (2**31 - 1, 1500, 0, -1, 2**31, 'x', 1.5):\n"
    "    try:\n        sys.setrecursionlimit(n)\n"
    "    except Exception as error:\n        print(error)\n    print(sys.getrecursionlimit())",
    "the file's first bytes": "\ufeffprint(1)",
    "other line ends": "x = 1\r\nif x:\r\n\tprint('''a\r\nb''')\r\n\x0cy = 2\r\nprint(y)\r\n",
    "an encoding": "# -*- coding: utf-8 -*-\nprint('é')",
    "tabs and spaces": "try:\n    compile('if 1:\\n\\tx\\n        y', '', 'exec')\n"
    "except TabError as error:\n    print(error.msg)",
    "main": "def f():\n    return 1\nif __name__ == '__main__':\n    print(f())",
    "prompts": "print(input('a? '), end='')\ntry:\n    input('b? ')\nexcept EOFError as error:\n    print(error)",
    "large numbers": "try:\n    str(10 ** 5000)\nexcept ValueError as error:\n    print(error)",
    "error stream": "import sys, warnings\nwarnings.warn('no')\n"
    "print(sys.stderr.fileno(), sys.stderr is sys.__stderr__)",
    "exit": "import sys\nprint(1)\nsys.exit()\nprint(2)",
    "threads at the end": "import threading, time\ndef late():\n    time.sleep(0.1)\n    print('late')\n"
    "threading.Thread(target=late).start()\nprint('main')",
    "exit functions after threads": "import atexit, threading, time\natexit.register(print, 'exit')\n"
    "threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()",
    "an executor left open": "from concurrent.futures import ThreadPoolExecutor\np = ThreadPoolExecutor(2)\n"
    "print(p.submit(pow, 2, 5).result())",
    "a deep stack": "import sys, threading\nsys.setrecursionlimit(10 ** 6)\nthreading.stack_size(1 << 27)\n"
    "def depth(n): return 0 if n == 0 else 1 + depth(n - 1)\ndef main(): print(depth(20_000), input())\n"
    "t = threading.Thread(target=main)\nt.start()\nt.join()",
    "work of asyncio in a thread": "import asyncio\nasync def main(): return await asyncio.to_thread(input)\n"
    "print(asyncio.run(main()))",
}  # fmt: skip


@pytest.mark.parametrize("source", PROGRAMS.values(), ids=PROGRAMS)
def test_a_script_prints_what_cpython_prints(source: str, box: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_bytes(source.encode("utf-8"))
    done = subprocess.run(
        [sys.executable, "-X", "utf8", file], input=b"one\n", capture_output=True, cwd=tmp_path, check=True
    )
    # The programs sleep and recurse: on a busy machine they need longer than the default limit.
    outcome = box.run_one(Job(Program(source), (Script("one\n"),), PATIENT)).outcomes[0]
    assert outcome.value is not None, outcome
    assert [outcome.value.python()] == [done.stdout.decode().replace("\r\n", "\n")]


def test_the_recursion_limit_counts_the_frames_of_the_program(box: Sandbox) -> None:
    """Compare with a function that a module calls."""
    ran = subprocess.run(
        [sys.executable, "-c", f"{DEEPEST}print(deepest())"], capture_output=True, check=True
    )
    deepest = int(ran.stdout)
    # Called from the outside, `down` has one frame more than within `deepest`.
    probes = Call("deepest"), Expression("at_loading"), Call("down", (deepest,)), Call("down", (deepest + 1,))
    found = answers(box, f"{DEEPEST}at_loading = deepest()", *probes)
    assert found == [deepest, deepest, 1, ("exception", "RecursionError")]


def test_calls_find_their_module(box: Sandbox) -> None:
    source = (
        "import inspect, pickle, sys, typing\nclass C:\n    x: 'C'\ndef lines(): return inspect.getsource(C)\n"
        "def pickled(): return type(pickle.loads(pickle.dumps(C()))) is C\n"
        "def hints(): return typing.get_type_hints(C)['x'] is C\ndef main(): return __name__ == '__main__'\n"
        "def sandboxed(): return [name for name in sys.modules if name.startswith('sandbox')]\n"
        "def argv(): return len(sys.argv)"
    )  # fmt: skip
    calls = [Call(name) for name in ("lines", "pickled", "hints", "main", "sandboxed", "argv")]
    assert answers(box, source, *calls) == ["class C:\n    x: 'C'\n", True, True, False, [], 1]


def test_a_probe_is_compiled_without_the_flags_of_this_project(box: Sandbox) -> None:
    checked = "exec('def f(x: int): pass', globals())\nassert f.__annotations__ == {'x': int}"
    assert answers(box, "", Expression("(lambda: eval('f.__annotations__'))")) != []

    assert answers(
        box, "", Check(checked), Check("def g(x: int): pass\nassert g.__annotations__['x'] is int")
    ) == [
        None,
        None,
    ]


@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0", b"/dev/stdin", 0])
def test_a_script_opens_its_input_by_path(box: Sandbox, path: object) -> None:
    for text in ("1 2\n", "0123456789" * 30_000):
        assert answers(box, f"print(open({path!r}).read(), end='')", Script(text[:40_000])) == [text[:40_000]]
        assert answers(box, f"print(len(open({path!r}).read()))", Script(text)) == [f"{len(text)}\n"]


@pytest.mark.parametrize(
    "source",
    [
        "from pathlib import Path\nprint(Path('/dev/stdin').read_text()[::-1], end='')",
        "import io\nprint(io.open('/dev/stdin').read()[::-1], end='')",
        "import os\nprint(os.read(os.open('/dev/stdin', os.O_RDONLY), 99).decode()[::-1], end='')",
        "with open('/dev/stdout', 'w') as out:\n    out.write(input()[::-1])",
        "with open('/dev/fd/1', 'wb') as out:\n    out.write(input()[::-1].encode())",
        "print(input()[::-1], file=open('/dev/stderr', 'w'))\nprint('cba', end='')",
    ],
)  # fmt: skip
def test_a_script_opens_its_streams_by_path(box: Sandbox, source: str) -> None:
    assert answers(box, source, Script("abc")) == ["cba"]


@pytest.mark.parametrize(
    "path", ["/dev/fd/77", "/proc/self/fd/", "/dev/stdin/x", "/proc/self/mem", "/dev/fd/3x"]
)
def test_no_other_file_is_opened_by_such_a_path(box: Sandbox, path: str) -> None:
    found = answers(box, f"try:\n    open({path!r})\nexcept OSError:\n    print('no')", Script())
    assert found == ["no\n"]


def test_every_compilation_is_without_the_flags_of_its_own_module() -> None:
    """Find `compile`, `eval` and `exec` in the whole source, also in programs within strings."""
    found = []
    for package in ("sandbox", "ucoder_lsp", "trainer", "ci", "benchmarks"):
        for file in (ROOT / package).rglob("*.py"):
            text = file.read_text("utf-8")
            for call in re.finditer(r"(?<![\w.])compile\(", text):
                arguments = _in_brackets(text[call.end() :])
                found.append((file.name, arguments, "dont_inherit=True" in arguments))
            for call in re.finditer(r"(?<![\w.])(?:exec|eval)\(", text):
                arguments = _in_brackets(text[call.end() :])
                # The result of a call is code. A text would be compiled with the flags of the module.
                found.append((file.name, arguments, re.match(r"\s*[\w.]+\(", arguments) is not None))
    assert len(found) > 6
    assert [where for *where, right in found if not right] == []


def _in_brackets(text: str) -> str:
    depth = 1
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return text[:index]
    return text
