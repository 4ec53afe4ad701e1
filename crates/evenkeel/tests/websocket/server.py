"""Echoes messages; closes with 4002 on "bye". Says its port on the first line."""
import asyncio, contextlib
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(socket):
    with contextlib.suppress(ConnectionClosed):
        async for message in socket:
            if message == "bye":
                await socket.close(4002, "goodbye")
                return
            await socket.send(message)


async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=16 << 20, subprotocols=["chat"]) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
