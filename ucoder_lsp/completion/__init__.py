"""From a cursor position to one completion and its reason; nothing here depends on the editor's protocol."""
