"""The languages of the sandbox, by the name that `Program.language` holds."""

from __future__ import annotations

from sandbox.host.node import NodeRuntime
from sandbox.host.python import PythonRuntime
from sandbox.host.runtime import Runtime

RUNTIMES: dict[str, type[Runtime]] = {
    "python": PythonRuntime,
    "javascript": NodeRuntime,
}
