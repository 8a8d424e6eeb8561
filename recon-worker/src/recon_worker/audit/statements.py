"""The invariants of statements: bytes, lines, balances, and the chain of them.

Statements are few and checked whole each time. Bytes and lines are many: an incremental audit reads
those of the last hour, a full one the others too.
"""

from payments_core.statements.fingerprint import fingerprint_of
from recon_worker.audit.invariant import Invariant, Window

_RECENT = "{0}.created_at > now() - interval '1 hour'"
_OLDER = "{0}.created_at <= now() - interval '1 hour'"

_LINES_AGREE = """
    SELECT s.id AS statement_id, s.line_count - s.known_count AS expected, count(l.id) AS lines,
           s.net - s.known_net AS expected_net
    FROM statements s LEFT JOIN statement_lines l ON l.statement_id = s.id
    WHERE {when}
    GROUP BY s.id, s.line_count, s.known_count, s.net, s.known_net
    HAVING count(l.id) <> s.line_count - s.known_count
        OR coalesce(sum(l.amount) FILTER (WHERE l.booking = 'booked'), 0) <> s.net - s.known_net"""
# No statement: deleted. A fingerprint of other words: a changed line, or a forged one.
_LINES_ARE_AUTHENTIC = f"""
    SELECT l.id AS line_id, l.statement_id
    FROM statement_lines l {{join}} statements s ON s.id = l.statement_id
    WHERE {{when}}
      AND (s.id IS NULL OR s.source_id <> l.source_id
           OR l.fingerprint <> {fingerprint_of("s.kind", "l.amount")})"""
_BYTES_AGREE = """
    SELECT f.id AS file_id, f.size_bytes, sum(c.size_bytes) AS stored_bytes
    FROM statement_files f LEFT JOIN statement_file_chunks c ON c.file_id = f.id
    WHERE {when}
    GROUP BY f.id, f.size_bytes, f.chunks_sha256
    HAVING f.size_bytes IS DISTINCT FROM sum(c.size_bytes)
        OR max(c.chunk_no) + 1 IS DISTINCT FROM count(*)
        OR f.chunks_sha256 IS DISTINCT FROM
           sha256(string_agg(sha256(c.data), ''::bytea ORDER BY c.chunk_no))"""

STATEMENT_INVARIANTS = (
    Invariant(
        "statement_closes",
        Window.NONE,
        """
        SELECT s.id AS statement_id, s.opening, s.net, s.closing
        FROM statements s LEFT JOIN statement_files f ON f.id = s.file_id
        WHERE s.kind = 'statement' AND s.opening + s.net <> s.closing
          AND (s.accepted_by IS NULL OR f.accepted_by IS DISTINCT FROM s.accepted_by)""",
    ),
    Invariant(
        "balances_chain",
        Window.NONE,
        """
        SELECT s.id AS statement_id, s.previous_id, p.closing AS before, s.closing
        FROM statements s LEFT JOIN statements p
            ON p.id = s.previous_id AND p.source_id = s.source_id
        WHERE s.previous_id IS NOT NULL AND s.accepted_by IS NULL
          AND (p.closing + s.net - s.known_net = s.closing) IS NOT TRUE""",
    ),
    Invariant(
        "accepted_file_has_statements",
        Window.NONE,
        """
        SELECT coalesce(f.id, s.file_id) AS file_id, f.status, count(s.id) AS statements
        FROM statement_files f FULL JOIN statements s ON s.file_id = f.id
        GROUP BY f.id, s.file_id, f.status
        HAVING (f.status = 'accepted') IS DISTINCT FROM (count(s.id) > 0)
            OR count(DISTINCT s.source_id) FILTER (WHERE s.source_id <> f.source_id) > 0
            OR bool_or(s.id IS NOT NULL AND s.accepted_by IS DISTINCT FROM f.accepted_by)""",
    ),
    Invariant(
        "acceptance_is_on_record",
        Window.FILES,
        """
        SELECT id AS file_id FROM statement_files
        WHERE (accepted_by IS NULL) <> (accept_reason IS NULL)""",
        # In a full audit alone, because it reads all of operator_actions. The last act counts: a
        # file may be quarantined again.
        """
        SELECT coalesce('statement file ' || f.id, act.subject) AS file, f.accepted_by, act.actor
        FROM statement_files f FULL JOIN (
            SELECT DISTINCT ON (subject) subject, actor, reason FROM operator_actions
            WHERE action = 'accept_statement' ORDER BY subject, id DESC
        ) AS act ON act.subject = 'statement file ' || f.id
        WHERE f.id IS NULL
           OR (f.accepted_by, f.accept_reason) IS DISTINCT FROM (act.actor, act.reason)""",
    ),
    Invariant(
        "statement_has_its_lines",
        Window.LINES,
        _LINES_AGREE.format(when=_RECENT.format("s")),
        _LINES_AGREE.format(when=_OLDER.format("s")),
    ),
    Invariant(
        "line_is_as_received",
        Window.LINES,
        _LINES_ARE_AUTHENTIC.format(join="JOIN", when=_RECENT.format("s")),
        _LINES_ARE_AUTHENTIC.format(
            join="LEFT JOIN", when=f"(s.id IS NULL OR {_OLDER.format('s')})"
        ),
    ),
    Invariant(
        "file_hash_matches_its_bytes",
        Window.FILES,
        _BYTES_AGREE.format(when=_RECENT.format("f")),
        _BYTES_AGREE.format(when=_OLDER.format("f")),
    ),
)
