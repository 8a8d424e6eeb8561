"""Other ways to do the same work: programs of their own, on their own dependencies.

Each takes a command and the kind of job: `install KIND` makes its tables, `fill KIND N` its
backlog, `work KIND` says `ready`, waits for a line and works it off until SIGTERM, `pace KIND N
RATE` adds jobs at a steady rate. DATABASE_URL says where.
"""
