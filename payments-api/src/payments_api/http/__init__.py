"""HTTP details: errors, bodies, query parameters, pagination."""
