"""The job queue in Postgres: a job's life, its maintenance, dead letters, notifications."""
