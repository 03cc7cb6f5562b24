"""The bookkeeping of cached prompts, compared with a reference of every cell."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ucoder_lsp.engine.prefix_cache import PrefixCache, common_prefix

tokens = st.lists(st.integers(0, 2), min_size=1, max_size=12).map(tuple)


@given(a=tokens, b=tokens)
def test_common_prefix_is_the_longest(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    n = common_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


@given(prompts=st.lists(tokens, max_size=25), n_sequences=st.integers(1, 4), n_cells=st.integers(12, 60))
def test_a_plan_reuses_only_cells_that_are_cached(
    prompts: list[tuple[int, ...]], n_sequences: int, n_cells: int
) -> None:
    cache = PrefixCache(n_sequences)
    held: dict[int, tuple[int, ...]] = {}
    for prompt in prompts:
        plan = cache.plan(prompt, n_cells)
        origin = plan.sequence if plan.source is None else plan.source
        reused = held.get(origin, ())[: plan.n_shared]
        assert plan.sequence in range(n_sequences)
        assert len(reused) == plan.n_shared < len(prompt)
        assert reused == prompt[: plan.n_shared]
        for sequence in plan.evicted:
            assert sequence != plan.sequence
            del held[sequence]
        held[plan.sequence] = prompt
        cache.store(plan.sequence, prompt)
        assert sum(map(len, held.values())) <= max(n_cells, len(prompt))


def test_two_files_in_turn_keep_their_prefixes() -> None:
    cache = PrefixCache(4)
    first, second = tuple(range(100)), tuple(range(1000, 1100))
    for prompt in (first, second):
        cache.store(cache.plan(prompt, 10_000).sequence, prompt)
    assert cache.plan((*first, 7), 10_000).n_shared == 100
    assert cache.plan((*second, 7), 10_000).n_shared == 100


def test_a_common_opening_is_shared_without_losing_the_old_prompt() -> None:
    cache = PrefixCache(4)
    opening = tuple(range(10))
    old, new = (*opening, *range(100, 200)), (*opening, *range(300, 400))
    cache.store(cache.plan(old, 10_000).sequence, old)
    plan = cache.plan(new, 10_000)
    assert (plan.n_shared, plan.source) == (10, 0)
    cache.store(plan.sequence, new)
    assert cache.plan((*old, 1), 10_000).n_shared == len(old)
