"""The specification of each route of webhooks."""

from payments_api.http import errors
from payments_api.openapi import parameters, schemas, statement_parameters
from payments_api.openapi.operation import BODY, PAGED, PARAMETERS, Link, Operation

_ONE = (errors.WebhookNotFound, errors.Overloaded)
_ONE_DELIVERY = (errors.DeliveryNotFound, errors.Overloaded)
_WEBHOOK = (statement_parameters.WEBHOOK_IN_PATH, parameters.OPERATOR)
_LINKS = tuple(
    Link(name, f"webhooks.{endpoint}", "webhookId", "webhooks/0/id")
    for name, endpoint in (
        ("webhook", "get_webhook"),
        ("change", "patch_webhook"),
        ("rotate", "post_secret"),
        ("test", "post_test"),
        ("deliveries", "get_deliveries"),
        ("resendFailed", "post_resend_failed"),
    )
)
_DELIVERY_LINKS = tuple(
    Link(name, f"webhooks.{endpoint}", "deliveryId", "deliveries/0/id")
    for name, endpoint in (("delivery", "get_delivery"), ("resend", "post_resend"))
)

WEBHOOK_OPERATIONS = (
    Operation(
        "webhooks.get_webhooks",
        "webhooks",
        schemas.WebhookPage,
        parameters=parameters.PAGING,
        problems=(*PAGED, errors.Overloaded),
        links=_LINKS,
    ),
    Operation(
        "webhooks.post_webhook",
        "webhooks",
        schemas.WebhookWithSecret,
        201,
        schemas.WebhookRequest,
        (parameters.OPERATOR,),
        (*BODY, errors.TooManyWebhooks, errors.Overloaded),
        located=True,
    ),
    Operation(
        "webhooks.get_webhook",
        "webhooks",
        schemas.Webhook,
        parameters=(statement_parameters.WEBHOOK_IN_PATH,),
        problems=(*_ONE, *PARAMETERS),
    ),
    Operation(
        "webhooks.patch_webhook",
        "webhooks",
        schemas.Webhook,
        takes=schemas.WebhookChange,
        parameters=_WEBHOOK,
        problems=(*_ONE, *BODY),
    ),
    Operation(
        "webhooks.delete_webhook",
        "webhooks",
        None,
        204,
        parameters=_WEBHOOK,
        problems=(*_ONE, *PARAMETERS),
    ),
    Operation(
        "webhooks.post_secret",
        "webhooks",
        schemas.WebhookWithSecret,
        takes=schemas.RotationRequest,
        parameters=_WEBHOOK,
        problems=(*_ONE, *BODY),
    ),
    Operation(
        "webhooks.post_test",
        "webhooks",
        schemas.Delivery,
        202,
        schemas.ActRequest,
        _WEBHOOK,
        (*_ONE, errors.WebhookDisabled, errors.TooManyTests, *BODY),
        located=True,
    ),
    Operation(
        "webhooks.post_resend_failed",
        "webhooks",
        schemas.Resent,
        takes=schemas.ResendRequest,
        parameters=_WEBHOOK,
        problems=(*_ONE, errors.WebhookDisabled, *BODY),
    ),
    Operation(
        "webhooks.get_deliveries",
        "webhooks",
        schemas.DeliveryPage,
        parameters=(
            statement_parameters.WEBHOOK_IN_PATH,
            statement_parameters.DELIVERY_STATUS,
            *parameters.PAGING,
        ),
        problems=(errors.WebhookNotFound, *PAGED, errors.Overloaded),
        links=_DELIVERY_LINKS,
    ),
    Operation(
        "webhooks.get_delivery",
        "webhooks",
        schemas.DeliveryDetail,
        parameters=(statement_parameters.DELIVERY_IN_PATH,),
        problems=(*_ONE_DELIVERY, *PARAMETERS),
    ),
    Operation(
        "webhooks.post_resend",
        "webhooks",
        schemas.Delivery,
        202,
        schemas.ActRequest,
        (statement_parameters.DELIVERY_IN_PATH, parameters.OPERATOR),
        (*_ONE_DELIVERY, errors.WebhookDisabled, *BODY),
        located=True,
    ),
)
