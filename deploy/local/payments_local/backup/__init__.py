"""Backups of one database: create, restore, and verify by a drill (docs/operations/backup.md)."""
