"""For operators: the state of the machine, and its dead letters."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from quart import Blueprint, Response, redirect, request, session
from quart.typing import ResponseReturnValue

from payments_core.domain.statuses import OPERATOR_MAX_CHARS, REASON_MAX_CHARS
from payments_ui.api.client import ApiProblem, ApiUnavailable, api_client
from payments_ui.live.feed import live_feed
from payments_ui.operate.view import or_none, shared_overview
from payments_ui.sign_in.guard import operator_name
from payments_ui.web.forms import api_time, as_sentence
from payments_ui.web.responses import from_htmx, render

DEAD_LETTER_ROWS = 20
ACTION_ROWS = 10
REPLAY_MAX = 1000  # What one replay by filter sends back to the queue at most.
ACTIONS = {"replay": "Replayed", "discard": "Discarded"}

blueprint = Blueprint("operate", __name__, url_prefix="/operate")


@dataclass
class ConfirmForm:
    """Who does it and why: both go into the audit record."""

    actor: str = ""
    reason: str = ""
    errors: dict[str, str] = field(default_factory=dict)
    refusal: str = ""

    @classmethod
    async def read(cls, reason_needed: bool) -> "ConfirmForm":
        """The form as submitted, with what is missing in it."""
        sent = await request.form
        actor = operator_name() or sent.get("actor", "").strip()
        form = cls(actor, sent.get("reason", "").strip())
        if not form.actor:
            form.errors["actor"] = "Your name is needed for the audit record."
        if len(form.actor) > OPERATOR_MAX_CHARS:
            form.errors["actor"] = f"At most {OPERATOR_MAX_CHARS} characters, please."
        if reason_needed and not form.reason:
            form.errors["reason"] = "Say why: the reason is kept with the payment."
        if len(form.reason) > REASON_MAX_CHARS:
            form.errors["reason"] = f"At most {REASON_MAX_CHARS} characters, please."
        return form

    def as_body(self) -> dict[str, str]:
        """As the API takes it; who has signed in is named by a header instead."""
        reason = {"reason": self.reason}
        return reason if operator_name() else {"actor": self.actor, **reason}

    def take_error(self, error: ApiProblem | ApiUnavailable) -> int:
        """Show the API's refusal; answers with the status to send."""
        if isinstance(error, ApiUnavailable):
            self.refusal = f"The payments service {error.why}. Nothing was changed; try again."
            if error.sent:
                self.refusal = f"The payments service {error.why}. Look whether it was done."
            return 503
        labels = {"actor": "Your name", "reason": "The reason"}
        self.errors |= {
            name: as_sentence(labels[name], detail)
            for name, detail in error.fields.items()
            if name in labels
        }
        if not self.errors:
            self.refusal = error.detail
        return error.status


@blueprint.get("/")
async def overview() -> ResponseReturnValue:
    """Queue, throughput, workers, invariants, dead letters and the audit record."""
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


@blueprint.get("/jobs/<job_id>/<any(replay, discard):action>")
async def ask(job_id: str, action: str) -> ResponseReturnValue:
    """Asks before anything is done."""
    job = await api_client().job(job_id)
    form = _empty_form()
    return await render("confirm_job.html", job=job, action=action, form=form)


@blueprint.post("/jobs/<job_id>/<any(replay, discard):action>")
async def act(job_id: str, action: str) -> ResponseReturnValue:
    """Replay or discard one dead letter."""
    form = await ConfirmForm.read(reason_needed=action == "discard")
    status = 422
    if not form.errors:
        try:
            await api_client().settle_dead_letter(job_id, action, form.as_body(), operator_name())
        except (ApiProblem, ApiUnavailable) as error:
            status = form.take_error(error)
        else:
            return _done(form.actor, f"{ACTIONS[action]} dead letter {job_id}.")
    job = await or_none(api_client().job(job_id))
    return await render("confirm_job.html", status, job=job, action=action, form=form)


@blueprint.get("/replay")
async def ask_which() -> ResponseReturnValue:
    """Asks which dead letters to replay together."""
    return await _replay_page(_empty_form(), {})


@blueprint.post("/replay")
async def replay_by_filter() -> ResponseReturnValue:
    """First counts what the filter matches, then, confirmed, replays it."""
    sent = await request.form
    chosen = {name: sent.get(name, "").strip() for name in ("error", "account", "start", "end")}
    form = await ConfirmForm.read(reason_needed=False)
    if form.errors:
        return await _replay_page(form, chosen, 422)
    confirmed = sent.get("confirmed") == "yes"
    body: dict[str, Any] = {
        **form.as_body(),
        "errorContains": chosen["error"],
        "accountId": chosen["account"],
        "limit": REPLAY_MAX,
        "createdFrom": api_time(chosen["start"]),
        "createdTo": api_time(chosen["end"]),
    }
    body = {name: value for name, value in body.items() if value}
    try:
        count = await api_client().replay_jobs(body | {"dryRun": not confirmed}, operator_name())
    except (ApiProblem, ApiUnavailable) as error:
        return await _replay_page(form, chosen, form.take_error(error))
    if confirmed:
        return _done(form.actor, f"Replayed {count['replayed']} dead letters.")
    return await _replay_page(form, chosen, matched=count["matched"])


def _empty_form() -> ConfirmForm:
    """With the operator's name: who signed in, or else who acted last."""
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
    """Back to the overview, which says what was done; the operator's name is remembered."""
    session["actor"] = actor
    session["flash"] = message
    session.permanent = True
    if from_htmx():
        return Response("", 200, {"HX-Redirect": "/operate/"})
    return redirect("/operate/", 303)
