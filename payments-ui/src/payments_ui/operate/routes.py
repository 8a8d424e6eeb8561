"""Operators' pages: the state of the system, and its dead letters."""

import asyncio
from collections.abc import Awaitable

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from payments_core.domain.statuses import REPLAY_JOBS_MAX
from payments_ui.api.client import api_client
from payments_ui.api.connection import Params
from payments_ui.api.errors import ApiProblem, ApiUnavailable
from payments_ui.api.or_none import or_none
from payments_ui.api.types import Discarded, JobPage, Replayed
from payments_ui.live.feed import live_feed
from payments_ui.operate.selection import FILTERS, Selection, job_ids
from payments_ui.operate.view import (
    RANGES,
    dead_letter_groups,
    shared_attention,
    shared_overview,
    throughput_charts,
    throughput_range,
)
from payments_ui.sign_in.guard import operator_name
from payments_ui.web.confirm_form import ConfirmForm
from payments_ui.web.paging import page_at
from payments_ui.web.responses import flash, render

DEAD_LETTER_ROWS = 20
ACTION_ROWS = 10
PAST_TENSE = {"replay": "Replayed", "discard": "Discarded"}

blueprint = Blueprint("operate", __name__, url_prefix="/operate")


@blueprint.get("")
async def overview() -> ResponseReturnValue:
    """Show queue, throughput, workers, invariants, dead letters and the audit log."""
    client = api_client()
    position = live_feed().position
    shown = {name: request.args.get(name, "") for name in ("range", "group", "cursor")}
    span = throughput_range(shown["range"])
    glance, chart, groups, (jobs, shown["cursor"]), actions = await asyncio.gather(
        shared_overview().get(),
        throughput_charts().get(span),
        dead_letter_groups().get(),
        _jobs_of_group(shown["group"], shown["cursor"]),
        or_none(client.actions({"limit": ACTION_ROWS})),
    )
    return await render(
        "operate.html",
        503 if glance.unavailable else 200,
        glance=glance,
        chart=chart,
        span=span,
        ranges=RANGES,
        groups=groups,
        jobs=jobs,
        actions=actions,
        shown={name: value for name, value in shown.items() if value},
        position=position,
        flash=flash(),
    )


async def _jobs_of_group(group: str, cursor: str) -> tuple[JobPage | None, str]:
    """Return a page of the group and its cursor; None without a group or without an answer."""
    if not group:
        return None, ""

    def read(cursor: str) -> Awaitable[JobPage]:
        params: Params = {"errorGroup": group, "limit": DEAD_LETTER_ROWS, "cursor": cursor}
        return api_client().jobs(params)

    return await or_none(page_at(cursor, read)) or (None, cursor)


@blueprint.get("/attention")
async def attention() -> ResponseReturnValue:
    """Show on any page whether workers are missing and how many dead letters there are."""
    return await render("attention.html", glance=await shared_attention().get())


@blueprint.get("/jobs/<job_id>/<any(replay, discard):action>")
async def ask(job_id: str, action: str) -> ResponseReturnValue:
    """Ask for confirmation."""
    job = await api_client().job(job_id)
    form = ConfirmForm.of(operator_name())
    return await render("confirm_job.html", job=job, action=action, form=form)


@blueprint.post("/jobs/<job_id>/<any(replay, discard):action>")
async def act(job_id: str, action: str) -> ResponseReturnValue:
    """Replay or discard one dead letter."""
    form = ConfirmForm.read(
        await request.form, operator_name(), reason_required=action == "discard"
    )
    status = 422
    if not form.errors:
        try:
            await api_client().settle_dead_letter(job_id, action, form.as_body(), operator_name())
        except (ApiProblem, ApiUnavailable) as error:
            status = form.take_error(error)
        else:
            return form.leave(f"{PAST_TENSE[action]} dead letter {job_id}.", "/operate")
    job = await or_none(api_client().job(job_id))
    return await render("confirm_job.html", status, job=job, action=action, form=form)


@blueprint.get("/<any(replay, discard):action>")
async def ask_several(action: str) -> ResponseReturnValue:
    """Ask which dead letters, or count the selected ones and ask for confirmation."""
    selection = Selection.read(request.args)
    form = ConfirmForm.of(operator_name())
    if selection.empty:
        return await _several_page(action, form, selection)
    # A replay's dry run serves both actions: both select the same jobs.
    dry_run = selection.as_body() | {"dryRun": True}
    try:
        found = await api_client().settle_dead_letters("replay", dry_run)
    except (ApiProblem, ApiUnavailable) as error:
        return await _several_page(action, form, selection, form.take_error(error))
    return await _several_page(action, form, selection, found=found)


@blueprint.post("/<any(replay, discard):action>")
async def act_on_several(action: str) -> ResponseReturnValue:
    """Replay or discard the dead letters that were counted."""
    fields = await request.form
    jobs = job_ids(fields.get("jobs", ""))
    selection = Selection(jobs, dict.fromkeys(FILTERS, ""))
    form = ConfirmForm.read(fields, operator_name(), reason_required=action == "discard")
    if not jobs:
        return await _several_page(action, form, selection, 422)
    status = 422
    if not form.errors:
        body = selection.as_body() | form.as_body()
        try:
            found = await api_client().settle_dead_letters(action, body, operator_name())
        except (ApiProblem, ApiUnavailable) as error:
            status = form.take_error(error)
        else:
            return form.leave(_outcome(action, found), "/operate")
    counted: Replayed = {
        "matched": len(jobs),
        "skipped": 0,
        "jobIds": list(jobs),
        "replayed": 0,
    }
    return await _several_page(action, form, selection, status, counted)


def _outcome(action: str, found: Replayed | Discarded) -> str:
    """Return the message: what was done, and how many jobs another operator decided first."""
    number, skipped = found["matched"], found["skipped"]
    text = f"{PAST_TENSE[action]} {number:,} dead letter{'' if number == 1 else 's'}."
    if skipped:
        was = "was no longer a dead letter" if skipped == 1 else "were no longer dead letters"
        text += f" {skipped:,} {was}."
    return text


async def _several_page(
    action: str,
    form: ConfirmForm,
    selection: Selection,
    status: int = 200,
    found: Replayed | Discarded | None = None,
) -> Response:
    return await render(
        "confirm_several.html",
        status,
        action=action,
        form=form,
        chosen=selection.filters,
        found=found,
        jobs_max=REPLAY_JOBS_MAX,
    )
