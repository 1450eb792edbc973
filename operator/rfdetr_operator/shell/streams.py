"""Bodies of untrusted length."""

from __future__ import annotations

import aiohttp


async def read_limited(stream: aiohttp.StreamReader, limit: int) -> bytes | None:
    """The whole body, or None when it is longer than ``limit`` bytes."""
    found = bytearray()
    async for chunk in stream.iter_chunked(65536):
        found += chunk
        if len(found) > limit:
            return None
    return bytes(found)
