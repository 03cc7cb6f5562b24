"""What a run leaves behind: result.json, accepted.patch, junit.xml and summary.md."""
