"""The runs of the project's own tests in the sandbox, and what their reports mean."""
