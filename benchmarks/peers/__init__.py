"""Peers: separate programs that do the same work, with their own dependencies.

Each takes a command and the kind of job: `install KIND` creates its tables, `fill KIND N` its
backlog; `work KIND` prints `ready`, waits for a line and works until SIGTERM; `pace KIND N RATE`
adds jobs at a steady rate. DATABASE_URL names the database.
"""
