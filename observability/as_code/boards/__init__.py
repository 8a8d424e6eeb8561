"""The five dashboards: the single source of each panel's queries.

tests/observability runs every query against a real Prometheus and requires data.
"""

from as_code.boards.api import API
from as_code.boards.ledger import LEDGER
from as_code.boards.postgres import POSTGRES
from as_code.boards.reconciliation import RECONCILIATION
from as_code.boards.worker import WORKER

DASHBOARDS = (WORKER, API, LEDGER, RECONCILIATION, POSTGRES)
