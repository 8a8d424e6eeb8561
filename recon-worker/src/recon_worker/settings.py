"""The worker's settings, read once from the environment at start."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from payments_core.config import ExistingFile, LogSettings, Port, Seconds
from payments_core.db.settings import DatabaseSettings
from recon_worker.sealing.format import read_keys


def _with_keys(path: Path) -> Path:
    """A wrong key file stops the start, before anything is sealed without its keys."""
    read_keys(path)
    return path


class WorkerSettings(DatabaseSettings, LogSettings):
    """RECON_WORKER_* and what all services share."""

    model_config = SettingsConfigDict(env_prefix="RECON_WORKER_", frozen=True, extra="ignore")

    host: str = Field(default="127.0.0.1", description="where the control server listens")
    port: Port = Field(default=3002, description="the control server's port")
    batch_size: Annotated[int, Field(ge=1, le=2000)] = Field(
        default=2000,
        description="jobs claimed and posted together; up to five times as many while a batch"
        " by itself costs much",
    )
    concurrency: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1, description="batches under way at once, each on a connection of its own"
    )
    lease_seconds: Seconds = Field(
        default=10.0, description="how long a claim holds without being renewed"
    )
    rescue_interval_seconds: Seconds = Field(
        default=2.0, description="how often expired leases are looked for"
    )
    poll_only: bool = Field(
        default=False, description="never LISTEN: for PgBouncer in transaction mode"
    )
    poll_seconds_min: Seconds = Field(default=0.05, description="the poll after work was found")
    poll_seconds_max: Seconds = Field(default=1.0, description="the poll when nothing comes")
    poll_fallback_seconds: Seconds = Field(
        default=5.0, description="the poll behind LISTEN, for a notice that was lost"
    )
    drain_seconds: Seconds = Field(
        default=20.0, description="how long a stop waits for the batch under way"
    )
    clearing_shards: Annotated[int, Field(ge=1, le=100)] = Field(
        default=16, description="how many clearing accounts the workers spread over"
    )
    retention_days: Annotated[float, Field(gt=0, le=3650)] = Field(
        default=7.0, description="how long finished jobs are kept"
    )
    audit_interval_seconds: Annotated[float, Field(ge=0, le=86400)] = Field(
        default=60.0, description="how often the auditor looks at what is new; 0 is never"
    )
    seal_interval_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        default=5.0, description="how often new entries and results are sealed; 0 is never"
    )
    seal_verify_entries_per_second: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=2000, description="how many sealed rows are verified again in a second; 0 is never"
    )
    seal_key_file: Annotated[ExistingFile, AfterValidator(_with_keys)] | None = Field(
        default=None,
        description="a file with the secret keys that sign seals, one a line, the newest first",
    )
