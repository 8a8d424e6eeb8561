"""The mutations, a list for each subject; an old text is short, so that few edits touch it."""

from testkit.mutants.lists import (
    books,
    database,
    events,
    http,
    keys,
    payments,
    queue,
    reversals,
    settlement,
    sign_in,
    webhooks,
)

MUTATIONS = (
    *payments.MUTATIONS,
    *settlement.MUTATIONS,
    *queue.MUTATIONS,
    *reversals.MUTATIONS,
    *events.MUTATIONS,
    *webhooks.MUTATIONS,
    *books.MUTATIONS,
    *keys.MUTATIONS,
    *http.MUTATIONS,
    *database.MUTATIONS,
    *sign_in.MUTATIONS,
)
