"""Bodies: no more of one is read than a request may have.

FastAPI has such a limit, and answers with plain text instead of a problem.
"""

from http import HTTPStatus

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Limited:
    """ASGI middleware that ends the reading of a body that is too long.

    Args:
        app: Who answers.
        bytes_max: The longest body.
    """

    def __init__(self, app: ASGIApp, bytes_max: int) -> None:
        self._app = app
        self._bytes_max = bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with an end to its body."""
        # Nobody reads the body of a GET.
        if scope["type"] != "http" or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        is_long, size = told.isdigit() and int(told) > self._bytes_max, 0

        async def counted() -> Message:
            nonlocal size
            message: Message = {} if is_long else await receive()
            size += len(message.get("body", b""))
            if is_long or size > self._bytes_max:
                raise HTTPException(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"The body is longer than {self._bytes_max} bytes.",
                    {"connection": "close"},
                )
            return message

        await self._app(scope, counted, send)
