"""The specification of each route, for the OpenAPI document."""

from payments_api.http import errors
from payments_api.openapi import schemas
from payments_api.openapi.operation import Operation
from payments_api.openapi.specs.adjustments import ADJUSTMENT_OPERATIONS
from payments_api.openapi.specs.jobs import JOB_OPERATIONS
from payments_api.openapi.specs.matching import MATCHING_OPERATIONS
from payments_api.openapi.specs.payments import PAYMENT_OPERATIONS
from payments_api.openapi.specs.statements import STATEMENT_OPERATIONS
from payments_api.openapi.specs.webhooks import WEBHOOK_OPERATIONS
from payments_core.http.problems import NotReady

OPERATIONS = (
    *PAYMENT_OPERATIONS,
    *STATEMENT_OPERATIONS,
    *MATCHING_OPERATIONS,
    *ADJUSTMENT_OPERATIONS,
    *JOB_OPERATIONS,
    *WEBHOOK_OPERATIONS,
    Operation("control.health", "control", schemas.Status),
    Operation("control.livez", "control", schemas.Status),
    Operation("control.readyz", "control", schemas.Status, problems=(NotReady,)),
    Operation("control.metrics", "control", "text/plain"),
    Operation(
        "documents.get_openapi", "control", "application/json", problems=(errors.RateLimited,)
    ),
    Operation("documents.get_docs", "control", "text/html", problems=(errors.RateLimited,)),
)
