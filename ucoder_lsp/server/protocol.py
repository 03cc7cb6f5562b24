"""Our own protocol methods, the words that server, clients and the extension share.

A request of ours has the parameters `{}`: pygls 2.1 refuses a message that leaves them out.
"""

STATUS = "ucoder/status"
"""Request with the parameters {}, and a notification on every change: `service.ServerStatus.to_json`."""

EXPLAIN_LAST = "ucoder/explainLast"
"""Request with the parameters {}: `Explanation.to_json` of the last completion that was offered, or null."""

EXPLAIN_REQUEST = "ucoder/explainRequest"
"""The same for the last request, also when nothing was offered: its reason says why."""
