"""The queue's jobs, and the event of each that died."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from payments_core.db.tables.schema import metadata, one_of, timestamp
from payments_core.domain.statuses import JOB_STATUSES

recon_jobs = Table(
    "recon_jobs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("payment_id", Uuid, ForeignKey("payments.id")),  # NULL for a reversal's job.
    Column("status", Text, nullable=False, server_default="pending"),
    Column("priority", SmallInteger, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("max_attempts", Integer, nullable=False, server_default="10"),
    timestamp("run_at", default_now=True),
    Column("locked_by", Text),
    timestamp("locked_at"),
    timestamp("locked_until"),
    Column("lease_token", Uuid),
    Column("last_error", Text),
    Column("traceparent", Text),
    timestamp("created_at", default_now=True),
    timestamp("updated_at", default_now=True),
    Column("reversal_id", Uuid, ForeignKey("reversals.id")),
    UniqueConstraint("payment_id"),
    CheckConstraint("num_nonnulls(payment_id, reversal_id) = 1", name="job_is_of_one"),
    CheckConstraint(one_of("status", JOB_STATUSES), name="job_status_known"),
    CheckConstraint(
        "(status = 'processing') = (lease_token IS NOT NULL)"
        " AND (lease_token IS NULL) = (locked_until IS NULL)",
        name="processing_has_a_lease",
    ),
    CheckConstraint("attempts >= 0 AND max_attempts > 0", name="attempts_are_counted"),
    CheckConstraint("status <> 'failed' OR last_error IS NOT NULL", name="dead_has_a_reason"),
    # The hot table: every job is updated twice within moments, so vacuum runs often.
    postgresql_with={
        "fillfactor": 70,
        "autovacuum_vacuum_scale_factor": 0.01,
        "autovacuum_vacuum_threshold": 1000,
        "autovacuum_vacuum_cost_delay": 0,
        "autovacuum_analyze_scale_factor": 0.05,
    },
)
_jobs = recon_jobs.c
Index(
    "recon_jobs_reversal",
    _jobs.reversal_id,
    unique=True,
    postgresql_where=text("reversal_id IS NOT NULL"),
)
Index(
    "recon_jobs_claimable",
    _jobs.priority,
    _jobs.run_at,
    _jobs.id,
    postgresql_where=text("status = 'pending'"),
)
Index("recon_jobs_leased", _jobs.locked_until, postgresql_where=text("status = 'processing'"))
Index("recon_jobs_dead", _jobs.id, postgresql_where=text("status = 'failed'"))
Index("recon_jobs_unfinished", _jobs.payment_id, postgresql_where=text("status <> 'completed'"))

# A job that dies has no result. Its event has an id from the results' sequence: the event log
# lists both in one order.
job_deaths = Table(
    "job_deaths",
    metadata,
    Column(
        "id",
        BigInteger,
        Sequence("reconciliation_results_id_seq"),
        primary_key=True,
    ),
    Column("event_id", Uuid, nullable=False, server_default=text("gen_random_uuid()")),
    Column("job_id", BigInteger, nullable=False),  # No foreign key: finished jobs are pruned.
    Column("payment_id", Uuid, nullable=False),  # Of a reversal's job, the reversed payment.
    Column("attempts", Integer, nullable=False),
    timestamp("created_at", default_now=True),
    Column("reversal_id", Uuid),
)
Index("job_deaths_once", job_deaths.c.job_id, job_deaths.c.created_at, unique=True)
