"""Everything a WebSocket does, against an echo at the address given. Ends with "passed"."""
import asyncio, os, sys
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

URL = sys.argv[1]


async def main():
    async with connect(URL, max_size=16 << 20, subprotocols=["chat"]) as socket:
        assert socket.subprotocol == "chat", socket.subprotocol
        await socket.send("hello, wörld")
        assert await socket.recv() == "hello, wörld"
        large = os.urandom(3 << 20)
        await socket.send(large)
        assert await socket.recv() == large
        await socket.send(["in ", "three ", "fragments"])
        assert await socket.recv() == "in three fragments"
        for n in range(200):
            await socket.send(str(n))
        assert [await socket.recv() for _ in range(200)] == [str(n) for n in range(200)]
        await asyncio.wait_for(await socket.ping(), 5)
        await asyncio.sleep(0.3)
        await socket.send("after a pause")
        assert await socket.recv() == "after a pause"
        await socket.close(4001, "enough")
        assert (socket.close_code, socket.close_reason) == (4001, "enough")
    async with connect(URL, subprotocols=["chat"]) as socket:
        await socket.send("bye")
        try:
            await socket.recv()
            raise AssertionError("the server did not close")
        except ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4002, "goodbye"), closed
    many = await asyncio.gather(*(connect(URL, subprotocols=["chat"]) for _ in range(50)))
    for n, socket in enumerate(many):
        await socket.send(f"socket {n}")
    assert [await socket.recv() for socket in many] == [f"socket {n}" for n in range(50)]
    await asyncio.gather(*(socket.close() for socket in many))
    print("passed")


asyncio.run(asyncio.wait_for(main(), 20))
