"""The acceptance of an adapter."""

from __future__ import annotations

from trainer.adapter_gate import compare


def test_only_a_better_adapter_is_accepted() -> None:
    assert compare([0.1, 0.2, 0.5], [0.3, 0.2, 0.9]).accepted
    assert not compare([0.5], [0.5]).accepted
    assert "must be better" in compare([0.5], [0.25]).reason
    assert not compare([], []).accepted
    assert "larger profile" in compare([], []).reason
