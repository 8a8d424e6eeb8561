"""Money, fingerprints, and the creation of payments."""

from testkit.mutants.mutation import of

money = of(
    "payments-core/src/payments_core/domain/money.py", "payments-core/tests/domain/test_money.py"
)
payment = of(
    "payments-core/src/payments_core/domain/payments.py",
    "payments-core/tests/domain/test_payments.py",
)
key = of(
    "payments-core/src/payments_core/domain/payments.py",
    "payments-api/tests/payments/test_idempotency_keys.py",
)
parsing = of(
    "payments-api/src/payments_api/payments/parsing.py",
    "payments-api/tests/payments/test_bad_input.py",
)
store = of(
    "payments-api/src/payments_api/payments/store.py",
    "payments-api/tests/payments/test_create.py",
)
writer = of(
    "payments-api/src/payments_api/payments/writer.py",
    "payments-api/tests/payments/test_create.py",
)
restarted = of(
    "payments-api/src/payments_api/payments/writer.py",
    "payments-api/tests/test_postgres_restarts.py",
)
batch = of(
    "payments-api/src/payments_api/payments/writer.py",
    "payments-api/tests/payments/test_batch.py",
)
typed = of(
    "payments-ui/src/payments_ui/payments/amounts.py",
    "payments-ui/tests/payments/test_amounts.py",
)

MUTATIONS = (
    money(
        "an amount is rounded",
        "traps=[Inexact, InvalidOperation]",
        "traps=[InvalidOperation]",
        "test_an_amount_is_exact_or_rejected_never_rounded",
    ),
    money(
        "an amount reaches the limit",
        "value.adjusted() >= AMOUNT_LIMIT.adjusted()",
        "value.adjusted() > AMOUNT_LIMIT.adjusted()",
        "test_an_inexact_amount_is_rejected_with_a_reason",
    ),
    money(
        "true is an amount",
        "if isinstance(raw, bool) or not isinstance(",
        "if not isinstance(",
        "test_an_inexact_amount_is_rejected_with_a_reason",
    ),
    money(
        "an amount may end in a line feed",
        '_TEXT = re.compile(AMOUNT_TEXT_PATTERN.replace("$", r"\\Z"))',
        "_TEXT = re.compile(AMOUNT_TEXT_PATTERN)",
        "test_an_inexact_amount_is_rejected_with_a_reason",
    ),
    money(
        "a zero keeps its sign",
        "if not value:",
        "if value is None:",
        "test_an_amount_is_parsed_exactly",
    ),
    money(
        "every currency has two decimals",
        "{c.code: c.exponent for",
        "{c.code: 2 for",
        "test_an_amount_is_parsed_exactly",
    ),
    payment(
        "the fingerprint leaves out the currency",
        "fields = [self.account_id, amount, self.currency]",
        "fields = [self.account_id, amount]",
        "test_a_changed_field_changes_the_fingerprint",
    ),
    payment(
        "the fingerprint has no separator",
        '"\\x1f".join(',
        '"".join(',
        "test_a_changed_field_changes_the_fingerprint",
    ),
    payment(
        "a system account is known in lower case only",
        "account_id.lower().startswith(",
        "account_id.startswith(",
        "test_system_accounts_are_recognised_in_any_case",
    ),
    payment(
        "an account may end in a line feed",
        '_ACCOUNT_ID = re.compile(ACCOUNT_ID_PATTERN.replace("$", r"\\Z"))',
        "_ACCOUNT_ID = re.compile(ACCOUNT_ID_PATTERN)",
        "test_an_account_id_is_plain_ascii",
    ),
    payment(
        "a time is told in its own zone",
        "at if at.tzinfo is None else at.astimezone(UTC)",
        "at",
        "test_a_time_is_formatted_equally_for_every_zone",
    ),
    parsing(
        "a client pays into a system account",
        "elif is_system_account(value):",
        "elif False:",
        "test_each_text_has_its_answer",
    ),
    key(
        "a key may hold a space, which separates tenants",
        're.compile(rf"[!-~]{{',
        're.compile(rf"[ -~]{{',
        "test_each_idempotency_key_has_its_answer",
    ),
    parsing(
        "an unknown field is ignored",
        "if not FIELDS.issuperset(body):\n        errors",
        "if False:\n        errors",
        "test_bad_bodies.py::test_each_body_has_its_answer",
    ),
    store(
        "a reused key replays another body",
        "if fingerprint != waiting.fingerprint and",
        "if False and",
        "test_of_two_bodies_with_one_key_one_is_rejected",
    ),
    store(
        "keys are inserted in any order",
        "FROM asked ORDER BY idempotency_key",
        "FROM asked",
        "test_keys_are_inserted_in_one_order",
    ),
    store(
        "a payment that our lost statement stored is a replay",
        "replayed=payment.id != waiting.id",
        "replayed=True",
        "test_lost_connections.py::test_a_commit_with_a_lost_answer_is_recognised",
    ),
    store(
        "a payment has no job",
        "    {enqueue}\n",
        "    SELECT\n",
        "test_shared_statements.py::test_creating_a_payment_and_its_job_takes_one_round_trip",
    ),
    writer(
        "the queue has no bound",
        "if len(self._queue) + payments > self._queue_max:",
        "if False:",
        "test_shared_statements.py::test_requests_beyond_the_queue_are_rejected_and_accepted_later",
    ),
    writer(
        "a bad row fails its neighbours",
        "elif len(batch) > 1 and _is_data_error(error):",
        "elif False:",
        "test_shared_statements.py::test_one_invalid_row_in_a_shared_statement_fails_alone",
    ),
    restarted(
        "a lost connection is not tried again",
        "attempt < ATTEMPTS_MAX and",
        "False and",
        "test_a_session_lost_during_a_request_causes_no_503",
    ),
    writer(
        "a bad row of a client that left fails its neighbour",
        "await self._isolate_bad_rows(unanswered)",
        "_fail(unanswered, error)",
        "test_shared_statements.py::test_a_bad_row_whose_client_left_does_not_fail_its_neighbour",
    ),
    batch(
        "of a key twice in a batch the last counts",
        "first.setdefault(payment.idempotency_key, index)",
        "first[payment.idempotency_key] = index",
        "test_of_several_bodies_with_one_key_the_first_is_created",
    ),
    typed(
        "an ambiguous amount is guessed",
        "if may_group and not",
        "if False and not",
        "test_an_ambiguous_amount_is_rejected",
    ),
)
