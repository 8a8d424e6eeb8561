"""The invariants of events that no result holds: each has its cause, each cause its event.

An incremental audit reads the events of the last hour, a full one all that are kept.
"""

from payments_core.domain.events import EVENTS_KEPT_DAYS
from recon_worker.audit.invariant import Invariant, Window

_RECENT = "{}.created_at > now() - interval '1 hour'"

# A replayed job lives on, and a finished one is pruned: its result stays.
_STRAY_DEATHS = """
    SELECT d.job_id, d.payment_id, d.reversal_id, d.attempts
    FROM job_deaths d
    LEFT JOIN payments p ON p.id = d.payment_id
    LEFT JOIN reversals r ON r.id = d.reversal_id AND r.payment_id = d.payment_id
    LEFT JOIN recon_jobs j ON j.id = d.job_id
    WHERE {when}
      AND (p.id IS NULL OR d.attempts < 1
           OR (d.reversal_id IS NULL) <> (r.id IS NULL)
           OR j.id IS NOT NULL
              AND coalesce(j.reversal_id, j.payment_id) <> coalesce(d.reversal_id, d.payment_id)
           OR j.id IS NULL AND d.job_id IS DISTINCT FROM CASE WHEN d.reversal_id IS NULL
                THEN (SELECT recon_job_id FROM reconciliation_results
                      WHERE payment_id = d.payment_id)
                ELSE (SELECT recon_job_id FROM reconciliation_results
                      WHERE reversal_id = d.reversal_id) END)"""
# A dead job dies again only after a replay, which is on record.
_REPEATED_DEATHS = """
    UNION ALL
    SELECT d.job_id, d.payment_id, d.reversal_id, d.attempts
    FROM job_deaths d CROSS JOIN LATERAL (
        SELECT created_at FROM job_deaths
        WHERE job_id = d.job_id AND created_at < d.created_at
        ORDER BY created_at DESC LIMIT 1) AS former
    WHERE {when}
      AND NOT EXISTS (
        SELECT FROM (
            SELECT unnest(job_ids) AS job_id, created_at FROM operator_actions
            WHERE action = 'replay') AS replay
        WHERE replay.job_id = d.job_id
          AND replay.created_at BETWEEN former.created_at AND d.created_at)"""
# Deaths before the oldest kept event have none: they are older than the log, or than 30 days.
_UNTOLD_DEATHS = """
    UNION ALL
    SELECT j.id, j.payment_id, j.reversal_id, j.attempts FROM recon_jobs j
    WHERE j.status = 'failed'
      AND j.updated_at > (SELECT created_at FROM job_deaths ORDER BY id LIMIT 1)
      AND NOT EXISTS (
        SELECT FROM job_deaths d WHERE d.job_id = j.id AND d.created_at = j.updated_at)"""
# From any time on there are no more events of an endpoint than records: each has its own, made
# later in the same transaction. Two transactions may have begun before the record of the first.
_STRAY_DISABLINGS = """
    SELECT d.endpoint_id, d.reason FROM (
        SELECT *, sum(events) OVER (
            PARTITION BY subject, reason ORDER BY created_at DESC, events, id
            ROWS UNBOUNDED PRECEDING) AS surplus
        FROM (
            SELECT 1 AS events, id, endpoint_id, 'webhook ' || endpoint_id AS subject, reason,
                   created_at
            FROM webhook_disablings d WHERE {when}
            UNION ALL
            SELECT -1, id, NULL, subject, reason, created_at FROM operator_actions
            WHERE action = 'disable_webhook'
              AND EXISTS (SELECT FROM webhook_disablings d WHERE {when})
        ) AS told
    ) AS d
    WHERE d.endpoint_id IS NOT NULL
      AND (d.surplus > 0 OR NOT EXISTS (
        SELECT FROM operator_actions act
        WHERE act.action = 'disable_webhook' AND act.subject = d.subject
          AND act.reason = d.reason
          AND act.created_at BETWEEN d.created_at AND d.created_at + interval '10 minutes'))"""
# A day less than events are kept: they may be deleted while this is read.
_UNTOLD_DISABLINGS = f"""
    UNION ALL
    SELECT e.id, e.disabled_reason FROM webhook_endpoints e
    WHERE e.disabled_reason <> 'operator'
      AND e.disabled_at > now() - interval '{EVENTS_KEPT_DAYS - 1} days'
      AND NOT EXISTS (
        SELECT FROM webhook_disablings d
        WHERE d.endpoint_id = e.id AND d.created_at = e.disabled_at)"""

EVENT_INVARIANTS = (
    Invariant(
        "death_is_of_its_job",
        Window.DEATHS,
        (_STRAY_DEATHS + _REPEATED_DEATHS).format(when=_RECENT.format("d")),
        (_STRAY_DEATHS + _REPEATED_DEATHS).format(when="true") + _UNTOLD_DEATHS,
    ),
    Invariant(
        "disabling_is_on_record",
        Window.DISABLINGS,
        _STRAY_DISABLINGS.format(when=_RECENT.format("d")),
        _STRAY_DISABLINGS.format(when="true") + _UNTOLD_DISABLINGS,
    ),
)
