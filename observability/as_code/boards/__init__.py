"""The four dashboards. What each panel asks stands here and nowhere else.

Every query is run against a real Prometheus by tests/observability, and must return data.
"""

from as_code.boards.api import API
from as_code.boards.ledger import LEDGER
from as_code.boards.postgres import POSTGRES
from as_code.boards.worker import WORKER

DASHBOARDS = (WORKER, API, LEDGER, POSTGRES)
