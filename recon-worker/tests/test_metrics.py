"""The worker's metrics and spans have room for the largest batch that it may claim."""

from annotated_types import Le
from prometheus_client import REGISTRY

from payments_core.observability.tracing import BATCH_LINKS_MAX
from recon_worker import metrics
from recon_worker.settings import WorkerSettings
from recon_worker.worker.claims import GROWTH_MAX


def test_the_largest_batch_has_a_bucket_and_a_link_for_each_job() -> None:
    field = WorkerSettings.model_fields["batch_size"]
    (largest,) = (each.le for each in field.metadata if isinstance(each, Le))
    jobs = int(str(largest)) * GROWTH_MAX
    assert jobs <= BATCH_LINKS_MAX

    def beyond_the_buckets() -> float:
        name, bounds = "recon_batch_jobs_bucket", metrics.BATCH_JOBS._upper_bounds
        count = REGISTRY.get_sample_value
        within = count(name, {"le": str(bounds[-2])}) or 0.0
        return (count(name, {"le": "+Inf"}) or 0.0) - within

    before = beyond_the_buckets()
    with metrics.batch(jobs):
        pass
    assert beyond_the_buckets() == before
