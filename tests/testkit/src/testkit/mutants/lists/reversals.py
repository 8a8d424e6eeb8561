"""Reversals: the sum, keys, tenants, postings, discards, and what the auditor says of them."""

from testkit.mutants.mutation import of

API = "payments-api/src/payments_api"
CREATED = "payments-api/tests/reversals/test_create.py"

create = of(f"{API}/reversals/create.py", CREATED)
schema = of(f"{API}/migrations/versions/r0022_reversals.py", CREATED)
downgrade = of(
    f"{API}/migrations/versions/r0022_reversals.py",
    "payments-api/tests/migrations/test_reversals.py",
)
discard = of(
    "payments-core/src/payments_core/queue/dead_letters.py",
    "payments-api/tests/reversals/test_races.py",
)
balance = of(f"{API}/accounts/queries.py", "payments-api/tests/payments/test_read_plans.py")
invariant = of(
    "recon-worker/src/recon_worker/audit/reversal_invariants.py",
    "recon-worker/tests/audit/test_reversal_invariants.py",
)

NAMED = "test_a_broken_invariant_is_found_and_its_row_named"

MUTATIONS = (
    create(
        "a reversal's key is answered for any request",
        "if fingerprint != new.fingerprint():",
        "if False:",
        "test_rejections.py::test_a_key_names_one_reversal",
    ),
    create(
        "a remainder is the whole amount",
        "coalesce($4::numeric, payments.amount - coalesce(reserved, 0))",
        "coalesce($4::numeric, payments.amount)",
        "test_without_an_amount_the_rest_is_reversed",
    ),
    create(
        "an operator is not recorded with the reversal",
        "WHERE $9::text IS NOT NULL",
        "WHERE $9::text IS NULL",
        "test_an_operator_is_recorded_with_the_reversal_and_not_with_a_replay",
    ),
    schema(
        "reversals may exceed the payment",
        "reserved >= 0 AND reserved <= amount)",
        "reserved >= 0 AND reserved <= 2 * amount)",
        "test_a_hundred_concurrent_partial_reversals_never_exceed_the_payment",
    ),
    schema(
        "a failed reversal keeps its amount",
        "SET reserved = reserved - NEW.amount",
        "SET reserved = reserved - 0",
        "test_a_discarded_reversal_fails_and_frees_its_amount",
    ),
    downgrade(
        "a downgrade does not wait for open creations",
        "    LOCK TABLE reversals IN SHARE MODE;\n",
        "",
        "test_a_reversal_that_commits_meanwhile_prevents_a_downgrade",
    ),
    discard(
        "discards lock the totals in any order",
        "    if ids:\n        await tx.execute(locked)",
        "    if False:\n        await tx.execute(locked)",
        "test_concurrent_discards_of_the_same_payments_reversals_never_deadlock",
    ),
    balance(
        "a balance reads the jobs in any order",
        "WHERE status <> 'completed' ORDER BY payment_id LIMIT",
        "WHERE status <> 'completed' LIMIT",
        "test_a_balance_reads_only_the_unfinished_jobs",
    ),
    invariant(
        "a leg of another amount is not seen",
        "OR bool_or(e.amount <> r.amount) ",
        "",
        NAMED,
    ),
    invariant(
        "a wrong total is not seen",
        "WHERE (p.amount, r.reserved) IS DISTINCT FROM (t.amount, t.reserved)\n       OR ",
        "WHERE ",
        NAMED,
    ),
    invariant(
        "a reversal of another source is not seen",
        "IS DISTINCT FROM (p.account_id, p.currency, p.source)",
        "IS DISTINCT FROM (p.account_id, p.currency, r.source)",
        NAMED,
    ),
)
