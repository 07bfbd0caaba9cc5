"""A small Service Layer: what PyGranta's clients ask when they connect, and one operation each."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from gatepass.sandbox import Request, Server
from gatepass.sandbox._response import Response, in_json
from gatepass.sandbox._server.pages import PREFIX, Pages
from tests.support import echo

_WHEN: Final = "2026-01-02T03:04:05Z"
_ALICE: Final = {"displayName": "Alice", "identifier": "1", "name": "alice"}
_LIST: Final = {
    "name": "steels",
    "identifier": "c61e8f3a-d7e1-4b7c-8232-d2495eae6c15",
    "createdTimestamp": _WHEN,
    "createdUser": _ALICE,
    "lastModifiedTimestamp": _WHEN,
    "lastModifiedUser": _ALICE,
    "awaitingApproval": False,
    "internalUse": False,
    "isRevision": False,
    "published": True,
    "metadata": {},
}
_JOB: Final = {
    "id": "7",
    "name": "nightly export",
    "status": "Succeeded",
    "type": "ExcelExportJob",
    "submitterName": "alice",
    "submissionDate": _WHEN,
    "submitterRoles": ["reader"],
    "outputFileNames": ["report.xlsx"],
}
_LEAD: Final = {"CasNumber": "7439-92-1", "SubstanceName": "Lead"}
_MATERIAL: Final = {
    "ReferenceType": "MaterialId",
    "ReferenceValue": "plastic-abs",
    "Legislations": [{"LegislationId": "REACH", "ImpactedSubstances": [_LEAD]}],
}

SERVER_API: Final = "proxy/v1.svc/mi"
VERSION: Final = f"{SERVER_API}/v1alpha/schema/mi-version"
LISTS: Final = f"{SERVER_API}/api/v1/lists"
LICENSES: Final = "BomAnalytics/v2.svc/licenses"
REPORT: Final = "files/report.bin"
CONTENTS: Final[dict[str, Any]] = {
    VERSION: {
        "version": "26.1.0.0",
        "majorMinorVersion": "26.1",
        "binaryCompatibilityVersion": "26.1.0.0",
    },
    LISTS: {"lists": [_LIST]},
    f"{SERVER_API}/swagger/v1/swagger.json": {"openapi": "3.0.1"},
    f"{SERVER_API}/v1alpha/job-queue/jobs": {"results": [_JOB]},
    LICENSES: {"RestrictedSubstances": True, "Sustainability": True, "LogMessages": []},
    "BomAnalytics/v2.svc/impacted-substances/materials": {
        "Materials": [_MATERIAL],
        "LogMessages": [],
    },
}
# Larger than any buffer on the way, and never twice the same piece.
LARGE: Final = b"".join(number.to_bytes(8, "big") for number in range(2**20))


class _Granta(Pages):
    """The pages of the sandbox, and those of a Service Layer."""

    def respond(self, request: Request) -> Response:
        path = request.path.partition("?")[0].removeprefix(PREFIX)
        if path in CONTENTS:
            return in_json(CONTENTS[path])
        if path == REPORT:
            name = (("Content-Disposition", 'attachment; filename="report.bin"'),)
            return Response(200, LARGE, headers=name)
        return super().respond(request)


@contextmanager
def service_layer(mode: str, **keys: Any) -> Iterator[Server]:
    """Run a Service Layer in one of the sandbox's modes."""
    with Server(mode=mode, **keys) as server:
        offer_granta(server)
        yield server


def offer_granta(server: Server) -> None:
    """Let a running server of the sandbox answer as a Service Layer does, too."""
    server._listener.pages = _Granta()


def granta(seen: echo.Seen) -> echo.Answer:
    """Answer as a Service Layer does that lets everybody in."""
    path = seen.path.removeprefix("/mi/")
    if path not in CONTENTS:
        return echo.Answer(404)
    return echo.Answer(body=json.dumps(CONTENTS[path]).encode())
