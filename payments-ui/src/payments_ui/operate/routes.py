"""Operators' pages: the state of the system, and its dead letters."""

import asyncio
from typing import Any

from quart import Blueprint, Response, redirect, request, session
from quart.typing import ResponseReturnValue

from payments_ui.api.client import ApiProblem, ApiUnavailable, api_client
from payments_ui.live.feed import live_feed
from payments_ui.operate.forms import ConfirmForm
from payments_ui.operate.view import or_none, shared_attention, shared_overview
from payments_ui.sign_in.guard import operator_name
from payments_ui.web.forms import api_time, text_of
from payments_ui.web.responses import from_htmx, render

DEAD_LETTER_ROWS = 20
ACTION_ROWS = 10
REPLAY_MAX = 1000  # Dead letters of one replay by filter.
PAST_TENSE = {"replay": "Replayed", "discard": "Discarded"}

blueprint = Blueprint("operate", __name__, url_prefix="/operate")


@blueprint.get("")
async def overview() -> ResponseReturnValue:
    """Show queue, throughput, workers, invariants, dead letters and the audit log."""
    client = api_client()
    position = live_feed().position
    cursor = request.args.get("cursor", "")
    glance, dead, actions = await asyncio.gather(
        shared_overview().get(),
        or_none(client.jobs({"status": "failed", "limit": DEAD_LETTER_ROWS, "cursor": cursor})),
        or_none(client.actions({"limit": ACTION_ROWS})),
    )
    return await render(
        "operate.html",
        503 if glance.unavailable else 200,
        glance=glance,
        dead=dead,
        actions=actions,
        cursor=cursor,
        position=position,
        flash=None if from_htmx() else session.pop("flash", None),
    )


@blueprint.get("/attention")
async def attention() -> ResponseReturnValue:
    """Show on any page whether workers are missing and how many dead letters there are."""
    return await render("attention.html", glance=await shared_attention().get())


@blueprint.get("/jobs/<job_id>/<any(replay, discard):action>")
async def ask(job_id: str, action: str) -> ResponseReturnValue:
    """Ask for confirmation."""
    job = await api_client().job(job_id)
    form = _empty_form()
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
            return _done(form.actor, f"{PAST_TENSE[action]} dead letter {job_id}.")
    job = await or_none(api_client().job(job_id))
    return await render("confirm_job.html", status, job=job, action=action, form=form)


@blueprint.get("/replay")
async def ask_which() -> ResponseReturnValue:
    """Ask which dead letters to replay together."""
    return await _replay_page(_empty_form(), {})


@blueprint.post("/replay")
async def replay_by_filter() -> ResponseReturnValue:
    """Count the dead letters that match the filter; once confirmed, replay them."""
    fields = await request.form
    chosen = {name: text_of(fields, name) for name in ("error", "account", "start", "end")}
    form = ConfirmForm.read(fields, operator_name(), reason_required=False)
    if form.errors:
        return await _replay_page(form, chosen, 422)
    confirmed = fields.get("confirmed") == "yes"
    body = _replay_body(form, chosen) | {"dryRun": not confirmed}
    try:
        count = await api_client().replay_jobs(body | {"dryRun": not confirmed}, operator_name())
    except (ApiProblem, ApiUnavailable) as error:
        return await _replay_page(form, chosen, form.take_error(error))
    if confirmed:
        number = count["replayed"]
        return _done(form.actor, f"Replayed {number} dead letter{'' if number == 1 else 's'}.")
    return await _replay_page(form, chosen, matched=count["matched"])


def _replay_body(form: ConfirmForm, chosen: dict[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {
        **form.as_body(),
        "errorContains": chosen["error"],
        "accountId": chosen["account"],
        "limit": REPLAY_MAX,
        "createdFrom": api_time(chosen["start"]),
        "createdTo": api_time(chosen["end"]),
    }
    return {name: value for name, value in body.items() if value}


def _empty_form() -> ConfirmForm:
    """Return a form with the operator's name: signed in, or last used in this browser."""
    return ConfirmForm(actor=operator_name() or session.get("actor", ""))


async def _replay_page(
    form: ConfirmForm, chosen: dict[str, str], status: int = 200, matched: int | None = None
) -> Response:
    return await render(
        "confirm_replay.html",
        status,
        form=form,
        chosen=chosen,
        matched=matched,
        replay_max=REPLAY_MAX,
    )


def _done(actor: str, message: str) -> ResponseReturnValue:
    """Return to the overview with a message, and remember the operator's name."""
    session["actor"] = actor
    session["flash"] = message
    session.permanent = True
    if from_htmx():
        return Response("", 200, {"HX-Redirect": "/operate"})
    return redirect("/operate", 303)
