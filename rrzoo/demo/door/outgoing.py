"""The answer to a request, on its way out."""

from rrzoo.demo.door.bodies import Message, Send


class Outgoing:
    """The `send` of a request: knows whether the answer has begun, and sends no 500.

    What Gradio can't do is said by the door, in a sentence. Browsers take each file for what it is said to be, and let
    no page of another site read it.
    """

    def __init__(self, send: Send) -> None:
        """Send nothing yet."""
        self._send = send
        self.started = self.failed = False
        self._ended = False

    async def __call__(self, message: Message) -> None:
        """Send a message."""
        if message["type"] == "http.response.start":
            self.failed = message["status"] == 500
            headers = [one for one in message["headers"] if not one[0].lower().startswith(b"access-control-")]
            message = {**message, "headers": [*headers, (b"x-content-type-options", b"nosniff")]}
        if not self.failed:
            self.started = True
            self._ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            await self._send(message)

    async def end(self) -> None:
        """End an answer that has begun."""
        if self.started and not self._ended:
            await self._send({"type": "http.response.body", "body": b""})
