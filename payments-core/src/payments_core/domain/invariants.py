"""The invariants of the books, each in a sentence, by the name that the auditor checks it under."""

READY_JOB_AGE_SECONDS_MAX = 300

INVARIANT_TITLES = {
    "posting_balances": (
        "A posting is of a completed payment: two legs with its amount, currency, account, source"
    ),
    "currencies_sum_to_zero": "All balances of a currency sum to zero",
    "running_balance_adds_up": (
        "Every balance_after is the previous balance plus or minus the entry's amount"
    ),
    "sequence_has_no_gap": "Every account's entries are numbered from 1 without a gap",
    "head_row_is_the_last_entry": (
        "Every account's head row matches its last entry and the sums of its entries"
    ),
    "time_runs_forward": "Times never decrease along an account's entries",
    "status_result_and_ledger_agree": (
        "Completed: a result and two entries; failed: a result and none; open: neither"
    ),
    "outcome_follows_the_rules": (
        "Every result follows from its payment by its version of the rules, or by an operator"
    ),
    "pending_has_one_live_job": (
        "An open payment has one unfinished job, a settled one none; every job has a payment"
    ),
    "settled_once": (
        "A payment settles once and never changes again; its status says when it changed last"
    ),
    "key_names_one_request": (
        "Every idempotency key has one payment, and it matches the request's fingerprint"
    ),
    "reversal_posting_balances": (
        "A reversal's posting: two legs of its amount, currency, account, source and payment"
    ),
    "reversal_result_and_ledger_agree": (
        "Of a reversal, completed: a result and two entries; failed: a result and none;"
        " open: neither"
    ),
    "open_reversal_has_one_live_job": (
        "An open reversal has one unfinished job, a settled one none; every job has its reversal"
    ),
    "reversals_stay_within_their_payment": (
        "The reversals of a payment sum to at most its amount, and to its recorded total"
    ),
    "reversal_is_of_its_payment": (
        "A reversal has its completed payment's account, currency and source, and its own request"
    ),
    "no_job_is_forgotten": (
        f"No job has been ready for more than {READY_JOB_AGE_SECONDS_MAX} seconds"
    ),
    "statement_closes": (
        "Opening balance and booked lines make the closing balance, or an operator vouches for it"
    ),
    "balances_chain": (
        "The closing balance of the statement before and the new lines make the closing balance"
    ),
    "accepted_file_has_statements": "An accepted file has statements, every other file none",
    "statement_has_its_lines": (
        "Number and sum of a statement's lines are those of the statement as received"
    ),
    "line_is_as_received": "Every line is of a statement, and its fingerprint is that of its words",
    "file_hash_matches_its_bytes": (
        "The stored bytes of a file have the hash and size recorded when it was received"
    ),
    "match_legs_are_borne_out": (
        "Every leg of a match has its line's or entry's amount and day; the sides' sums are equal"
    ),
    "line_matched_once": ("A line is in one active match, and its status says so"),
    "entry_matched_once": ("An entry up to its source's cut is either open or in one active match"),
    "bridge_leaves_nothing_over": (
        "What a source's entries of a day sum to is what its open and matched ones sum to"
    ),
}
