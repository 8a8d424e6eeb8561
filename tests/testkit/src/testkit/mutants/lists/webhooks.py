"""Webhooks: order, leases, retries, health, bounds, and where nothing is sent."""

from testkit.mutants.mutation import of

CORE = "payments-core/src/payments_core"
WORKER = "recon-worker/src/recon_worker/webhooks"
SENDING = "recon-worker/tests/webhooks/test_sending.py"
CLIENT = "recon-worker/tests/webhooks/test_client.py"
NAMES = "recon-worker/tests/webhooks/test_client_names.py"
FAN_OUT = "recon-worker/tests/webhooks/test_fan_out.py"

fan_out = of(f"{WORKER}/fan_out.py", SENDING)
not_before = of(f"{WORKER}/fan_out.py", FAN_OUT)
enable = of(f"{CORE}/webhooks/endpoints.py", FAN_OUT)
claim = of(f"{WORKER}/claims.py", SENDING)
health = of(f"{WORKER}/health.py", SENDING)
sender = of(f"{WORKER}/sender.py", SENDING)
place = of(f"{WORKER}/sender.py", "recon-worker/tests/webhooks/test_places.py")
client = of(f"{WORKER}/client.py", CLIENT)
connection = of(f"{WORKER}/connection.py", CLIENT)
resolve = of(f"{WORKER}/resolve.py", NAMES)
opened = of(f"{WORKER}/connection.py", NAMES)
retry = of(f"{WORKER}/retries.py", "recon-worker/tests/webhooks/test_sign_and_retries.py")
sign = of(f"{WORKER}/sign.py", "recon-worker/tests/webhooks/test_sign_and_retries.py")
wake = of(f"{WORKER}/sender.py", FAN_OUT)
woken = of(f"{WORKER}/background.py", FAN_OUT)
prune = of(f"{WORKER}/background.py", "recon-worker/tests/webhooks/test_upkeep.py")
endpoint = of(f"{CORE}/webhooks/endpoints.py", "payments-core/tests/webhooks/test_endpoints.py")
delivery = of(f"{CORE}/webhooks/deliveries.py", "payments-core/tests/webhooks/test_endpoints.py")
resent = of(f"{CORE}/webhooks/resending.py", "payments-core/tests/webhooks/test_endpoints.py")

MUTATIONS = (
    not_before(
        "an endpoint receives events of before",
        "and event.position > self.after",
        "and event.position >= 0",
        "test_an_endpoint_that_is_enabled_again_receives_no_earlier_event",
    ),
    fan_out(
        "an endpoint receives every tenant's events",
        "self.tenant is None or self.tenant == event.tenant",
        "True",
        "test_events_sent.py::test_an_endpoint_receives_its_types_and_its_tenants_events_alone",
    ),
    fan_out(
        "every endpoint has the body of the first",
        "if one.tenant not in bodies:",
        "if not bodies:",
        "test_events_sent.py::test_an_endpoint_receives_its_types_and_its_tenants_events_alone",
    ),
    claim(
        "a payment's events are sent at once",
        "AND before.position < due.position AND before.status = 'pending'",
        "AND before.position < due.position AND before.status = 'none'",
        "test_order_and_claims.py::test_a_payments_events_arrive_in_their_order",
    ),
    claim(
        "a lost lease is recorded",
        "WHERE locked.lease_token = ended.lease_token",
        "WHERE true",
        "test_order_and_claims.py::test_a_lease_that_expired_lets_another_worker_send",
    ),
    claim(
        "a delivery never fails for good",
        "WHEN outcome = 'retry' AND locked.give_up_at <= now() THEN 'failed'",
        "WHEN outcome = 'none' THEN 'failed'",
        "test_three_days_of_failures_end_in_a_failed_delivery_that_can_be_resent",
    ),
    claim(
        "a paused endpoint is sent to",
        "AND (e.paused_until IS NULL OR e.paused_until <= now())",
        "",
        "test_health.py::test_retry_after_pauses_the_endpoint",
    ),
    claim(
        "an expired secret signs",
        "AND (expires_at IS NULL OR expires_at > now())",
        "",
        "test_both_secrets_sign_after_a_rotation_and_the_former_until_its_end",
    ),
    claim(
        "attempts under way do not count",
        "due.under_way + row_number()",
        "row_number()",
        "test_order_and_claims.py::test_slow_endpoints_that_fill_every_place_leave_a_quick_one_its_turn",
    ),
    claim(
        "a delivery handed back has used up an attempt",
        "SET attempts = attempts - 1, lease_token = NULL",
        "SET lease_token = NULL",
        "test_stopping.py::test_a_stop_hands_back_what_is_not_sent_without_using_up_an_attempt",
    ),
    health(
        "a success does not end the time of failing",
        "failing_since = CASE WHEN NOT seen.succeeded THEN coalesce(e.failing_since, now()) END",
        "failing_since = coalesce(e.failing_since, now())",
        "test_health.py::test_a_success_ends_the_time_of_failing",
    ),
    health(
        "each failure begins the time anew",
        "coalesce(e.failing_since, now()) END",
        "now() END",
        "test_health.py::test_five_days_without_a_success_disable_an_endpoint",
    ),
    health(
        "an endpoint is disabled without an event",
        "INSERT INTO webhook_disablings (endpoint_id, reason, failing_since)\n"
        "SELECT id, $2, failing_since FROM disabled",
        "SELECT id FROM disabled",
        "test_health.py::test_410_disables_at_once_with_an_event_and_a_record",
    ),
    sender(
        "410 is tried again",
        "if status == 410:",
        "if status == 411:",
        "test_health.py::test_410_disables_at_once_with_an_event_and_a_record",
    ),
    sender(
        "a late attempt begins",
        "if monotonic() <= self._claimed[one] + START_SECONDS_MAX:",
        "if True:",
        "test_order_and_claims.py::test_an_attempt_that_begins_too_late_is_left_to_its_lease",
    ),
    place(
        "a fault after the answer ends the attempt's task",
        "except Exception as unexpected:",
        "except ConnectionError as unexpected:",
        "test_a_fault_in_the_sender_leaks_no_place",
    ),
    client(
        "a stale connection is a failure",
        "with suppress(ConnectionStale):",
        "with suppress(KeyError):",
        "test_a_connection_that_went_stale_is_replaced",
    ),
    client(
        "a connection is kept for ever",
        "or now > connection.opened_at + AGE_SECONDS_MAX",
        "",
        "test_an_old_connection_is_replaced_so_that_the_name_is_looked_up_again",
    ),
    opened(
        "the connection resolves the name again",
        "str(address),",
        "destination.host,",
        "test_the_connection_goes_to_the_address_that_was_checked",
    ),
    connection(
        "an answer is read to its end",
        "if received >= ANSWER_BYTES_MAX:",
        "if False:",
        "test_a_huge_answer_is_read_up_to_its_bound",
    ),
    connection(
        "an answer has any number of parts",
        "while parts < ANSWER_PARTS_MAX:",
        "while True:",
        "test_an_answer_in_many_small_parts_is_read_up_to_their_bound",
    ),
    resolve(
        "one public address is enough",
        "not all(may_connect",
        "not any(may_connect",
        "test_a_name_with_a_private_address_is_refused",
    ),
    resolve(
        "an endpoint has any number of lookups",
        "endpoint_id in self._endpoints or ",
        "",
        "test_an_endpoint_whose_url_changes_has_one_lookup_under_way",
    ),
    retry(
        "Retry-After may be a week",
        "return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)",
        "return max(seconds, 0.0)",
        "test_retry_after_is_honoured_within_an_hour",
    ),
    sign(
        "one secret signs",
        "for secret in secrets\n",
        "for secret in secrets[:1]\n",
        "test_the_librarys_verifier_accepts_each_live_secret",
    ),
    wake(
        "new deliveries do not wake the sender",
        "        self._wake.set()\n\n    async def run",
        "        self._wake.is_set()\n\n    async def run",
        "test_new_deliveries_wake_the_sender",
    ),
    woken(
        "each look at the log wakes the sender",
        "if progress.deliveries:",
        "if True:",
        "test_the_sender_is_woken_for_new_deliveries_alone",
    ),
    prune(
        "a deleted endpoint goes before its events",
        "  AND NOT EXISTS (SELECT FROM webhook_disablings WHERE endpoint_id = endpoint.id)",
        "",
        "test_a_deleted_endpoint_goes_30_days_later_after_its_deliveries",
    ),
    endpoint(
        "a rotation leaves three secrets",
        "own, webhook_secrets.c.expires_at.is_not(None)",
        "own, webhook_secrets.c.expires_at < func.now()",
        "test_a_rotation_leaves_two_live_secrets",
    ),
    endpoint(
        "creations count without a lock",
        "    await tx.execute(_LOCK_CREATIONS)\n",
        "",
        "test_creations_at_the_same_time_do_not_pass_the_limit",
    ),
    enable(
        "an endpoint that is enabled again begins at its old position",
        '            "enabled_at": func.now(),\n            "after_position": _FANNED_OUT,',
        '            "enabled_at": func.now(),',
        "test_an_endpoint_that_is_enabled_again_receives_no_earlier_event",
    ),
    resent(
        "tests at once do not count each other",
        "await _find_enabled(tx, endpoint_id, tenant, lock=True)",
        "await _find_enabled(tx, endpoint_id, tenant)",
        "test_an_hour_has_so_many_test_events_of_an_endpoint",
    ),
    delivery(
        "another tenant's delivery is found",
        "visible = visible.where(webhook_endpoints.c.tenant == tenant)",
        "pass",
        "test_another_tenants_endpoint_is_not_found",
    ),
    resent(
        "a resend has the old end of its retries",
        '    "give_up_at": func.now() + text(f"interval \'{RETRIED_DAYS} days\'"),\n',
        "",
        "test_deliveries.py::test_a_delivery_is_sent_again_with_new_retries",
    ),
    resent(
        "deliveries of before the time are sent again",
        "AND created_at >= :since",
        "AND :since IS NOT NULL",
        "test_deliveries.py::test_all_failed_deliveries_since_a_time_are_sent_again",
    ),
)
