"""A client that asks an application over ASGI, one request at a time."""

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI


@dataclass(frozen=True)
class Http:
    """HTTP with an application in this process; what it raises becomes its answer."""

    app: FastAPI

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the answer to a request."""

        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1"
            ) as client:
                return await client.request(method, path, **options)

        return asyncio.run(once())
