"""Our own small HTTP/1.1 client: POST only, made for large bodies out and streams in.

It adds little to what the wire takes, holds no more than a bounded part of a reply, and cuts a connection at
once when nobody waits for its reply any more.

    async with asyncio.timeout(first_byte_s):
        reply = await client.post(url, headers, Body("application/json", pieces))
    while data := await reply.read(loop.time() + silence_s):
        ...
    reply.close()
"""

from backend.http1.body import Body
from backend.http1.client import Client, tls
from backend.http1.errors import Broken, HttpError, Unreachable
from backend.http1.reply import Reply

__all__ = ["Body", "Broken", "Client", "HttpError", "Reply", "Unreachable", "tls"]
