"""Who is told of events: a receiver delivers one occasion, or says why it cannot."""

from typing import Protocol

from edge_app.actions.rules import Occasion


class DeliveryError(Exception):
    """An occasion that did not arrive: one line of what was expected and found, without any secret of the receiver's.

    `temporary`: another attempt may succeed, and does no harm.
    """

    def __init__(self, message: str, temporary: bool) -> None:
        super().__init__(message)
        self.temporary = temporary


class Receiver(Protocol):
    """Delivers in the thread that calls it, for as long as it takes."""

    @property
    def name(self) -> str:
        """What is told, in words and without secrets."""

    def deliver(self, occasion: Occasion) -> None:
        """Make one attempt. Raises DeliveryError."""

    def abandon(self) -> None:
        """End what another thread is delivering, as far as possible."""
