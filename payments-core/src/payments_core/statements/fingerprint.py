"""The fingerprint of a statement's line: equal lines have one."""


def fingerprint_of(
    kind: str, amount: str = "amount", original_amount: str = "original_amount"
) -> str:
    """Return SQL for the fingerprint of a row of statement_lines.

    The arguments are SQL for the statement's kind and the line's amounts. Amounts are compared by
    value, whatever decimals were written. The import computes it and the auditor again.
    """
    return f"""sha256(convert_to(concat_ws(chr(31), {kind}, booking, trim_scale({amount})::text,
        currency, booked_on::text, coalesce(valued_on::text, ''), coalesce(end_to_end, ''),
        coalesce(bank_ref, ''), coalesce(batch_ref, ''), coalesce(code, ''), reversal::text,
        coalesce(return_reason, ''), coalesce(trim_scale(charges)::text, ''),
        coalesce(trim_scale({original_amount})::text, ''), coalesce(original_currency, ''),
        coalesce(counterparty, ''), coalesce(remittance, '')), 'UTF8'))"""
