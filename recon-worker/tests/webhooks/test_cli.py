"""`recon-worker webhooks` as an operator runs it."""

import json

import pytest

from testkit.command_line import CommandLine
from testkit.database.sql import Sql

URL = "https://hooks.example.com/in"
UNKNOWN = "01936f5e-3c7a-7d5e-9a51-0b6c8f1d2e50"


async def test_an_endpoint_is_added_tested_rotated_and_deleted(
    program: CommandLine, sql: Sql, where: str
) -> None:
    assert await program("webhooks", "list") == (0, "no webhooks\n", "")
    words = ("--type", "payment.failed", "--tenant", "acme", "--actor", "ann", "--json")
    status, out, _ = await program("webhooks", "add", URL, *words)
    made = json.loads(out)
    assert status == 0
    assert made["secret"].startswith("whsec_")
    assert (made["url"], made["types"], made["tenant"]) == (URL, ["payment.failed"], "acme")
    status, out, _ = await program("webhooks", "list")
    assert made["id"] in out
    assert "payment.failed" in out
    for action, done in (
        ("test", "test queued for"),
        ("disable", "disabled"),
        ("enable", "enabled"),
        ("rotate", "rotated"),
    ):
        status, out, err = await program("webhooks", "change", made["id"], f"--{action}")
        assert (status, err) == (0, "")
        assert out.startswith(f"{done} {made['id']} in {where}\n")
    status, out, _ = await program("webhooks", "deliveries", made["id"], "--json")
    [delivery] = [json.loads(line) for line in out.splitlines()]
    assert (delivery["type"], delivery["status"]) == ("webhook.test", "pending")
    await sql.execute("UPDATE webhook_deliveries SET status = 'failed', finished_at = now()")
    assert await program("webhooks", "resend", delivery["id"]) == (
        *(0, f"resending 1 delivery in {where}\n", ""),
    )
    await sql.execute("UPDATE webhook_deliveries SET status = 'failed', finished_at = now()")
    again = ("webhooks", "resend", "--failed-of", made["id"], "--since", "1h", "--json")
    status, out, err = await program(*again)
    question = f"Resend 1 failed delivery to {made['id']} in {where}? Add --yes"
    assert (status, out, question in err) == (2, "", True)
    assert await program(*again, "--yes") == (0, '{"resent": 1}\n', "")
    delete = ("webhooks", "change", made["id"], "--delete")
    status, out, err = await program(*delete)
    assert (status, out, f"Delete the endpoint {URL} in {where}? Add --yes" in err) == (2, "", True)
    assert (await program(*delete, "--yes"))[0] == 0
    assert await program("webhooks", "list") == (0, "no webhooks\n", "")
    actors = await sql.fetch("SELECT DISTINCT actor FROM operator_actions WHERE action LIKE 'c%'")
    assert "ann" in {row["actor"] for row in actors}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "http://hooks.example.com"), "url must begin with https://"),
        (("add", "https://10.0.0.1/"), "url must not point into a private network"),
        (("add", "http://127.0.0.1:4000/"), "url must begin with https://"),
        (("deliveries", UNKNOWN), "No webhook endpoint has that id"),
        (("change", UNKNOWN, "--delete"), "No webhook endpoint has that id"),
        (("change", UNKNOWN, "--url", URL), "No webhook endpoint has that id"),
        (("resend", UNKNOWN), "No webhook delivery has that id"),
    ],
)
async def test_a_refusal_is_one_line_and_status_1(
    program: CommandLine, words: tuple[str, ...], said: str
) -> None:
    status, out, err = await program("webhooks", *words)
    assert (status, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


async def test_url_types_and_description_change_one_by_one(
    program: CommandLine, sql: Sql, where: str
) -> None:
    made = json.loads((await program("webhooks", "add", URL, "--description", "shop", "--json"))[1])
    other = "https://hooks.example.com/other"

    async def change(*words: str) -> tuple[str, list[str], str]:
        told = await program("webhooks", "change", made["id"], *words, "--actor", "ann")
        assert told == (0, f"changed {made['id']} in {where}\n", "")
        [row] = await sql.fetch("SELECT url, types, description FROM webhook_endpoints")
        return row["url"], row["types"], row["description"]

    failed = ["payment.failed", "reversal.failed"]
    assert await change("--url", other) == (other, [], "shop")
    assert await change("--type", failed[0], "--type", failed[1]) == (other, failed, "shop")
    assert await change("--description", "") == (other, failed, "")
    assert await change("--all-types", "--url", URL) == (URL, [], "")
    refused = await program("webhooks", "change", made["id"], "--url", "https://10.0.0.1/")
    assert (refused[0], "private network" in refused[2]) == (1, True)
    actions = await sql.fetch("SELECT actor FROM operator_actions WHERE action = 'change_webhook'")
    assert [row["actor"] for row in actions] == ["ann"] * 4


@pytest.mark.parametrize(
    "words",
    [
        ("change", UNKNOWN),
        ("change", UNKNOWN, "--enable", "--disable"),
        ("change", UNKNOWN, "--enable", "--url", URL),
        ("change", UNKNOWN, "--type", "payment.failed", "--all-types"),
        ("resend",),
        ("resend", UNKNOWN, "--failed-of", UNKNOWN, "--since", "1h"),
        ("resend", "--failed-of", UNKNOWN),
        ("add", URL, "--type", "webhook.test"),
        ("deliveries", "7"),
    ],
)
async def test_a_wrong_command_line_is_explained(
    program: CommandLine, words: tuple[str, ...]
) -> None:
    status, out, err = await program("webhooks", *words)
    assert (status, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.count("\n") == 1


async def test_a_long_list_of_deliveries_continues_at_its_cursor(
    program: CommandLine, sql: Sql
) -> None:
    made = json.loads((await program("webhooks", "add", URL, "--json"))[1])
    for _ in range(3):
        await program("webhooks", "change", made["id"], "--test")
    list_ = ("webhooks", "deliveries", made["id"], "--limit", "2")
    _, out, err = await program(*list_)
    _, *shown = out.splitlines()
    last = shown[-1].split()[0]
    assert err == f"There are more: add --before {last}\n"
    assert all(line.split()[5].endswith("Z") for line in shown), "a time has its zone"
    _, out, err = await program(*list_, "--before", last)
    assert (len(out.splitlines()), err) == (2, "")
