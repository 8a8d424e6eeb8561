"""Events: their order, their tenants, and that each has its cause once."""

from testkit.mutants.mutation import of

API = "payments-api/src/payments_api"
LOG = "payments-api/tests/events/test_event_log.py"

log = of("payments-core/src/payments_core/db/event_log.py", LOG)
search = of(f"{API}/http/shared_search.py", LOG)
past = of(f"{API}/accounts/routes.py", "payments-api/tests/accounts/test_waiting.py")
told = of(
    "recon-worker/src/recon_worker/audit/events.py",
    "recon-worker/tests/audit/test_event_invariants.py",
)
once = of(
    f"{API}/migrations/versions/r0029_disabled_once.py",
    "payments-api/tests/migrations/guards/test_event_guards.py",
)

MUTATIONS = (
    log(
        "an event has the number of any settlement",
        "entry_type = 'reversal' AND reversal_id = r.id)",
        "entry_type = 'payment')",
        "test_reversals_are_events_of_the_same_log",
    ),
    log(
        "a tenant sees tenants whose names begin alike",
        "endpoint.tenant || '~'), :tenant)",
        "endpoint.tenant || '~'), rtrim(:tenant, '~'))",
        "test_event_tenants.py::test_only_its_tenant_sees_the_event_of_a_disabled_webhook",
    ),
    log(
        "a full page ends where the scan ends",
        "return EventPage(listed, listed[-1].position, True)",
        "return EventPage(listed, whole.to_id, True)",
        "test_pages_of_any_size_list_the_same_events",
    ),
    log(
        "a late event is skipped",
        "return last if final else after",
        "return last",
        "test_event_order.py::test_an_event_that_commits_late_is_not_skipped",
    ),
    search(
        "a search that began before serves a request",
        "            self._next = None\n            async with",
        "            async with",
        "test_a_reader_continues_where_it_stopped",
    ),
    past(
        "a past balance holds a connection while it waits",
        "    if not await services().open_postings_ended.result():"
        "  # No connection is held meanwhile.\n"
        "        raise BalanceNotFinal\n",
        "    async with services().load_read():\n"
        "        if not await services().open_postings_ended.result():\n"
        "            raise BalanceNotFinal\n",
        "test_balances_that_wait_for_a_posting_hold_one_connection_together",
    ),
    once(
        "the event of an endpoint that stays disabled is repeated",
        " AND disabled_at = disabling.created_at",
        "",
        "test_the_worker_announces_no_disabling_that_did_not_happen",
    ),
    once(
        "a change of an endpoint counts as a disabling",
        " WHEN ((OLD.enabled_at IS NULL) <> (NEW.enabled_at IS NULL))",
        "",
        "test_the_worker_announces_no_disabling_that_did_not_happen",
    ),
    once(
        "a disabling has two events",
        "CREATE UNIQUE INDEX",
        "CREATE INDEX",
        "test_one_disabling_is_one_event",
    ),
    told(
        "two events of a disabling share its record",
        "(d.surplus > 0 OR NOT EXISTS (",
        "(d.surplus < 0 OR NOT EXISTS (",
        "test_an_event_without_its_cause_is_named",
    ),
    told(
        "a job dies again without a replay",
        "AND replay.created_at BETWEEN former.created_at AND d.created_at)",
        "AND replay.created_at <= d.created_at)",
        "test_an_event_without_its_cause_is_named",
    ),
    told(
        "a disabling without an event is not missed",
        "WHERE d.endpoint_id = e.id AND d.created_at = e.disabled_at)",
        "WHERE d.endpoint_id = e.id)",
        "test_an_event_without_its_cause_is_named",
    ),
)
