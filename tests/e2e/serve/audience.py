"""Well-behaved clients: reads websockets until the server says goodbye, and tells what came.

Usage: python audience.py ADDRESS...; prints `begun` when each has got a message, and at the end a JSON list.
"""

from __future__ import annotations

import asyncio
import json
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

_OPEN_S = 20


async def read(address: str, begun: asyncio.Event) -> dict[str, object]:
    """Read one websocket to its end."""
    frames: list[int] = []
    messages = gaps = 0
    async with connect(address, proxy=None, open_timeout=_OPEN_S, max_size=1 << 24) as connection:
        try:
            while True:
                message = await connection.recv()
                messages += 1
                begun.set()
                if isinstance(message, str) and "frame" in (record := json.loads(message)):
                    frames.append(record["frame"])
                    gaps += record.get("gap", 0)
        except ConnectionClosed:
            code = connection.close_code
    ends = [frames[0], frames[-1]] if frames else []
    return {"messages": messages, "frames": len(frames), "ends": ends, "gaps": gaps, "code": code}


async def main(addresses: list[str]) -> None:
    begun = [asyncio.Event() for _ in addresses]
    reading = [asyncio.create_task(read(*each)) for each in zip(addresses, begun, strict=True)]
    all_begun = asyncio.gather(*(each.wait() for each in begun))
    await asyncio.wait([all_begun, *reading], return_when=asyncio.FIRST_COMPLETED)
    if all_begun.done():
        print("begun", flush=True)
    told = await asyncio.gather(*reading)
    all_begun.cancel()
    print(json.dumps(told))


asyncio.run(main(sys.argv[1:]))
