"""Rules, the posting, and the bisection of a batch that fails."""

from testkit.mutants.mutation import of

RECONCILIATION = "recon-worker/src/recon_worker/reconciliation"
TESTS = "recon-worker/tests/reconciliation"

rules = of(f"{RECONCILIATION}/rules.py", f"{TESTS}/test_rules.py")
post = of(f"{RECONCILIATION}/post.py", f"{TESTS}/test_post.py")
reconcile = of(f"{RECONCILIATION}/reconcile.py", f"{TESTS}/test_reconcile.py")

MODEL = "test_any_batches_by_any_workers_give_the_models_ledger"

MUTATIONS = (
    rules(
        "a small negative amount is no negative amount",
        "if amount < 0:",
        "if amount < -1:",
        "test_a_negative_amount_fails_despite_thirteen_hundredths",
    ),
    rules(
        "a zero amount settles",
        "if amount == 0:",
        "if amount == 1:",
        "test_zero_fails_whatever_its_sign_and_decimals",
    ),
    rules(
        "the fraction is of tens",
        "if amount % 1 ==",
        "if amount % 10 ==",
        "test_thirteen_hundredths_is_a_discrepancy_of_any_size",
    ),
    rules(
        "a larger fraction is a discrepancy",
        "% 1 == DISCREPANCY",
        "% 1 >= DISCREPANCY",
        "test_no_other_fraction_is_a_discrepancy",
    ),
    rules(
        "the fraction is .12",
        'Decimal("0.13")',
        'Decimal("0.12")',
        "test_thirteen_hundredths_is_a_discrepancy_of_any_size",
    ),
    post(
        "head rows are locked in any order",
        "FROM moved ORDER BY account_id, currency",
        "FROM moved",
        "test_head_rows_are_locked_in_account_order",
    ),
    post(
        "time may go back along an account",
        "greatest(head.updated_at, clock_timestamp())",
        "clock_timestamp()",
        "test_an_accounts_entry_times_never_decrease_even_if_the_clock_does",
    ),
    post(
        "a batch posts without its fence",
        "await jobs.complete(tx, lease, job_ids)",
        "await jobs.held_ids(tx, lease, job_ids)",
        "test_a_batch_with_a_lost_job_posts_nothing",
    ),
    post(
        "a settled payment in the batch goes unnoticed",
        "if result.scalar() != len(batch):",
        "if result.scalar() is None:",
        "test_a_settled_payment_posts_nothing",
    ),
    post(
        "a settled payment is settled again",
        " AND payments.settled_at IS NULL",
        "",
        "test_a_settled_payment_posts_nothing",
    ),
    post(
        "a head row forgets its balance",
        "balance = head.balance + excluded.balance",
        "balance = excluded.balance",
        "test_many_workers_on_one_account_keep_its_balance_exact",
    ),
    post(
        "a head row forgets its debits",
        "debits = head.debits + excluded.debits",
        "debits = excluded.debits",
        MODEL,
    ),
    post(
        "entries are numbered from the one before",
        "+ 2 - row_number()",
        "+ 1 - row_number()",
        MODEL,
    ),
    post(
        "a running balance leaves out its entry",
        "sum(later) OVER account + delta",
        "sum(later) OVER account",
        MODEL,
    ),
    post(
        "the clearing leg comes first",
        "ORDER BY place, entry_type DESC",
        "ORDER BY place, entry_type",
        "test_the_payment_leg_has_the_lower_id",
    ),
    post(
        "a failed payment is credited",
        "amount AS delta, place\n    FROM settled WHERE status = 'completed'",
        "amount AS delta, place\n    FROM settled",
        MODEL,
    ),
    post(
        "an entry has the time at which its transaction began",
        "account_seq, balance_after, moved_at\n    FROM numbered",
        "account_seq, balance_after, now()\n    FROM numbered",
        MODEL,
    ),
    post(
        "a clearing account lies outside its shards",
        "% shards:02d",
        "% (shards + 1):02d",
        "test_a_lane_always_uses_the_same_shard_of_a_clearing_account",
    ),
    reconcile(
        "a failing batch fails as a whole",
        "if len(part) > 1:",
        "if len(part) > 1000:",
        "test_one_poisoned_job_of_500_is_retried_alone_and_the_others_settle",
    ),
    reconcile(
        "a failed batch does not renew its lease",
        "await self._renew(lease, part)",
        "pass",
        "test_a_failed_batch_renews_its_lease_before_it_is_halved",
    ),
    reconcile(
        "a deadlock is the jobs' fault",
        "if sqlstate_of(error) not in CONTENTION_SQLSTATES:",
        "if True:",
        "test_contention_is_retried_before_a_batch_is_halved",
    ),
    reconcile(
        "a stop waits for a long bisection",
        "and self.stopping():",
        "and False:",
        "test_a_stop_ends_a_long_bisection_and_hands_the_rest_back",
    ),
    reconcile(
        "a lost connection is the jobs' fault",
        "if is_unavailable(error) and sqlstate_of(error) not in OWN_LIMIT_SQLSTATES:",
        "if False:",
        "test_a_connection_lost_in_mid_batch_is_not_counted_against_the_jobs",
    ),
    reconcile(
        "a locked account is the database's fault",
        "if is_unavailable(error) and sqlstate_of(error) not in OWN_LIMIT_SQLSTATES:",
        "if is_unavailable(error):",
        "test_a_locked_account_delays_only_its_own_payments",
    ),
    reconcile(
        "a lost job takes its batch along",
        "return [held] if held else []",
        "return []",
        "test_jobs_whose_lease_was_lost_are_left_to_their_new_holder",
    ),
)
