"""HTTP framing, hosts, ports, client addresses, settings, and sessions that outlive a failover."""

from testkit.mutants.mutation import of

CORE = "payments-core/src/payments_core"
API_TESTS = "payments-api/tests"

framing = of(f"{CORE}/server/framing.py", f"{API_TESTS}/http/test_framing.py")
bounds = of(f"{CORE}/server/framing.py", f"{API_TESTS}/http/test_slow_clients.py")
linger = of(f"{CORE}/server/limits.py", f"{API_TESTS}/http/test_framing.py")
edge = of(f"{CORE}/http/edge.py", f"{API_TESTS}/http/test_edge.py")
sessions = of(f"{CORE}/db/sessions.py", "payments-core/tests/db/test_sessions.py")
engine = of(f"{CORE}/db/engine.py", "payments-core/tests/db/test_sessions.py")
defaults = of(f"{CORE}/db/engine.py", f"{API_TESTS}/migrations/test_fitness.py")
settings = of("payments-api/src/payments_api/settings.py", f"{API_TESTS}/test_settings.py")
config = of(f"{CORE}/config.py", f"{API_TESTS}/test_settings.py")
address = of(
    "payments-core/src/payments_core/http/client_address.py",
    "payments-core/tests/http/test_client_address.py",
)

TRICKS = "test_a_framing_trick_gets_no_extra_answer"

MUTATIONS = (
    framing(
        "a request may have two lengths",
        'if b"\\ntransfer-encoding:" in lower or not length.isdigit():',
        "if not length.isdigit():",
        TRICKS,
    ),
    framing(
        "a header may be folded",
        'or b"\\r\\n " in head',
        "or False",
        TRICKS,
    ),
    framing(
        "a request has two Authorization headers",
        "if any(lower.count(name) > 1 for name in ONCE):",
        "if False:",
        TRICKS,
    ),
    framing(
        "a line may end in LF alone",
        'not lines == head.count(b"\\n") == head.count(b"\\r")',
        "False",
        TRICKS,
    ),
    framing(
        "a host may be anything",
        "if not _is_host(host):",
        "if False:",
        TRICKS,
    ),
    framing(
        "HTTP/1.0 may be chunked",
        'elif b"\\ntransfer-encoding:" in lower and request.http_version == b"1.0":',
        "elif False:",
        TRICKS,
    ),
    framing(
        "bytes after the last request replace its answer",
        "if self.ended or state is h11.MUST_CLOSE or state is h11.CLOSED:",
        "if False:",
        "test_bytes_after_the_last_request_do_not_replace_its_answer",
    ),
    bounds(
        "a request has any number of headers",
        "lines > HEADERS_MAX + 2 or",
        "",
        "test_headers_are_bounded_in_number_and_size",
    ),
    linger(
        "a connection closes before its client has read the answer",
        "LINGER_SECONDS_MAX = 2",
        "LINGER_SECONDS_MAX = 0",
        "test_a_client_that_sends_a_whole_long_body_reads_its_rejection",
    ),
    edge(
        "a rebound name is served without authentication",
        "if self._hosts is not None and not self._hosts.allows(_host_of(scope)):",
        "if False:",
        "test_without_authentication_other_names_are_rejected",
    ),
    edge(
        "an empty segment reaches the routes",
        'if "//" in path or',
        "if False or",
        "test_an_empty_segment_is_a_problem_without_a_redirect",
    ),
    edge(
        "metrics are served on the service's port",
        "if on_control_port != (path in PROBES):",
        "if False:",
        "test_a_control_port_takes_the_probes_from_the_service_port",
    ),
    edge(
        "a HEAD of a stream never ends",
        'if scope["method"] == "HEAD":',
        "if False:",
        "test_a_head_request_to_a_stream_frees_its_connection_and_slot",
    ),
    sessions(
        "a session of a demoted primary stays in the pool",
        "record.info[_OPENED] <= _pool_of(engine).doubted_at",
        "False",
        "test_an_error_that_ends_a_session_replaces_the_whole_pool",
    ),
    sessions(
        "a read-only session is of use",
        'SESSION_OVER_SQLSTATES = ("25006", ',
        "SESSION_OVER_SQLSTATES = (",
        "test_an_error_that_ends_a_session_replaces_the_whole_pool",
    ),
    sessions(
        "a session that the server closed is used",
        "driver.is_closed()\n            or",
        "False\n            or",
        "test_sessions_closed_by_the_server_are_replaced_silently",
    ),
    sessions(
        "a changed role goes unnoticed",
        "_reported_role(driver) != record.info[_REPORTED]",
        "False",
        "test_a_session_whose_role_changes_while_it_is_idle_is_replaced",
    ),
    sessions(
        "readiness does not prove writes",
        "if (await connection.exec_driver_sql(READ_ONLY)).scalar_one():",
        "if False:",
        "test_readiness_detects_a_pooler_with_a_demoted_server",
    ),
    engine(
        "a standby is connected to",
        "await refuse_read_only(connection, CONNECT_TIMEOUT_SECONDS)",
        "pass",
        "test_a_read_only_server_is_rejected_on_connect",
    ),
    defaults(
        "the isolation is the database's",
        '"default_transaction_isolation": "read committed",',
        "",
        "test_our_sessions_override_the_databases_defaults",
    ),
    settings(
        "authentication may be off for a network",
        'if info.data.get("auth") == "off" and not allowed and not is_loopback(host):',
        "if False:",
        "test_auth_off_needs_a_second_setting_on_a_network",
    ),
    settings(
        "inserts take the whole pool",
        "if concurrency > pool_size - RESERVED_CONNECTIONS:",
        "if concurrency > pool_size:",
        "test_inserts_leave_connections_to_other_statements",
    ),
    settings(
        "authentication is off by default",
        'auth: Literal["on", "off"] = Field(\n        default="on"',
        'auth: Literal["on", "off"] = Field(\n        default="off"',
        "test_keys_are_required_by_default",
    ),
    config(
        "a wrong secret is printed",
        "secret = any(word in name for word in SECRET_WORDS)",
        "secret = False",
        "test_a_wrong_value_is_one_line_that_names_the_variable",
    ),
    address(
        "an IPv6 client has as many quotas as addresses",
        "IPV6_PREFIX_BITS = 64",
        "IPV6_PREFIX_BITS = 128",
        "test_ipv6_is_counted_by_network_and_ipv4_by_address",
    ),
    address(
        "a client names itself through a trusted proxy",
        "if not self._is_trusted(client):",
        "if False:",
        "test_the_client_is_the_rightmost_untrusted_address",
    ),
    address(
        "a client names itself without a proxy",
        "if not self._trusted or not self._is_trusted(peer):",
        "if False:",
        "test_without_trusted_proxies_headers_are_ignored",
    ),
    address(
        "the whole internet is a trusted proxy",
        "if network.prefixlen < PREFIX_BITS_MIN[network.version]:",
        "if False:",
        "test_networks_are_parsed_or_rejected",
    ),
)
