"""The input of the sandbox: a program and its probes.

A probe never holds an expected answer. A caller that has one compares it outside the jail with the `Value` that comes
back. (Evidence: EvalPlus passes the answers to the process of the untrusted program, which can read them.)
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sandbox.limits import Limits
from sandbox.values import Value


@dataclass(frozen=True, slots=True)
class Program:
    """The source of one candidate, executed once before its probes run."""

    source: str
    language: str = "python"
    """A name in `sandbox.host.languages`."""


@dataclass(frozen=True, slots=True, repr=False)
class Built:
    """An argument that is not plain data. The jail builds it anew for every call.

    Nothing is evaluated outside the jail. Its repr is its text, so that a call reads as a person would write it.
    """

    text: str
    """An expression in the program's namespace, such as `Point(1, 2)`."""
    modules: tuple[str, ...] = ()
    """Top-level modules that the expression names and the program may not import."""

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Call:
    """Call `function(*args, **kwargs)`.

    The value is the result, with the arguments where they changed.

    `function` may be dotted (`Stack.from_list`). Arguments are plain data (see `sandbox.values`) or `Built`, also
    inside containers. A call with a `Built` argument may also return instances of Python classes, whose state is
    compared.
    """

    function: str
    args: tuple[object, ...] = ()
    kwargs: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sequence:
    """Build an object with `construct`, then apply `steps` (method calls) to it.

    The value is the list of every step's result, followed by the object's final public and private attributes. So two
    classes that return the same results but keep different state have different values.
    """

    construct: Call
    steps: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class Expression:
    """Evaluate an expression in the program's namespace: `parse("1 + 2").value`."""

    source: str


@dataclass(frozen=True, slots=True)
class Check:
    """Run statements in the program's namespace.

    The value is None when they finish without an exception.

    It serves test functions that raise, such as HumanEval's `check(candidate)`. The statements run beside untrusted
    code, so a hostile candidate can forge a pass: never use it as the only evidence for accepting anything.
    """

    source: str


@dataclass(frozen=True, slots=True)
class Script:
    """Run the program from the top as `__main__` with `stdin`.

    The value is its text on standard output.

    Each script probe is a fresh run, which shares nothing with other probes of the job.
    """

    stdin: str = ""


Probe = Call | Sequence | Expression | Check | Script


@dataclass(frozen=True, slots=True)
class Vote:
    """An expected value: a generated assert (weak) or a docstring example (hard).

    It is compared outside the jail, and never sent into it.
    """

    probe: int
    """The index of the probe."""
    expected: Value


@dataclass(frozen=True, slots=True)
class Job:
    """One program and its probes, answered by exactly one `JobResult`.

    It holds one `Outcome` per probe.
    """

    program: Program
    probes: tuple[Probe, ...]
    limits: Limits = field(default_factory=Limits)


def probe_text(probe: Probe) -> str:
    """Format a probe as Python code on one line, for people."""
    match probe:
        case Call():
            return _call_text(probe.function, probe)
        case Sequence():
            steps = "".join(f"; .{_call_text(step.function, step)}" for step in probe.steps)
            return _call_text(probe.construct.function, probe.construct) + steps
        case Script():
            return f"stdin {probe.stdin!r}"
        case Expression() | Check():
            return " ".join(probe.source.split())


def _call_text(name: str, call: Call) -> str:
    arguments = [repr(arg) for arg in call.args] + [f"{key}={value!r}" for key, value in call.kwargs.items()]
    return f"{name}({', '.join(arguments)})"
