"""Operators' decisions on statements: upload, accept, match, undo, explain, annotate."""

from collections.abc import Sequence
from typing import Any

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from payments_core.domain.matching import ADJUSTMENT_KINDS, HAND_LEGS_MAX
from payments_core.http.uploads import streamed_body
from payments_ui.api.errors import ApiProblem, ApiUnavailable
from payments_ui.sign_in.guard import operator_name
from payments_ui.statements.forms import ACTS, AnnotateForm
from payments_ui.statements.routes import address_of, recon
from payments_ui.web.confirm_form import ConfirmForm
from payments_ui.web.responses import render

UPLOAD_PATH = "/statements/upload"

blueprint = Blueprint("statement_acts", __name__, url_prefix="/statements")

# What is acted on, by the part of the address before the act.
KINDS = {
    "lines": ("explain", "ignore", "reopen", "adjust"),
    "adjustments": ("approve", "decline"),
    "matches": ("undo",),
    "files": ("accept", "retry", "reject"),
    "items": ("match",),
}


@blueprint.post("/upload")
async def upload() -> ResponseReturnValue:
    """Pass a file on to the API as it arrives; answer with its address or the problem, as JSON."""
    source, name = request.args.get("source", ""), request.args.get("fileName", "")
    try:
        file_id = await recon().upload(source, name, streamed_body(request), operator_name())
    except ApiProblem as problem:
        return {"problem": problem.detail}, problem.status
    except ApiUnavailable as error:
        return {"problem": f"The payments service {error.why}."}, 503
    except TimeoutError:
        return {"problem": "The file did not arrive in time."}, 408
    return {"address": address_of(source, "files", file_id)}


@blueprint.get(
    "/<source>/<any(lines, matches, files, items, adjustments):kind>/<item_id>/<act_name>"
)
async def ask(source: str, kind: str, item_id: str, act_name: str) -> ResponseReturnValue:
    """Ask for confirmation and a reason."""
    _check(kind, act_name)
    form = ConfirmForm.of(operator_name())
    return await _confirm_page(source, kind, item_id, act_name, form, request.args)


@blueprint.post(
    "/<source>/<any(lines, matches, files, items, adjustments):kind>/<item_id>/<act_name>"
)
async def act(source: str, kind: str, item_id: str, act_name: str) -> ResponseReturnValue:
    """Do it, on record, and show the line, the match or the file."""
    _check(kind, act_name)
    fields = await request.form
    form = ConfirmForm.read(fields, operator_name(), reason_required=True)
    status = 422
    if not form.errors:
        try:
            address = await _act(source, kind, item_id, act_name, form, fields)
        except (ApiProblem, ApiUnavailable) as error:
            status = form.take_error(error)
        else:
            return form.leave(ACTS[act_name].done, address)
    return await _confirm_page(source, kind, item_id, act_name, form, fields, status)


async def _act(
    source: str,
    kind: str,
    item_id: str,
    act_name: str,
    form: ConfirmForm,
    fields: MultiDict[str, str],
) -> str:
    """Do it; return the address of the page to show."""
    body: dict[str, Any] = dict(form.as_body())
    if kind == "files":
        decision = "reject" if act_name == "reject" else "accept"
        await recon().decide(item_id, decision, body, operator_name())
        return address_of(source, "files", item_id)
    parts: Sequence[str] = (kind, item_id, act_name)
    if kind == "items":
        parts = ("matches",)
        body |= {"lines": _ids(fields, "line"), "entries": _ids(fields, "entry")}
    if act_name == "adjust":
        parts = ("adjustments",)
        wanted = {"line": item_id, "entries": _ids(fields, "entry")}
        body |= {**wanted, "kind": fields.get("kind", "")}
    if act_name == "decline":
        parts = (kind, item_id, "reject")
    answer = await recon().act(source, parts, body, operator_name())
    if "adjustments" in parts:
        return address_of(source, "lines", answer["lineId"])
    line_id = answer["id"] if kind == "lines" else answer["lines"][0]["id"]
    return address_of(source, "lines", line_id)


def _ids(fields: MultiDict[str, str], name: str) -> list[str]:
    return list(dict.fromkeys(fields.getlist(name)))[: HAND_LEGS_MAX + 1]


async def _confirm_page(
    source: str,
    kind: str,
    item_id: str,
    act_name: str,
    form: ConfirmForm,
    fields: MultiDict[str, str],
    status: int = 200,
) -> Response:
    has_page = kind in ("lines", "files")
    back = address_of(source, kind, item_id) if has_page else address_of(source)
    adjustment = None
    if kind == "adjustments":
        adjustment = await recon().adjustment(source, item_id)
        back = address_of(source, "lines", adjustment["lineId"])
    return await render(
        "confirm_act.html",
        status,
        address=address_of(source, kind, item_id, act_name),
        back=back,
        act=ACTS[act_name],
        form=form,
        lines=_ids(fields, "line") if kind == "items" else [],
        entries=_ids(fields, "entry") if kind == "items" or act_name == "adjust" else [],
        matching=kind == "items",
        kinds=ADJUSTMENT_KINDS if act_name == "adjust" else (),
        chosen=fields.get("kind", ""),
        adjustment=adjustment,
    )


@blueprint.get("/<source>/breaks/<break_id>/annotate")
async def ask_annotation(source: str, break_id: str) -> ResponseReturnValue:
    """Ask for the assignee and the note of a break."""
    found = await recon().break_(source, break_id)
    confirm = ConfirmForm.of(operator_name())
    form = AnnotateForm(found["assignee"] or "", found["note"] or "", confirm)
    return await _annotate_page(source, break_id, form)


@blueprint.post("/<source>/breaks/<break_id>/annotate")
async def annotate(source: str, break_id: str) -> ResponseReturnValue:
    """Assign a break, and write its note."""
    form = AnnotateForm.read(await request.form, operator_name())
    status = 422
    if not form.confirm.errors:
        try:
            parts = ("breaks", break_id, "annotate")
            await recon().act(source, parts, form.as_body(), operator_name())
        except (ApiProblem, ApiUnavailable) as error:
            status = form.take_error(error)
        else:
            address = address_of(source, "breaks", break_id)
            return form.confirm.leave("Noted on the break.", address)
    return await _annotate_page(source, break_id, form, status)


async def _annotate_page(
    source: str, break_id: str, form: AnnotateForm, status: int = 200
) -> Response:
    return await render(
        "annotate.html",
        status,
        address=address_of(source, "breaks", break_id, "annotate"),
        back=address_of(source, "breaks", break_id),
        form=form,
    )


def _check(kind: str, act_name: str) -> None:
    if act_name not in KINDS[kind]:
        raise ApiProblem(404, "act_not_found", "Page not found", "Check the address.")
