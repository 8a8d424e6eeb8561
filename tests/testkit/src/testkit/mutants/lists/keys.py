"""API keys, scopes, tenants, cursors, admission control and rate limits."""

from testkit.mutants.mutation import of

API = "payments-api/src/payments_api"
TESTS = "payments-api/tests"

ring = of(f"{API}/auth/key_cache.py", f"{TESTS}/auth/test_access.py")
access = of(f"{API}/auth/middleware.py", f"{TESTS}/auth/test_access.py")
fast_access = of(f"{API}/auth/middleware.py", f"{TESTS}/payments/test_fast_path.py")
stored_key = of(f"{API}/auth/keys.py", f"{TESTS}/auth/test_access.py")
keys = of(f"{API}/auth/keys.py", f"{TESTS}/auth/test_keys_cli.py")
tenants = of(f"{API}/auth/tenants.py", f"{TESTS}/auth/test_tenants.py")
tenant_reads = of(f"{API}/payments/queries.py", f"{TESTS}/auth/test_tenants.py")
tenant_events = of(f"{API}/events/reader.py", f"{TESTS}/auth/test_tenants.py")
cursors = of(f"{API}/http/pagination.py", f"{TESTS}/payments/test_reads.py")
paging = of(f"{API}/http/pagination.py", f"{TESTS}/http/test_pagination.py")
concurrency = of(f"{API}/limits/concurrency.py", f"{TESTS}/limits/test_overload.py")
admission = of(f"{API}/limits/admission.py", f"{TESTS}/limits/test_overload.py")
rate = of(f"{API}/limits/rate_limit.py", f"{TESTS}/limits/test_rate_limits.py")
client_limits = of(f"{API}/limits/client_limits.py", f"{TESTS}/limits/test_rate_limits.py")


TENANTS_APART = "test_each_tenant_sees_exactly_its_own_whatever_the_others_do"

MUTATIONS = (
    ring(
        "any secret of a known key opens",
        "if not hmac.compare_digest(",
        "if False and not hmac.compare_digest(",
        "test_another_secret_of_a_known_id_is_refused",
    ),
    ring(
        "a revoked key opens",
        "if known is None or known.revoked or monotonic()",
        "if known is None or monotonic()",
        "test_a_revoked_key_is_refused_within_moments",
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
        "test_while_postgres_is_away_keys_count_for_their_lifetime_then_503",
    ),
    ring(
        "a revocation is not loaded",
        "scopes, tenant, revoked_at, expires_at), 0",
        "scopes, tenant, expires_at), 0",
        "test_a_revoked_key_is_refused_within_moments",
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
        "test_a_key_opens_the_routes_of_its_scope_and_no_other",
    ),
    fast_access(
        "a key opens the fast path",
        "known is not None and scope in known.scopes else",
        "known is not None else",
        "test_a_known_key_without_the_scope_creates_nothing",
    ),
    access(
        "a key's quota does not count",
        "if decision is not None:\n            raise decision.problem()",
        "if False:\n            raise decision.problem()",
        "test_a_key_has_its_own_quota_where_there_is_one",
    ),
    access(
        "a route needs no declared scope",
        'raise LookupError(f"{endpoint} declares no scope: add @requires(...)")',
        "continue",
        "test_a_route_that_says_nothing_keeps_the_api_from_starting",
    ),
    stored_key(
        "a key is stored as it is",
        "hashlib.sha256(key.encode()).digest()",
        "key.encode()[-32:]",
        "test_what_is_stored_of_a_key_does_not_hold_it",
    ),
    keys(
        "a key made elsewhere replaces another's secret",
        "if stored.secret_hash != hash_of(key):",
        "if False:",
        "test_a_key_made_elsewhere_may_not_be_another_or_an_ended_one",
    ),
    keys(
        "a tenant's key is the operators'",
        "if JOBS_ADMIN in self.scopes:",
        "if False:",
        "test_what_cannot_be_is_refused_and_nothing_is_made",
        "the constraint operators_have_no_tenant rejects such a key too, in one line",
    ),
    keys(
        "a rotated key has no end",
        "values(expires_at=ends)",
        "values(expires_at=old.expires_at)",
        "test_a_successor_may_do_the_same_and_the_old_key_gets_an_end",
    ),
    tenants(
        "a tenant sees those whose names begin with its own",
        'stored.startswith(f"{tenant}{TENANT_SEPARATOR}")',
        'stored.startswith(f"{tenant}")',
        TENANTS_APART,
    ),
    tenants(
        "tenants share their idempotency keys",
        "key = stored_key(payment.idempotency_key, tenant)",
        "key = payment.idempotency_key",
        TENANTS_APART,
    ),
    tenants(
        "a tenant names another's account",
        "is_stored_account_id(value) if tenant is None else is_account_id(value)",
        "is_stored_account_id(value)",
        TENANTS_APART,
    ),
    tenant_reads(
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
        "test_a_tenants_open_stream_tells_of_its_own_payments_alone",
    ),
    cursors(
        "a cursor needs no signature",
        "if not hmac.compare_digest(signature, self._signature(scope, position)):",
        "if False:",
        "test_a_cursor_that_was_altered_in_any_place_is_refused",
        "the comparison of spellings signs again; what is lost is the comparison in constant time",
    ),
    cursors(
        "a cursor is signed without its key",
        "hmac.digest(self._key, text",
        'hmac.digest(b"", text',
        "test_another_replica_takes_the_cursor",
    ),
    cursors(
        "a cursor has several spellings",
        "if self.sign(scope, position.decode()) != cursor:",
        "if False:",
        "test_a_cursor_that_was_altered_in_any_place_is_refused",
    ),
    cursors(
        "a cursor serves every list",
        'text + b"\\0" + position',
        "position",
        "test_a_cursor_serves_its_own_list_and_filters_only",
    ),
    cursors(
        "a page begins behind its first row",
        "getattr(shown[-1], self._column)",
        "getattr(rows[-1], self._column)",
        "test_pages_of_any_size_tell_every_payment_once_newest_first",
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
        "test_when_nothing_is_answered_only_a_few_may_wait",
    ),
    concurrency(
        "a silent night is a stall",
        "if self.under_way == 0:",
        "if False:",
        "test_a_silent_night_is_no_stall",
    ),
    concurrency(
        "the limit does not shrink",
        "int(busiest * DECREASE)",
        "busiest",
        "test_the_limit_shrinks_while_nobody_is_quick_and_grows_when_somebody_is_again",
    ),
    admission(
        "no request is too many",
        "if started is None:",
        "if False:",
        "test_what_is_too_much_gets_503_and_what_was_accepted_exists",
    ),
    rate(
        "a burst is twice the quota",
        "units, units + 1)",
        "units, 2 * units)",
        "test_exactly_the_quota_is_let_in_whatever_the_clock_says",
    ),
    rate(
        "a batch costs one request",
        "+ requests * self._seconds_each",
        "+ self._seconds_each",
        "test_a_batch_costs_as_many_as_it_has_items",
    ),
    client_limits(
        "every network is exempt",
        "if is_within(address, self._exempt) else",
        "if self._exempt else",
        "test_exempt_networks_are_not_limited_and_others_are_told_apart",
    ),
)
