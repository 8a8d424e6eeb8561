"""The worker's settings, read once from the environment at start."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from payments_core.config import ExistingFile, LogSettings, Port, Seconds
from payments_core.db.settings import DatabaseSettings
from payments_core.domain.statements import FILE_BYTES_MAX
from recon_worker.sealing.format import read_keys


def _with_keys(path: Path) -> Path:
    """Reject an unusable key file at start, before a seal is made without its keys."""
    read_keys(path)
    return path


_ROLE = "(jobs|webhooks)"


class WorkerSettings(DatabaseSettings, LogSettings):
    """The RECON_WORKER_* variables, and those that all services share."""

    model_config = SettingsConfigDict(env_prefix="RECON_WORKER_", frozen=True, extra="ignore")

    roles: Annotated[str, Field(pattern=f"^{_ROLE}(,{_ROLE})*$")] = Field(
        default="jobs,webhooks",
        description="what this process does, comma-separated: jobs settles payments, audits, seals"
        " and imports; webhooks sends events",
    )
    host: str = Field(default="127.0.0.1", description="where the control server listens")
    port: Port = Field(default=3002, description="the control server's port")
    batch_size: Annotated[int, Field(ge=1, le=2000)] = Field(
        default=2000,
        description="jobs claimed and posted together; up to five times as many while batches"
        " are slow",
    )
    concurrency: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1, description="batches settled at the same time, each on its own connection"
    )
    lease_seconds: Seconds = Field(
        default=10.0, description="how long a claim holds without being renewed"
    )
    rescue_interval_seconds: Seconds = Field(
        default=2.0, description="time between two searches for expired leases"
    )
    poll_only: bool = Field(
        default=False, description="never LISTEN: for PgBouncer in transaction mode"
    )
    poll_seconds_min: Seconds = Field(
        default=0.05, description="poll interval after a job was found"
    )
    poll_seconds_max: Seconds = Field(
        default=1.0, description="longest poll interval while no job is found"
    )
    poll_fallback_seconds: Seconds = Field(
        default=5.0, description="poll interval while LISTEN works, in case a notification is lost"
    )
    drain_seconds: Seconds = Field(
        default=20.0, description="how long a stopping worker waits for its current batches"
    )
    clearing_shards: Annotated[int, Field(ge=1, le=100)] = Field(
        default=16,
        description="number of clearing accounts; more of them reduce lock waits between workers",
    )
    retention_days: Annotated[float, Field(gt=0, le=3650)] = Field(
        default=7.0, description="how long finished jobs are kept"
    )
    statement_poll_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=2.0,
        description="time between two checks for received statement files; 0 is never",
    )
    statement_bytes_max: Annotated[int, Field(ge=1, le=64 * 1024**3)] = Field(
        default=FILE_BYTES_MAX, description="size of the largest statement file that is accepted"
    )
    audit_interval_seconds: Annotated[float, Field(ge=0, le=86400)] = Field(
        default=60.0, description="time between two audits of new rows; 0 is never"
    )
    seal_interval_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=5.0, description="time between two seals of new entries and results; 0 is never"
    )
    seal_verify_entries_per_second: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=2000, description="sealed rows verified again per second; 0 is never"
    )
    seal_key_file: Annotated[ExistingFile, AfterValidator(_with_keys)] | None = Field(
        default=None,
        description="file with the secret keys that sign seals, one per line, newest first",
    )
    webhook_concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=200, description="webhooks under way at the same time, to all endpoints together"
    )
    webhook_loopback: bool = Field(
        default=False,
        description="send webhooks to http:// URLs of this machine too: for development, beside"
        " PAYMENTS_API_AUTH=off",
    )

    def does(self, role: str) -> bool:
        """Return whether this process has the role: jobs or webhooks."""
        return role in self.roles.split(",")
