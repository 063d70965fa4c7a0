"""HTTP servers for what asks them, run beside it on one event loop."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from aiohttp import web

from embedded.broker import HOST, free_port

T = TypeVar("T")

Handler = Callable[[web.Request], Awaitable[web.Response]]


def beside(handler: Handler, work: Callable[[str], Coroutine[Any, Any, T]]) -> T:
    """Serve every request with a handler while some work runs, which is given the URL."""

    async def both() -> T:
        runner = web.ServerRunner(web.Server(handler))  # type: ignore[arg-type]
        await runner.setup()
        try:
            port = free_port()
            await web.TCPSite(runner, HOST, port).start()
            return await work(f"http://{HOST}:{port}")
        finally:
            await runner.cleanup()

    return asyncio.run(both())
