"""Map a provider's claims to a person and a role."""

from collections.abc import Mapping
from typing import Any

from payments_core.domain.statuses import OPERATOR_MAX_CHARS
from payments_ui.sign_in.oidc import claim_values
from payments_ui.sign_in.roles import Role
from payments_ui.sign_in.sessions import SUBJECT_MAX_CHARS, Person
from payments_ui.sign_in.settings import SignInSettings, words

EVERYONE = "*"


class NoRole(Exception):
    """The settings give the person no role."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def person_of(settings: SignInSettings, claims: Mapping[str, Any]) -> Person:
    """Return the person that the claims describe. Raises NoRole."""
    subject = str(claims["sub"])[:SUBJECT_MAX_CHARS]
    names = claim_values(claims, settings.oidc_name_claim)
    # The name goes into records and a header, so unprintable characters are removed.
    name = "".join(c for c in (names or [subject])[0] if c.isprintable()).strip()[
        :OPERATOR_MAX_CHARS
    ]
    values = set(claim_values(claims, settings.oidc_role_claim))
    viewers = words(settings.oidc_viewers)
    if values & set(words(settings.oidc_operators)):
        role = Role.OPERATOR
    elif EVERYONE in viewers or values & set(viewers):
        role = Role.VIEWER
    else:
        raise NoRole(name or subject)
    return Person(subject, name or subject[:OPERATOR_MAX_CHARS], role, "oidc")
