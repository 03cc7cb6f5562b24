"""Make forking cheap: few page-table entries, few pages that a child writes.

A fork copies an entry for each page that the zygote holds, and the child's end drops it: 2,400 entries, a fifth of the
cost of a candidate. A huge page has one entry for 512 pages, so the allocators are made to work in whole huge pages.
After a hundred imports the allocators' free blocks are scattered over the whole heap, and a child that uses them
copies one page for each. So the zygote allocates every free block once. A child then allocates from fresh, contiguous
memory.

This changes speed only: no answer depends on it, and a kernel without huge pages just refuses them.
"""

from __future__ import annotations

import ctypes
import functools
import marshal
import sys
import types
from collections.abc import Callable

LARGE = tuple(1 << n for n in range(16, 10, -1))
SMALL = 512
"""Largest size that Python's own allocator serves; malloc serves larger ones."""
MOST_BYTES = 1 << 20
"""Most bytes taken for one size; an allocator that needs more works differently, and is left alone."""

HUGE = 2 << 20
"""Bytes of a huge page, on x86-64 and on ARM with 4 KiB pages."""
ARENA = 1 << 20
"""Bytes that Python's own allocator requests from the kernel at a time."""
ROOM = 2 * HUGE
"""Bytes of arenas that the usual imports need."""
MADV_COLLAPSE, PROT_NONE, MAP_PRIVATE_ANONYMOUS, M_ARENA_MAX = 25, 0, 0x22, -8

_taken: "list[object]" = []
_blocks: "list[int]" = []


def make_room() -> None:
    """Move both allocators to where whole huge pages fit.

    Call it before any other import.

    Otherwise the arenas would lie one by one between the libraries. One small object per arena is kept, so that the
    arena is not returned to the kernel.
    """
    libc = _libc()
    # One heap for all threads of a program: glibc reserves 64 MiB of address space for each further one.
    libc.mallopt(M_ARENA_MAX, 1)
    # malloc: its memory grows upwards, from the next boundary on. It accepts a program break that others move.
    end = libc.sbrk(0)
    libc.sbrk(-end % HUGE)
    # Arenas: the kernel places them downwards, from the next boundary on when the rest above it is taken.
    place = libc.mmap(None, ARENA, PROT_NONE, MAP_PRIVATE_ANONYMOUS, -1, 0)
    top = place + ARENA
    libc.munmap(place, ARENA)
    if top % HUGE:
        libc.mmap(None, top % HUGE, PROT_NONE, MAP_PRIVATE_ANONYMOUS, -1, 0)
    low = top - top % HUGE - ROOM
    _blocks.extend([end + -end % HUGE, *range(low, low + ROOM, HUGE)])
    filled = [b""]
    while len(filled) < 2 * ROOM // SMALL and not low <= id(filled[-1]) < low + ARENA // 32:
        filled.append(bytes(SMALL - sys.getsizeof(b"")))
    _taken.extend({id(one) - low >> 20: one for one in filled if low <= id(one) < low + ROOM}.values())


def collapse() -> None:
    """Put huge pages under the allocated memory.

    Call it after the last import.

    The kernel refuses a block that something else shares.
    """
    libc = _libc()
    libc.sbrk(max(0, _blocks[0] + HUGE - libc.sbrk(0)))
    for block in _blocks:
        libc.madvise(block, HUGE, MADV_COLLAPSE)


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.sbrk.restype, libc.sbrk.argtypes = ctypes.c_ssize_t, (ctypes.c_ssize_t,)
    libc.mmap.restype = ctypes.c_ssize_t
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *(ctypes.c_int,) * 3, ctypes.c_ssize_t)
    libc.munmap.argtypes = ctypes.c_void_p, ctypes.c_size_t
    libc.madvise.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    return libc


def fill_holes() -> None:
    """Allocate every free block of both allocators, for good."""
    malloc = ctypes.CDLL(None).malloc
    malloc.restype, malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    for size in LARGE:  # the largest first: small blocks would be cut out of larger free ones
        _fill(size, functools.partial(malloc, size), 2)
    for size in range(2 * SMALL, 16, -16):
        _fill(size, functools.partial(malloc, size), 3)
    empty = sys.getsizeof(b"")
    for size in range(SMALL, empty, -16):
        _fill(size, functools.partial(_keep, bytes, size - empty), 4, whole_pool=True)
    _fill(32, functools.partial(_keep, float), 4, whole_pool=True)
    _fill(16, functools.partial(_keep, object), 4, whole_pool=True)


def _keep(make: Callable[..., object], *arguments: object) -> int:
    made = make(*arguments)
    _taken.append(made)
    return id(made)


def _fill(size: int, allocate: Callable[[], int], sequence: int, whole_pool: bool = False) -> None:
    """Allocate until `sequence` steps in a row are equal.

    Then no free block of that size is left in used memory.

    With `whole_pool`, continue to the start of the next pool. A pool's first page holds its header and its first
    blocks, so a fresh pool costs a child one page, not two.
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
    """Read the module's code as bytes, while its file is still readable."""
    loader: object = module.__spec__.loader  # type: ignore[union-attr]
    return marshal.dumps(loader.get_code(module.__name__))  # type: ignore[attr-defined]


def anew(module: types.ModuleType, code: bytes) -> types.ModuleType:
    """Create the module again, contiguous in fresh memory.

    That includes its functions, code and constants.
    """
    made = types.ModuleType(module.__name__)
    made.__file__ = module.__file__
    sys.modules[module.__name__] = made
    package, _, name = module.__name__.rpartition(".")
    setattr(sys.modules[package], name, made)
    exec(marshal.loads(code), made.__dict__)  # noqa: S302 - the sandbox's own code
    return made
