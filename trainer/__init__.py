"""A night of self-training: problems, tests, samples, consensus, fine-tuning, a gated adapter.

Needs the `train` extra.
"""
