"""From a cursor position to one completion and its reason. Knows nothing of the editor's protocol."""
