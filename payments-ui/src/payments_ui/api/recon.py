"""The API's routes of sources, statement files and matching, as the page calls them."""

from collections.abc import AsyncIterable, Mapping, Sequence
from typing import Any, cast

from payments_ui.api import types as api
from payments_ui.api.client import ApiClient
from payments_ui.api.connection import Params, segment

Source = dict[str, Any]  # It has a profile of any content.
Break = dict[str, Any]  # It has a field named class, which no TypedDict can declare.


class Recon:
    """Calls the routes; every method raises ApiUnavailable or ApiProblem."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def sources(self, cursor: str, limit: int) -> dict[str, Any]:
        """Return a page of sources, newest first."""
        return await self._client.get("/sources", {"cursor": cursor, "limit": limit})

    async def source(self, name: str) -> Source:
        """Return a source."""
        return await self._client.get(_of(name))

    async def report(self, name: str, on: str = "") -> api.ReconciliationReport:
        """Return the reconciliation of a day, by default of the last covered one."""
        answer = await self._client.get(_of(name, "report"), {"on": on})
        return cast("api.ReconciliationReport", answer)

    async def report_csv(self, name: str, on: str = "") -> str:
        """Return the reconciliation of a day as CSV."""
        return await self._client.text(_of(name, "report.csv"), {"on": on})

    async def breaks(self, name: str, params: Params) -> dict[str, Any]:
        """Return a page of open breaks."""
        return await self._client.get(_of(name, "breaks"), params)

    async def break_(self, name: str, break_id: str) -> Break:
        """Return a break."""
        return await self._client.get(_of(name, "breaks", break_id))

    async def line(self, name: str, line_id: str) -> api.LineDetail:
        """Return a line with its match or its candidates."""
        return cast("api.LineDetail", await self._client.get(_of(name, "lines", line_id)))

    async def open_lines(self, name: str, params: Params) -> api.SourceLinePage:
        """Return a page of open lines."""
        return cast("api.SourceLinePage", await self._client.get(_of(name, "lines"), params))

    async def entries(self, name: str, params: Params) -> api.OpenEntryPage:
        """Return a page of open entries."""
        return cast("api.OpenEntryPage", await self._client.get(_of(name, "entries"), params))

    async def matches(self, name: str, params: Params) -> api.MatchPage:
        """Return a page of matches, newest first."""
        return cast("api.MatchPage", await self._client.get(_of(name, "matches"), params))

    async def match(self, name: str, match_id: str) -> api.Match:
        """Return a match."""
        return cast("api.Match", await self._client.get(_of(name, "matches", match_id)))

    async def adjustments(self, name: str, params: Params) -> list[dict[str, Any]]:
        """Return the newest adjustments of a source."""
        answer = await self._client.get(_of(name, "adjustments"), params)
        return cast("list[dict[str, Any]]", answer["adjustments"])

    async def adjustment(self, name: str, adjustment_id: str) -> dict[str, Any]:
        """Return an adjustment."""
        return await self._client.get(_of(name, "adjustments", adjustment_id))

    async def files(self, params: Params) -> api.StatementFilePage:
        """Return a page of files, newest first."""
        return cast("api.StatementFilePage", await self._client.get("/statements", params))

    async def file(self, file_id: str) -> api.StatementFileDetail:
        """Return a file with its statements."""
        path = f"/statements/{segment(file_id)}"
        return cast("api.StatementFileDetail", await self._client.get(path))

    async def lines(self, file_id: str, params: Params) -> api.StatementLinePage:
        """Return a page of the lines that a file brought."""
        path = f"/statements/{segment(file_id)}/lines"
        return cast("api.StatementLinePage", await self._client.get(path, params))

    async def upload(
        self, name: str, file_name: str, content: AsyncIterable[bytes], operator: str | None
    ) -> str:
        """Send a file of a source; return the id of the stored file."""
        params = {"source": name, "fileName": file_name}
        answer = await self._client.send_file("/statements", params, content, operator)
        return str(answer["id"])

    async def decide(
        self, file_id: str, action: str, body: Mapping[str, Any], operator: str | None
    ) -> None:
        """Accept or reject a quarantined file."""
        path = f"/statements/{segment(file_id)}/{segment(action)}"
        await self._client.act(path, body, operator)

    async def act(
        self, name: str, parts: Sequence[str], body: Mapping[str, Any], operator: str | None
    ) -> dict[str, Any]:
        """Act on something of a source, such as ("lines", id, "explain")."""
        return await self._client.act(_of(name, *parts), body, operator)


def _of(name: str, *parts: str) -> str:
    return "/".join(("/sources", segment(name), *map(segment, parts)))
