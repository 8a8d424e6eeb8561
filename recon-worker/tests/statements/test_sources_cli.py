"""`recon-worker sources`: what each command prints, and its exit status."""

from testkit.command_line import CommandLine

OTHER = "GB33BUKB20201555555555"


async def test_sources_are_listed_with_a_way_to_go_on(source: str, program: CommandLine) -> None:
    words = ("sources", "add", "gb", "--account", OTHER, "--currency", "EUR", "--tenant", "acme")
    assert (await program(*words))[0] == 0
    status, text, more = await program("sources", "list", "--limit", "1")
    assert (status, more) == (0, "There are more: add --after acme~gb\n")
    assert source not in text
    status, text, more = await program("sources", "list", "--after", "acme~gb", "--limit", "1")
    assert (status, more, "acme~gb" in text, source in text) == (0, "", False, True)
    assert (await program("sources", "list", "--after", "nowhere"))[0] == 1
