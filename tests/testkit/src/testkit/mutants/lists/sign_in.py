"""Forged forms, sessions of the page, sign-in, and its settings."""

from testkit.mutants.mutation import of

UI = "payments-ui/src/payments_ui"
TESTS = "payments-ui/tests"

csrf = of(f"{UI}/web/csrf.py", f"{TESTS}/web/test_csrf.py")
cookies = of(f"{UI}/web/cookies.py", f"{TESTS}/web/test_csrf.py")
sessions = of(f"{UI}/sign_in/sessions.py", f"{TESTS}/sign_in/test_sign_in.py")
guard = of(f"{UI}/sign_in/guard.py", f"{TESTS}/sign_in/test_sign_in.py")
throttle = of(f"{UI}/sign_in/throttle.py", f"{TESTS}/sign_in/test_sign_in.py")
pages = of(f"{UI}/sign_in/next_page.py", f"{TESTS}/sign_in/test_sign_in.py")
settings = of(f"{UI}/settings.py", f"{TESTS}/test_settings.py")
hashes = of(f"{UI}/sign_in/settings.py", f"{TESTS}/test_settings.py")

MUTATIONS = (
    csrf(
        "a form is good in another session",
        "content != [session[NONCE], session_id()]",
        "content[:1] != [session[NONCE]]",
        "test_a_form_is_valid_only_in_its_own_session",
    ),
    csrf(
        "a form is good in another browser",
        "content != [session[NONCE], session_id()]",
        "content[1:] != [session_id()]",
        "test_another_sessions_token_is_rejected",
    ),
    csrf(
        "a form may come from another site",
        "_check_origin()\n        token",
        "token",
        "test_a_form_from_another_site_is_rejected",
    ),
    csrf(
        "a page may run inline scripts",
        "\"script-src 'self'\"",
        "\"script-src 'self' 'unsafe-inline'\"",
        "test_every_answer_has_security_headers",
    ),
    csrf(
        "a cache keeps balances",
        '"Cache-Control", "no-store"',
        '"Cache-Control", "private"',
        "test_every_answer_has_security_headers",
    ),
    cookies(
        "another host sets the cookies",
        'f"__Host-{name}" if https else name',
        "name",
        "test_https_makes_cookies_secure_and_sets_hsts",
    ),
    sessions(
        "a session never ends",
        "return session if time() < self.ends_at(session) else None",
        "return session",
        "test_sessions.py::test_an_idle_session_ends",
    ),
    sessions(
        "a session lasts as long as it is used",
        "min(session.seen_at + self.idle_seconds, session.started_at + self.seconds_max)",
        "session.seen_at + self.idle_seconds",
        "test_sessions.py::test_a_session_ends_after_its_maximum_despite_activity",
    ),
    sessions(
        "a session outlives its password",
        'f"session {json.dumps(credentials)}"',
        '"session"',
        "test_sessions.py::test_a_session_is_valid_at_every_replica_and_nowhere_else",
    ),
    guard(
        "a viewer operates",
        "if session.person.role < required:",
        "if False:",
        "test_a_viewer_gets_403_from_operators_routes",
    ),
    guard(
        "a page needs no session",
        "raise SignedOut\n    if",
        "return\n    if",
        "test_without_a_session_only_public_routes_are_served",
    ),
    guard(
        "a script keeps a session alive",
        "if request.headers.get(BACKGROUND) or request.endpoint",
        "if request.endpoint",
        "test_sessions.py::test_an_idle_session_ends",
    ),
    throttle(
        "passwords may be guessed at any rate",
        "if attempt.limited:",
        "if False:",
        "test_attempts.py::test_attempts_are_limited_even_for_the_right_password",
    ),
    throttle(
        "one address uses up the attempts of all",
        "return attempt.state.retry_after",
        "self._of_all.limit(ALL_ADDRESSES, cost=ATTEMPT_UNITS)\n"
        "            return attempt.state.retry_after",
        "test_attempts.py::test_one_address_cannot_exhaust_the_attempts_of_all",
    ),
    pages(
        "sign-in leads to another site",
        ' or "\\\\" in text',
        "",
        "test_sign_in_never_redirects_to_another_site",
    ),
    settings(
        "people sign in unencrypted",
        'if not is_loopback(seen_at or ""):',
        "if False:",
        "test_an_unsafe_setting_stops_the_start",
    ),
    settings(
        "a page without sign-in is open to a network",
        "and not is_loopback(self.host)",
        "and False",
        "test_a_page_without_sign_in_needs_an_explicit_setting_on_a_network",
    ),
    hashes(
        "a toy hash is accepted",
        "or hashed.memory_cost < HASH_MEMORY_KIB_MIN\n"
        "        or hashed.memory_cost * hashed.time_cost < HASH_COST_MIN",
        "",
        "test_an_unsafe_setting_stops_the_start",
    ),
)
