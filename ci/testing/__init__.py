"""Runs of the project's tests in the sandbox, and their assessment."""
