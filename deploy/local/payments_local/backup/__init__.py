"""Backups of one database: made, restored, and proved by a drill (docs/operations/backup.md)."""
