"""The reports of a run: result.json, junit.xml and summary.md."""
