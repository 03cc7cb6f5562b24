"""Make a forked child copy few pages: what it allocates should lie together, in memory nobody else uses.

After a hundred imports the allocators' free places are scattered over the whole heap. A child that takes them
copies a page for each. Here every such place is taken, once, in the zygote; what a child allocates then comes
from fresh memory, side by side. It changes speed only: nothing here is needed for a right answer.
"""

from __future__ import annotations

import ctypes
import functools
import marshal
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

LARGE = tuple(1 << n for n in range(16, 10, -1))
SMALL = 512
"""Largest size that Python's own allocator serves; larger ones are malloc's."""
MOST_BYTES = 1 << 20
"""Taken for one size before it is given up: an allocator that works otherwise."""

_taken: "list[object]" = []


def fill_holes() -> None:
    """Take every free place of both allocators, for good."""
    malloc = ctypes.CDLL(None).malloc
    malloc.restype, malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    for size in LARGE:  # the largest first: small ones would be cut out of what is left of them
        _fill(size, functools.partial(malloc, size), 2)
    for size in range(2 * SMALL, 16, -16):
        _fill(size, functools.partial(malloc, size), 3)
    empty = sys.getsizeof(b"")
    for size in range(SMALL, empty, -16):
        _fill(size, functools.partial(_keep, bytes, size - empty), 4, whole_pool=True)
    _fill(32, functools.partial(_keep, float), 4, whole_pool=True)
    _fill(16, functools.partial(_keep, object), 4, whole_pool=True)


def _keep(make: "Callable[..., object]", *arguments: object) -> int:
    made = make(*arguments)
    _taken.append(made)
    return id(made)


def _fill(size: int, allocate: "Callable[[], int]", sequence: int, whole_pool: bool = False) -> None:
    """Allocate until `sequence` steps in a row are the same: no old place is left.

    With `whole_pool` on to the start of the next pool: a pool's first page holds its head and its first places,
    so a fresh one costs a child one page, not two.
    """
    before, step, row = 0, 0, 0
    for _ in range(MOST_BYTES // size):
        at = allocate()
        in_row = at - before == step
        if row >= sequence and (not whole_pool or not in_row):
            return
        row = row + 1 if in_row else 0
        before, step = at, at - before


def image(module: types.ModuleType) -> bytes:
    """The module's code as bytes, read while its file can still be read."""
    loader: object = module.__spec__.loader  # type: ignore[union-attr]
    return marshal.dumps(loader.get_code(module.__name__))  # type: ignore[attr-defined]


def anew(module: types.ModuleType, code: bytes) -> types.ModuleType:
    """The module made once more: its functions, code and constants side by side in fresh memory."""
    made = types.ModuleType(module.__name__)
    made.__file__ = module.__file__
    sys.modules[module.__name__] = made
    package, _, name = module.__name__.rpartition(".")
    setattr(sys.modules[package], name, made)
    exec(marshal.loads(code), made.__dict__)  # noqa: S302 - our own
    return made
