"""URL converters: path segments that name a resource."""

from werkzeug.routing import BaseConverter


class IdentifierConverter(BaseConverter):
    """`<id:...>`: any segment except those of constant paths beside it.

    So GET /payments/batch is answered 405 with the allowed methods, not 404. A malformed id is
    matched, and answered 404.
    """

    # Add the last word of each new constant path beside an `<id:...>`: otherwise it is taken for an
    # id by every method that the path does not have.
    regex = "(?!(?:actions|batch|discard|events|groups|replay|stats|totals)$)[^/]+"
    part_isolating = True
