"""API keys, scopes, tenants, cursors, admission control and rate limits."""

from testkit.mutants.mutation import of

API = "payments-api/src/payments_api"
TESTS = "payments-api/tests"

ring = of(f"{API}/auth/key_cache.py", f"{TESTS}/auth/access/test_key_lifetimes.py")
matching_keys = of(f"{API}/auth/key_cache.py", f"{TESTS}/auth/access/test_key_secrecy.py")
access = of(f"{API}/auth/middleware.py", f"{TESTS}/auth/access/test_scopes.py")
key_quota = of(f"{API}/auth/middleware.py", f"{TESTS}/auth/access/test_key_costs.py")
fast_access = of(f"{API}/auth/middleware.py", f"{TESTS}/payments/test_fast_path.py")
stored_key = of(f"{API}/auth/keys.py", f"{TESTS}/auth/access/test_key_secrecy.py")
keys = of(f"{API}/auth/keys.py", f"{TESTS}/auth/test_keys_cli.py")
tenants = of(f"{API}/auth/tenants.py", f"{TESTS}/auth/test_tenants.py")
tenant_names = of(
    "payments-core/src/payments_core/domain/tenants.py", f"{TESTS}/auth/test_tenants.py"
)
tenant_lists = of(f"{API}/payments/filters.py", f"{TESTS}/auth/test_tenants.py")
tenant_reads = of(f"{API}/payments/queries.py", f"{TESTS}/auth/test_tenants.py")
tenant_events = of(f"{API}/events/reader.py", f"{TESTS}/auth/test_tenants.py")
cursors = of(f"{API}/http/pagination.py", f"{TESTS}/payments/test_reads.py")
paging = of(f"{API}/http/pagination.py", f"{TESTS}/http/test_pagination.py")
concurrency = of(f"{API}/limits/concurrency.py", f"{TESTS}/limits/test_concurrency_limit.py")
admission = of(f"{API}/limits/admission.py", f"{TESTS}/limits/test_overload.py")
rate = of(f"{API}/limits/rate_limit.py", f"{TESTS}/limits/test_rate_limits.py")
client_limits = of(f"{API}/limits/client_limits.py", f"{TESTS}/limits/test_rate_limits.py")


TENANTS_APART = "test_each_tenant_sees_exactly_its_own_data"

MUTATIONS = (
    matching_keys(
        "any secret of a known key opens",
        "if not hmac.compare_digest(",
        "if False and not hmac.compare_digest(",
        "test_another_secret_of_a_known_id_is_rejected",
    ),
    ring(
        "a revoked key opens",
        "if known is None or known.revoked or monotonic()",
        "if known is None or monotonic()",
        "test_a_revoked_key_is_soon_rejected",
    ),
    ring(
        "an expired key opens",
        "monotonic() >= min(known.ends_at, self._fresh_until)",
        "monotonic() >= self._fresh_until",
        "test_a_key_ends_when_it_expires",
    ),
    ring(
        "keys are good without Postgres for ever",
        "monotonic() >= min(known.ends_at, self._fresh_until)",
        "monotonic() >= known.ends_at",
        "test_known_keys_outlive_an_outage_for_a_time_then_503",
    ),
    ring(
        "a revocation is not loaded",
        "scopes, tenant, revoked_at, expires_at), 0",
        "scopes, tenant, expires_at), 0",
        "test_a_revoked_key_is_soon_rejected",
    ),
    ring(
        "a stream outlives its key",
        "if known is None or known.revoked or now",
        "if known is None or now",
        "test_an_event_stream_ends_when_its_key_is_revoked",
    ),
    access(
        "a key opens every route",
        "if scope not in sender.scopes:",
        "if False:",
        "test_a_key_allows_only_the_routes_of_its_scope",
    ),
    fast_access(
        "a key opens the fast path",
        "known is not None and scope in known.scopes else",
        "known is not None else",
        "test_a_known_key_without_the_scope_creates_nothing",
    ),
    key_quota(
        "a key's quota does not count",
        "if decision is not None:\n            raise decision.problem()",
        "if False:\n            raise decision.problem()",
        "test_each_key_has_its_own_quota",
    ),
    access(
        "a route needs no declared scope",
        'raise LookupError(f"{endpoint} declares no scope: add @requires(...)")',
        "continue",
        "test_a_route_without_a_scope_prevents_the_start",
    ),
    stored_key(
        "a key is stored as it is",
        "hashlib.sha256(key.encode()).digest()",
        "key.encode()[-32:]",
        "test_the_stored_hash_does_not_reveal_the_key",
    ),
    keys(
        "a key made elsewhere replaces another's secret",
        "if stored.secret_hash != hash_of(key):",
        "if False:",
        "test_external_keys_cli.py::test_an_external_key_cannot_replace_another_or_an_ended_key",
    ),
    keys(
        "a tenant's key is the operators'",
        "if JOBS_ADMIN in self.scopes:",
        "if False:",
        "test_an_invalid_request_creates_no_key",
        "the constraint operators_have_no_tenant rejects such a key too, in one line",
    ),
    keys(
        "a rotated key has no end",
        "values(expires_at=ends)",
        "values(expires_at=old.expires_at)",
        "test_a_rotation_copies_scopes_and_ends_the_old_key",
    ),
    tenant_names(
        "a tenant sees those whose names begin with its own",
        'stored.startswith(f"{tenant}{TENANT_SEPARATOR}")',
        'stored.startswith(f"{tenant}")',
        TENANTS_APART,
    ),
    tenants(
        "tenants share their idempotency keys",
        "key = stored_idempotency_key(payment.idempotency_key, tenant)",
        "key = payment.idempotency_key",
        TENANTS_APART,
    ),
    tenants(
        "a tenant names another's account",
        "is_stored_account_id(value) if tenant is None else is_account_id(value)",
        "is_stored_account_id(value)",
        TENANTS_APART,
    ),
    tenant_lists(
        "a tenant's list holds all payments",
        "elif self.tenant is not None:\n            terms.extend((has_tenant",
        "elif False:\n            terms.extend((has_tenant",
        TENANTS_APART,
    ),
    tenant_reads(
        "a tenant reads any payment",
        "if payment is None or not is_of_tenant(payment.account_id, tenant):",
        "if payment is None:",
        TENANTS_APART,
    ),
    tenant_events(
        "a tenant's stream tells of all payments",
        "if not is_of_tenant(event.account_id, self.tenant):",
        "if False:",
        "test_tenant_events.py::test_a_tenants_stream_reports_only_its_own_payments",
    ),
    cursors(
        "a cursor needs no signature",
        "if not hmac.compare_digest(signature, self._signature(scope, position)):",
        "if False:",
        "test_cursors.py::test_an_altered_cursor_is_rejected",
        "the comparison of spellings signs again; what is lost is the comparison in constant time",
    ),
    cursors(
        "a cursor is signed without its key",
        "hmac.digest(self._key, text",
        'hmac.digest(b"", text',
        "test_cursors.py::test_another_replica_accepts_the_cursor",
    ),
    cursors(
        "a cursor has several spellings",
        "if self.sign(scope, position.decode()) != cursor:",
        "if False:",
        "test_cursors.py::test_an_altered_cursor_is_rejected",
    ),
    cursors(
        "a cursor serves every list",
        'text + b"\\0" + position',
        "position",
        "test_cursors.py::test_a_cursor_is_valid_only_for_its_list_and_filters",
    ),
    cursors(
        "a page begins behind its first row",
        "rows[self._limit] if backward else shown[-1]",
        "rows[-1]",
        "test_pages_of_any_size_list_every_payment_once_newest_first",
    ),
    paging(
        "a new filter breaks old cursors",
        "for name, value in scope.items() if value is not None}",
        "for name, value in scope.items()}",
        "test_a_cursor_is_valid_in_a_release_that_adds_a_filter",
    ),
    concurrency(
        "a stalled database gets every request",
        "now > self._answered_at + STALLED_SECONDS",
        "False",
        "test_during_a_stall_few_requests_are_admitted",
    ),
    concurrency(
        "a silent night is a stall",
        "if self.under_way == 0:",
        "if False:",
        "test_an_idle_time_is_not_a_stall",
    ),
    concurrency(
        "the limit does not shrink",
        "int(busiest * DECREASE)",
        "busiest",
        "test_the_limit_shrinks_while_all_are_slow_and_grows_again",
    ),
    admission(
        "no request is too many",
        "if started is None:",
        "if False:",
        "test_excess_requests_get_503_and_accepted_payments_exist",
    ),
    rate(
        "a burst is twice the quota",
        "units, units + 1)",
        "units, 2 * units)",
        "test_exactly_the_quota_is_admitted_at_any_clock_time",
    ),
    rate(
        "a batch costs one request",
        "+ requests * self._seconds_each",
        "+ self._seconds_each",
        "test_a_batch_costs_one_request_per_item",
    ),
    client_limits(
        "every network is exempt",
        "if is_within(address, self._exempt) else",
        "if self._exempt else",
        "test_exempt_networks_are_unlimited_and_others_are_separate",
    ),
)
