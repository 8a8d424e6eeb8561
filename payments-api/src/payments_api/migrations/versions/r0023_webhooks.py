"""Webhooks: endpoints and their secrets, deliveries and their attempts, the event of a disabling.

Safe beside the running release: new tables, and actions that it does not write. It sends nothing.

Revision ID: 0023
Revises: 0022
"""

from alembic import op

from payments_api.migrations.versions.r0021_matching import ACTIONS

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

API, WORKER = "payments_api", "payments_worker"
READERS = "payments_api, payments_worker, payments_readonly"
SEQUENCE = "public.reconciliation_results_id_seq"
# Of test events. A signature covers id.timestamp.body, so an id with dots could hold another body;
# parsers differ on repeated names. One fixed shape leaves nothing to interpret.
EVENT_ID = "^evt_[0-9a-f]{32}$"
TEST_BODY = (
    r'^\{"type":"webhook\.test","timestamp":"[0-9T:.Z-]{20,30}",'
    r'"data":\{"endpointId":"[0-9a-f-]{36}"\},"id":"evt_[0-9a-f]{32}"\}$'
)

TABLES = {
    "webhook_endpoints": """
        CREATE TABLE webhook_endpoints (
            id uuid CONSTRAINT webhook_endpoints_pkey PRIMARY KEY,
            tenant text,
            url text NOT NULL,
            types text[] NOT NULL DEFAULT '{}',
            description text NOT NULL DEFAULT '',
            created_at timestamptz NOT NULL DEFAULT now(),
            enabled_at timestamptz DEFAULT now(),
            after_position bigint NOT NULL DEFAULT 0,
            disabled_reason text,
            failing_since timestamptz,
            paused_until timestamptz,
            deleted_at timestamptz,
            CONSTRAINT webhook_tenant_is_a_name CHECK (tenant ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
            CONSTRAINT webhook_has_a_url CHECK (length(url) BETWEEN 1 AND 2000),
            CONSTRAINT webhook_description_is_short CHECK (length(description) <= 500),
            CONSTRAINT disabled_reason_known CHECK (
                disabled_reason IN ('operator', 'gone', 'failing')),
            CONSTRAINT disabled_webhook_has_a_reason CHECK (
                num_nulls(enabled_at, disabled_reason) = 1),
            CONSTRAINT deleted_webhook_is_disabled CHECK (
                deleted_at IS NULL OR enabled_at IS NULL)
        )""",
    "webhook_secrets": """
        CREATE TABLE webhook_secrets (
            id uuid NOT NULL DEFAULT gen_random_uuid()
                CONSTRAINT webhook_secrets_pkey PRIMARY KEY,
            endpoint_id uuid NOT NULL
                CONSTRAINT webhook_secrets_endpoint_id_fkey REFERENCES webhook_endpoints (id),
            secret bytea NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz,
            CONSTRAINT secret_has_24_to_64_bytes CHECK (length(secret) BETWEEN 24 AND 64)
        )""",
    "webhook_deliveries": f"""
        CREATE TABLE webhook_deliveries (
            id uuid CONSTRAINT webhook_deliveries_pkey PRIMARY KEY,
            endpoint_id uuid NOT NULL
                CONSTRAINT webhook_deliveries_endpoint_id_fkey REFERENCES webhook_endpoints (id),
            position bigint,
            event_id text NOT NULL,
            type text NOT NULL,
            payment_id uuid,
            body text NOT NULL,
            status text NOT NULL DEFAULT 'pending',
            attempts integer NOT NULL DEFAULT 0,
            earlier_attempts integer NOT NULL DEFAULT 0,
            next_attempt_at timestamptz NOT NULL DEFAULT now(),
            lease_token uuid,
            give_up_at timestamptz NOT NULL DEFAULT now() + interval '3 days',
            created_at timestamptz NOT NULL DEFAULT now(),
            finished_at timestamptz,
            CONSTRAINT webhook_deliveries_endpoint_id_position_key UNIQUE (endpoint_id, position),
            CONSTRAINT delivery_status_known CHECK (
                status IN ('pending', 'delivered', 'failed')),
            CONSTRAINT finished_delivery_has_a_time CHECK (
                (status = 'pending') = (finished_at IS NULL)
                AND (status = 'pending' OR lease_token IS NULL)),
            CONSTRAINT delivery_attempts_are_counted CHECK (
                attempts >= earlier_attempts AND earlier_attempts >= 0),
            CONSTRAINT only_tests_have_no_position CHECK (
                (position IS NULL) = (type = 'webhook.test')
                AND (position IS NOT NULL OR event_id ~ '{EVENT_ID}' AND body ~ '{TEST_BODY}'))
        ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02,
                autovacuum_analyze_scale_factor = 0.05)""",
    "webhook_attempts": """
        CREATE TABLE webhook_attempts (
            delivery_id uuid NOT NULL
                CONSTRAINT webhook_attempts_delivery_id_fkey
                REFERENCES webhook_deliveries (id) ON DELETE CASCADE,
            number integer NOT NULL,
            started_at timestamptz NOT NULL DEFAULT now(),
            duration_seconds double precision NOT NULL,
            status_code integer,
            answer text,
            error text,
            CONSTRAINT webhook_attempts_pkey PRIMARY KEY (delivery_id, number),
            CONSTRAINT webhook_attempts_are_numbered CHECK (number > 0),
            CONSTRAINT attempt_has_an_outcome CHECK (
                num_nonnulls(status_code, error) > 0 AND length(answer) <= 1024
                AND length(error) <= 500)
        )""",
    "webhook_disablings": f"""
        CREATE TABLE webhook_disablings (
            id bigint NOT NULL DEFAULT nextval('{SEQUENCE}')
                CONSTRAINT webhook_disablings_pkey PRIMARY KEY,
            event_id uuid NOT NULL DEFAULT gen_random_uuid(),
            endpoint_id uuid NOT NULL
                CONSTRAINT webhook_disablings_endpoint_id_fkey REFERENCES webhook_endpoints (id),
            reason text NOT NULL,
            failing_since timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT disabling_reason_known CHECK (reason IN ('gone', 'failing'))
        )""",
    "webhook_cursor": """
        CREATE TABLE webhook_cursor (
            only_row boolean NOT NULL DEFAULT true CONSTRAINT webhook_cursor_pkey PRIMARY KEY,
            position bigint NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT webhook_cursor_is_one_row CHECK (only_row)
        )""",
}
INDEXES = (
    "CREATE INDEX webhook_endpoints_by_tenant ON webhook_endpoints (tenant, id)"
    " WHERE deleted_at IS NULL",
    "CREATE INDEX webhook_endpoints_enabled ON webhook_endpoints (id) WHERE enabled_at IS NOT NULL",
    "CREATE UNIQUE INDEX webhook_secrets_current_and_previous"
    " ON webhook_secrets (endpoint_id, (expires_at IS NULL))",
    "CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_attempt_at)"
    " WHERE status = 'pending'",
    "CREATE INDEX webhook_deliveries_of_payment"
    " ON webhook_deliveries (payment_id, endpoint_id, position) WHERE status = 'pending'",
    "CREATE INDEX webhook_deliveries_by_endpoint ON webhook_deliveries (endpoint_id, id)",
    "CREATE INDEX webhook_deliveries_by_status ON webhook_deliveries (endpoint_id, status, id)",
)
# Endpoints are created after this: no earlier event is sent.
FIRST_POSITION = """
INSERT INTO webhook_cursor (position) SELECT greatest(
    (SELECT max(id) FROM reconciliation_results), (SELECT max(id) FROM job_deaths), 0)"""

_ENDPOINT = (
    "url, types, description, enabled_at, after_position, disabled_reason, failing_since,"
    " paused_until"
)
_RESEND = "status, next_attempt_at, give_up_at, earlier_attempts, lease_token, finished_at"
# Both roles manage endpoints, for the API and for the command line. Only the worker reads secrets.
GRANTS = (
    *(
        f"GRANT SELECT ON {table} TO {READERS}"
        for table in TABLES
        if table not in ("webhook_secrets",)
    ),
    "GRANT INSERT (id, tenant, url, types, description, after_position) ON webhook_endpoints"
    f" TO {API}, {WORKER}",
    f"GRANT UPDATE ({_ENDPOINT}, deleted_at) ON webhook_endpoints TO {API}, {WORKER}",
    f"GRANT DELETE ON webhook_endpoints TO {WORKER}",
    "GRANT SELECT (id, endpoint_id, created_at, expires_at), INSERT (endpoint_id, secret),"
    f" UPDATE (expires_at), DELETE ON webhook_secrets TO {API}",
    "GRANT SELECT (id, endpoint_id, created_at, expires_at) ON webhook_secrets"
    " TO payments_readonly",
    "GRANT SELECT, INSERT (endpoint_id, secret), UPDATE (expires_at), DELETE"
    f" ON webhook_secrets TO {WORKER}",
    f"GRANT INSERT (id, endpoint_id, event_id, type, body) ON webhook_deliveries TO {API}",
    f"GRANT UPDATE ({_RESEND}) ON webhook_deliveries TO {API}",
    "GRANT INSERT (id, endpoint_id, position, event_id, type, payment_id, body),"
    f" UPDATE ({_RESEND}, attempts), DELETE ON webhook_deliveries TO {WORKER}",
    "GRANT INSERT (delivery_id, number, started_at, duration_seconds, status_code, answer, error),"
    f" DELETE ON webhook_attempts TO {WORKER}",
    f"GRANT INSERT (endpoint_id, reason, failing_since), DELETE ON webhook_disablings TO {WORKER}",
    f"GRANT UPDATE (position, updated_at) ON webhook_cursor TO {WORKER}",
)

WEBHOOK_ACTIONS = (
    *("create_webhook", "change_webhook", "rotate_webhook", "delete_webhook"),
    *("disable_webhook", "test_webhook", "resend_webhook"),
)


def _actions(actions: tuple[str, ...]) -> str:
    known = ", ".join(f"'{action}'" for action in actions)
    check = f"ADD CONSTRAINT action_known CHECK (action IN ({known})) NOT VALID"
    return f"ALTER TABLE operator_actions DROP CONSTRAINT action_known, {check}"


def upgrade() -> None:
    """Create the tables with their least privileges."""
    for table, statement in TABLES.items():
        op.execute(statement)
        op.execute(f"ALTER TABLE {table} OWNER TO payments_owner")
    for index in INDEXES:
        op.execute(index)
    op.execute(FIRST_POSITION)
    op.execute(_actions((*ACTIONS, "reverse", *WEBHOOK_ACTIONS)))
    for grant in GRANTS:
        op.execute(grant)


def downgrade() -> None:
    """Drop the tables with every endpoint, secret and delivery. Events of disablings go too."""
    op.execute(_actions((*ACTIONS, "reverse")))
    for table in reversed(TABLES):
        op.execute(f"DROP TABLE {table}")
