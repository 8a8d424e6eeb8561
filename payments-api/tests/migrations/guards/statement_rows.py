"""SQL of the rows of statements, for tests of their guards."""

from testkit.database.guarded_rows import insert

FILE = "00000000-0000-7000-8000-00000000000f"
OTHER = "00000000-0000-7000-8000-0000000000ff"


def insert_source(**columns: str) -> str:
    """Return an INSERT of a source, with these columns replaced."""
    values = {"name": "'other'", "account_identifier": "'DE1'", "currency": "'EUR'"}
    return insert("recon_sources", {**values, "format": "'auto'"}, columns)


def insert_file(**columns: str) -> str:
    """Return an INSERT of a received file, with these columns replaced."""
    values = {
        "id": f"'{OTHER}'",
        "source_id": "(SELECT min(id) FROM recon_sources)",
        "sha256": "sha256('other')",
        "chunks_sha256": "sha256('other')",
        "size_bytes": "1",
        "actor": "'ann'",
    }
    return insert("statement_files", values, columns)


def insert_chunk(**columns: str) -> str:
    """Return an INSERT of a chunk of a file, with these columns replaced."""
    values = {"file_id": f"'{FILE}'", "chunk_no": "1", "data": "'x'", "size_bytes": "1"}
    return insert("statement_file_chunks", values, columns)


def insert_statement(**columns: str) -> str:
    """Return an INSERT of a statement of one line, with these columns replaced."""
    values = {
        "source_id": "(SELECT min(id) FROM recon_sources)",
        "file_id": f"'{FILE}'",
        "number": "2",
        "kind": "'statement'",
        "from_on": "'2026-11-27'",
        "to_on": "'2026-11-27'",
        "opening": "1",
        "closing": "3",
        "net": "2",
        "entry_count": "1",
        "line_count": "1",
    }
    return insert("statements", values, columns)


def insert_line(**columns: str) -> str:
    """Return an INSERT of an unmatched line, with these columns replaced."""
    values = {
        "statement_id": "(SELECT min(id) FROM statements)",
        "source_id": "(SELECT min(id) FROM recon_sources)",
        "line_no": "2",
        "part_no": "0",
        "amount": "2",
        "currency": "'EUR'",
        "booked_on": "'2026-11-27'",
        "reversal": "false",
        "booking": "'booked'",
        "fingerprint": "sha256('2')",
        "occurrence": "1",
        "status": "'unmatched'",
    }
    return insert("statement_lines", values, columns)
