"""The custom methods of the protocol.

The server, its clients and the extension share them. Their requests have the parameters `{}`, because pygls 2.1
rejects a message without parameters.
"""

STATUS = "ucoder/status"
"""A request, and a notification on every change: `service.ServerStatus.to_json`."""

EXPLAIN_LAST = "ucoder/explainLast"
"""A request for `Explanation.to_json` of the last completion that was offered, or null."""

EXPLAIN_REQUEST = "ucoder/explainRequest"
"""The same for the last request, also when nothing was offered; the reason is in the explanation."""
