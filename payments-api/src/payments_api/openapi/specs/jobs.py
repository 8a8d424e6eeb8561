"""The specification of the routes of jobs, workers and operator actions."""

from payments_api.http import errors
from payments_api.openapi import parameters, schemas
from payments_api.openapi.operation import (
    BODY,
    PAGED,
    PARAMETERS,
    Link,
    Operation,
    Problems,
)
from payments_api.operations.requests import (
    ActionRequest,
    DiscardMatchingRequest,
    DiscardRequest,
    ReplayRequest,
)

_ONE_JOB: Problems = (errors.JobNotFound, *PARAMETERS)

_DECISION: Problems = (errors.JobNotFound, errors.JobNotDead, *BODY)

_JOB_LINKS = tuple(
    Link(name, endpoint, "jobId", "jobs/0/id")
    for name, endpoint in (
        ("job", "jobs.get_job"),
        ("replay", "jobs.post_replay"),
        ("discard", "jobs.post_discard"),
    )
)

JOB_OPERATIONS = (
    Operation(
        "jobs.get_jobs",
        "operations",
        schemas.JobPage,
        parameters=(parameters.JOB_STATUS, parameters.ERROR_GROUP, *parameters.PAGING),
        problems=PAGED,
        links=_JOB_LINKS,
    ),
    Operation("jobs.get_groups", "operations", schemas.DeadLetterGroups, problems=PARAMETERS),
    Operation(
        "jobs.get_actions",
        "operations",
        schemas.ActionPage,
        parameters=parameters.PAGING,
        problems=PAGED,
    ),
    Operation(
        "operator_actions.get_operator_actions",
        "operations",
        schemas.OperatorRecordPage,
        parameters=(parameters.ACTION, parameters.ACTOR, *parameters.PAGING),
        problems=PAGED,
    ),
    Operation("jobs.get_stats", "operations", schemas.QueueStats, problems=PARAMETERS),
    Operation(
        "jobs.get_job",
        "operations",
        schemas.Job,
        parameters=(parameters.JOB_IN_PATH,),
        problems=_ONE_JOB,
    ),
    Operation(
        "jobs.post_replay",
        "operations",
        schemas.Job,
        takes=ActionRequest,
        parameters=(parameters.JOB_IN_PATH, parameters.OPERATOR),
        problems=_DECISION,
    ),
    Operation(
        "jobs.post_discard",
        "operations",
        schemas.Job,
        takes=DiscardRequest,
        parameters=(parameters.JOB_IN_PATH, parameters.OPERATOR),
        problems=_DECISION,
    ),
    Operation(
        "jobs.post_replay_matching",
        "operations",
        schemas.Replayed,
        takes=ReplayRequest,
        parameters=(parameters.OPERATOR,),
        problems=BODY,
    ),
    Operation(
        "jobs.post_discard_matching",
        "operations",
        schemas.Discarded,
        takes=DiscardMatchingRequest,
        parameters=(parameters.OPERATOR,),
        problems=BODY,
    ),
    Operation("jobs.get_workers", "operations", schemas.Workers, problems=PARAMETERS),
    Operation(
        "jobs.get_throughput",
        "operations",
        schemas.Throughput,
        parameters=(parameters.MINUTES, parameters.BUCKET_SECONDS),
        problems=PARAMETERS,
    ),
    Operation("jobs.get_audit", "operations", schemas.Audit, problems=PARAMETERS),
    Operation("jobs.get_seal_state", "operations", schemas.Seal, problems=PARAMETERS),
)
