"""From a cursor position to one completion; independent of the editor's protocol."""
