"""Which addresses name a resource, and which are words of the API's own."""

from werkzeug.routing import BaseConverter


class IdentifierConverter(BaseConverter):
    """`<id:...>`: any segment that is not the last one of a constant address beside it.

    GET /payments/batch is then answered 405 with what it allows, and not as a payment that is not
    there. A malformed id is still taken, and answered 404.
    """

    regex = "(?!(?:actions|batch|events|replay|stats)$)[^/]+"
    part_isolating = True
