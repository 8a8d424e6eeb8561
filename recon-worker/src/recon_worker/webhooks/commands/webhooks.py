"""`recon-worker webhooks`: the group of its commands."""

import click

from payments_core.cli.program import Group
from recon_worker.webhooks.commands import deliveries, endpoints


@click.group(cls=Group)
def webhooks() -> None:
    """Manage endpoints and their secrets; list and resend deliveries."""


for command in (
    endpoints.add,
    endpoints.list_,
    deliveries.deliveries,
    deliveries.resend,
    endpoints.change,
):
    webhooks.add_command(command)
