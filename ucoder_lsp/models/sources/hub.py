"""The Hugging Face hub, through `huggingface_hub`.

That package knows the hub's addresses, its answers, `HF_ENDPOINT`, `HF_HUB_OFFLINE` and the user's token. The bytes
come through `url`, and nothing is written to the hub's own cache: a second copy would take hundreds of megabytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ucoder_lsp.models.catalogue import CatalogueEntry
from ucoder_lsp.models.errors import SourceError
from ucoder_lsp.models.sources.types import Meter
from ucoder_lsp.models.sources.url import UrlSource

TIMEOUT_S = 10.0
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubSource:
    """The repository of an entry on the hub."""

    @property
    def title(self) -> str:
        return "the Hugging Face hub"

    def deliver(self, entry: CatalogueEntry, folder: Path, meter: Meter) -> Path:
        """Download the file; see `Source`."""
        import httpx2
        from huggingface_hub import get_hf_file_metadata, get_token, hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        if not entry.hub_repo:
            raise SourceError("the catalogue names no repository there")
        url = hf_hub_url(entry.hub_repo, entry.file)
        try:
            published = get_hf_file_metadata(url, timeout=TIMEOUT_S)
        except OfflineModeIsEnabled:
            raise SourceError("HF_HUB_OFFLINE is set") from None
        except HfHubHTTPError as error:
            raise SourceError(f"it answers HTTP {error.response.status_code} for {entry.hub_repo}") from error
        except (
            httpx2.HTTPError,
            httpx2.InvalidURL,
            ValueError,
        ) as error:  # ValueError: a wrong proxy address
            raise SourceError(f"no connection ({error or type(error).__name__})") from error
        if _SHA256.fullmatch(published.etag or "") and published.etag != entry.sha256:
            raise SourceError(f"{entry.hub_repo} has another file under this name now")
        token = get_token()
        headers = (
            {"Authorization": f"Bearer {token}"} if token else {}
        )  # dropped when the hub redirects elsewhere
        return UrlSource(url, headers).deliver(entry, folder, meter)
