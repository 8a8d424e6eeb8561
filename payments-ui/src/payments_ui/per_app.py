"""Objects that exist once per app, such as its client of the API."""

from typing import Generic, TypeVar, cast

from quart import Quart, current_app

T = TypeVar("T")


class PerApp(Generic[T]):
    """A typed place in an app: `install` fills it, a call returns the current app's object."""

    def __init__(self, name: str) -> None:
        """Name the slot; two slots with one name would be the same slot."""
        self._key = f"payments_ui.{name}"

    def install(self, app: Quart, value: T) -> None:
        """Give the app its object."""
        app.extensions[self._key] = value

    def of(self, app: Quart) -> T:
        """Return the app's object."""
        return cast("T", app.extensions[self._key])

    def __call__(self) -> T:
        """Return the object of the app that handles the current request."""
        return cast("T", current_app.extensions[self._key])
