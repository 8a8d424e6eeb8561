"""Alembic's entry point: applies the revisions over migrate.py's connection."""

from alembic import context

from payments_core.db.tables import metadata

if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql",
        # The default style would print every % of a RAISE twice.
        dialect_opts={"paramstyle": "named"},
        target_metadata=metadata,
        literal_binds=True,
        as_sql=True,
    )
else:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
    )
with context.begin_transaction():
    context.run_migrations()
