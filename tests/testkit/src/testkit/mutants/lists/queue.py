"""Claim, lease, fence, backoff, rescue, pruning, dead letters, and the worker's loop."""

from testkit.mutants.mutation import of

QUEUE = "payments-core/src/payments_core/queue"
QUEUE_TESTS = "payments-core/tests/queue"
WORKER = "recon-worker/src/recon_worker/worker"

jobs = of(f"{QUEUE}/jobs.py", f"{QUEUE_TESTS}/test_jobs.py")
claims = of(f"{QUEUE}/jobs.py", f"{QUEUE_TESTS}/test_claims.py")
backoff = of(f"{QUEUE}/jobs.py", f"{QUEUE_TESTS}/test_backoff.py")
upkeep = of(f"{QUEUE}/maintenance.py", f"{QUEUE_TESTS}/test_maintenance.py")
dead = of(f"{QUEUE}/dead_letters.py", f"{QUEUE_TESTS}/test_dead_letters.py")
filtered = of(f"{QUEUE}/job_queries.py", f"{QUEUE_TESTS}/test_dead_letters.py")
leases = of(f"{WORKER}/leases.py", "recon-worker/tests/worker/test_loop.py")
loop = of(f"{WORKER}/loop.py", "recon-worker/tests/worker/test_loop.py")
drain = of(f"{WORKER}/loop.py", "recon-worker/tests/worker/test_drain.py")
drained_leases = of(f"{WORKER}/leases.py", "recon-worker/tests/worker/test_drain.py")

MUTATIONS = (
    claims(
        "a claim waits for another claim",
        "FOR UPDATE SKIP LOCKED\n), claimed",
        "FOR UPDATE\n), claimed",
        "test_a_claim_skips_jobs_that_another_is_claiming",
    ),
    backoff(
        "a claim takes jobs that are not due",
        "WHERE status = 'pending' AND run_at <= now()",
        "WHERE status = 'pending'",
        "test_a_failed_job_waits_for_its_backoff_with_its_error",
    ),
    claims(
        "a claim ignores the priority",
        "ORDER BY priority, run_at, id",
        "ORDER BY run_at, id",
        "test_a_claim_takes_the_oldest_ready_jobs_of_the_most_urgent_priority",
    ),
    backoff(
        "a claim counts no attempt",
        "attempts = attempts + 1",
        "attempts = attempts",
        "test_a_job_is_dead_after_its_last_attempt_and_keeps_its_error",
    ),
    claims(
        "a claim starts at its cursor's own job",
        "id) > ($4",
        "id) >= ($4",
        "test_a_claim_with_a_cursor_takes_the_next_jobs_in_claim_order",
    ),
    claims(
        "every claim has the same token",
        "return Lease(uuid4(),",
        "return Lease(UUID(int=1),",
        "test_every_claim_has_its_own_token",
    ),
    jobs(
        "any lease completes a job",
        "AND lease_token = $2",
        "AND lease_token IS NOT NULL AND $2::uuid IS NOT NULL",
        "test_a_completion_after_the_job_was_claimed_again_rolls_its_work_back",
    ),
    jobs(
        "a batch completes although one job was lost",
        "lease) != len(job_ids):",
        "lease) == 0:",
        "test_one_lost_job_of_a_batch_rolls_the_whole_batch_back",
    ),
    jobs(
        "a renewal waits for a completion",
        "ORDER BY id FOR UPDATE SKIP LOCKED",
        "ORDER BY id FOR UPDATE",
        "test_renewal_does_not_wait_for_the_transaction_that_completes_the_job",
    ),
    jobs(
        "a job that is handed back has lost an attempt",
        "attempts = attempts - 1",
        "attempts = attempts",
        "test_a_job_handed_back_is_claimable_at_once_with_all_its_attempts",
    ),
    backoff(
        "a job has one attempt too many",
        "SET status = CASE WHEN attempts < max_attempts",
        "SET status = CASE WHEN attempts <= max_attempts",
        "test_a_job_is_dead_after_its_last_attempt_and_keeps_its_error",
    ),
    backoff(
        "a backoff has no limit",
        "min(most, base * 2.0**exponent)",
        "base * 2.0**exponent",
        "test_backoff_doubles_up_to_five_minutes",
    ),
    backoff(
        "the first backoff is doubled",
        "max(attempts - 1, 0)",
        "max(attempts, 0)",
        "test_backoff_doubles_up_to_five_minutes",
    ),
    backoff(
        "a backoff has half its jitter",
        "random.random() * min(",
        "(1 + random.random()) / 2 * min(",
        "test_backoff_is_spread_over_its_whole_range",
    ),
    backoff(
        "an error with NUL cannot be recorded",
        'error.replace("\\0", "")',
        "error",
        "test_any_error_text_can_be_recorded",
    ),
    upkeep(
        "a held job is rescued",
        "locked_until < now()\n",
        "locked_until < now() + interval '1 day'\n",
        "test_a_held_job_is_not_rescued",
    ),
    upkeep(
        "a rescue waits for a completion",
        "LIMIT {RESCUE_JOBS_MAX}\n    FOR UPDATE SKIP LOCKED",
        "LIMIT {RESCUE_JOBS_MAX}\n    FOR UPDATE",
        "test_a_job_that_is_being_completed_is_not_rescued",
    ),
    upkeep(
        "a job that kills its worker lives for ever",
        "CASE WHEN attempts < max_attempts THEN 'pending'",
        "CASE WHEN true THEN 'pending'",
        "test_a_job_that_kills_its_worker_each_time_ends_as_a_dead_letter",
    ),
    upkeep(
        "dead letters are pruned",
        "WHERE status = 'completed' AND updated_at",
        "WHERE status <> 'pending' AND updated_at",
        "test_pruning_takes_old_finished_jobs_only",
    ),
    upkeep(
        "pruning waits for another",
        "LIMIT {PRUNE_JOBS_MAX}\n    FOR UPDATE SKIP LOCKED",
        "LIMIT {PRUNE_JOBS_MAX}\n    FOR UPDATE",
        "test_concurrent_pruning_never_waits",
    ),
    dead(
        "a replayed job has no attempts",
        'status="pending", attempts=0,',
        'status="pending",',
        "test_a_replay_restores_all_attempts_and_is_recorded",
    ),
    dead(
        "a live job is replayed",
        'if job.status != "failed":',
        "if False:",
        "test_only_a_dead_letter_can_be_replayed_or_discarded",
    ),
    dead(
        "a replay is recorded without its reason",
        'record_action(tx, "replay", operator, reason, ids)',
        'record_action(tx, "replay", operator, "", ids)',
        "test_a_replay_restores_all_attempts_and_is_recorded",
    ),
    filtered(
        "a replay takes more than its maximum",
        "min(limit, REPLAY_JOBS_MAX)",
        "limit",
        "test_a_bulk_replay_never_exceeds_its_maximum",
    ),
    dead(
        "a discard records a second result",
        "recon_jobs.c.id.in_(ids), table.c.settled_at.is_(None)",
        "recon_jobs.c.id.in_(ids)",
        "test_discarding_a_job_whose_payment_is_settled_changes_no_history",
    ),
    drained_leases(
        "a cancelled batch keeps its jobs",
        "if isinstance(error, asyncio.CancelledError) or is_unavailable(error):",
        "if is_unavailable(error):",
        "test_a_slow_drain_hands_jobs_back_without_losing_attempts",
    ),
    leases(
        "a claim whose answer was lost keeps its jobs",
        "except BaseException:\n            self._interrupted.add(lease)",
        "except BaseException:\n            pass",
        "test_a_lost_claim_answer_does_not_delay_its_jobs_until_expiry",
    ),
    loop(
        "a lease is renewed too late",
        "self.settings.lease_seconds / 3",
        "self.settings.lease_seconds * 3",
        "test_a_long_batch_keeps_its_lease_while_others_rescue",
    ),
    loop(
        "expired leases are not rescued",
        "freed, dead = await maintenance.rescue_expired(connection)",
        "freed, dead = 0, 0",
        "test_the_jobs_of_a_dead_worker_are_settled_by_another",
    ),
    drain(
        "a stop does not wake an idle lane",
        "self.polling.wake()\n        _, late",
        "_, late",
        "test_an_idle_worker_stops_at_once_despite_a_long_poll",
    ),
    loop(
        "an unexpected error ends a lane",
        'log.exception("batch_failed")',
        "raise",
        "test_an_unexpected_error_does_not_end_the_worker",
    ),
)
