"""The invariants of the books, each in a sentence, by the name that the auditor checks it under."""

READY_JOB_AGE_SECONDS_MAX = 300

INVARIANT_TITLES = {
    "posting_balances": (
        "A posting has a completed payment and two legs of its amount, currency, account, source"
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
        "A completed payment has a result and two entries, a failed one a result, an open one"
        " neither"
    ),
    "outcome_follows_the_rules": (
        "Every result is that of its version of the rules, or an operator's decision"
    ),
    "pending_has_one_live_job": (
        "An open payment has one unfinished job, a settled one none; every job has a payment"
    ),
    "settled_once": (
        "A payment settles once and never changes again; its times agree with its status"
    ),
    "key_names_one_request": (
        "Every idempotency key has one payment, and it matches the request's fingerprint"
    ),
    "reversal_posting_balances": (
        "Every reversal's posting has two legs of its amount, currency, account, source and payment"
    ),
    "reversal_result_and_ledger_agree": (
        "A completed reversal has a result and two entries, a failed one a result, an open one"
        " neither"
    ),
    "open_reversal_has_one_live_job": (
        "An open reversal has one unfinished job, a settled one none; every job has its reversal"
    ),
    "reversals_stay_within_their_payment": (
        "A payment's reversals sum to its recorded total, which is at most its amount"
    ),
    "reversal_is_of_its_payment": (
        "A reversal has its completed payment's account, currency and source, and its own request"
    ),
    "no_job_is_forgotten": (
        f"No job has been ready for more than {READY_JOB_AGE_SECONDS_MAX} seconds"
    ),
    "statement_closes": (
        "Opening balance plus booked lines is the closing balance, or an operator accepted the file"
    ),
    "balances_chain": (
        "The previous statement's closing balance plus the new lines is the closing balance"
    ),
    "accepted_file_has_statements": (
        "Accepted files have statements, other files have none; both name who accepted them"
    ),
    "acceptance_is_on_record": (
        "An operator who accepted a file, and the reason, are those of the recorded action"
    ),
    "statement_has_its_lines": (
        "A statement has as many lines, with the same sum, as when it was received"
    ),
    "line_is_as_received": (
        "Every line belongs to a statement, and its fingerprint matches its content"
    ),
    "file_hash_matches_its_bytes": (
        "The stored bytes of a file have the hash and size recorded when it was received"
    ),
    "match_legs_are_borne_out": (
        "Every leg of a match has its line's or entry's amount and day; the sides' sums are equal"
    ),
    "line_matched_once": (
        "A matched line is in exactly one active match, any other in none; acts are on record"
    ),
    "entry_matched_once": (
        "Every entry up to its source's cut is either open or in one active match"
    ),
    "adjustment_posting_balances": (
        "An adjustment's posting: two legs of its amount, its account and its source's clearing"
        " account, in its source's currency"
    ),
    "adjustment_has_two_people": (
        "A posted adjustment was approved by another person than its proposer; its amount is"
        " the line's less its entries'"
    ),
    "bridge_leaves_nothing_over": (
        "A day's entries of a source have the sum of its open and its matched ones"
    ),
    "break_is_of_its_item": (
        "A break has its item's amount and days, and is resolved if the item is not open"
    ),
    "run_reported_its_matches": (
        "A finished run's counts are those of its matches; a match is undone with its run or"
        " for a reason of its own"
    ),
    "death_is_of_its_job": (
        "Every job.dead event belongs to a job that became a dead letter, again only after a"
        " replay on record, and names its payment; every dead letter has such an event"
    ),
    "disabling_is_on_record": (
        "Every webhook.disabled event has its entry in operator_actions; every endpoint that the"
        " worker disabled has such an event"
    ),
}
