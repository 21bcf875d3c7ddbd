"""The servers' addresses: hands each connection on to the server that is behind them now, and can be slow.

usage: proxy.py STORE_ADDRESS:PORT LOCKS_ADDRESS:PORT

Pods know these addresses alone, so a failover moves them to another server, as a virtual address would, and a round
trip can be made longer where the kernel has no netem. Orders are lines of JSON on standard input:
{"upstream": {"store": PORT, "locks": PORT}} and {"delay": {CLIENT'S ADDRESS: seconds one way}}; each is answered by a
line.
"""

import asyncio
import json
import sys


class Proxy:
    def __init__(self):
        self.upstream = {}
        self.delay = {}

    async def serve(self, name, place):
        host, port = place.rsplit(":", 1)

        async def connected(reader, writer):
            await self.carry(name, reader, writer)

        return await asyncio.start_server(connected, host, int(port), backlog=512)

    async def carry(self, name, reader, writer):
        client = writer.get_extra_info("peername")[0]
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.upstream[name])
        except (OSError, KeyError):
            writer.transport.abort()
            return
        ways = [asyncio.ensure_future(self.pump(client, *ends)) for ends in
                ((reader, server_writer), (server_reader, writer))]
        # Whichever side ends first ends the other: neither protocol closes one half.
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for each in (writer, server_writer):
            each.transport.abort() if each.transport.is_closing() else each.close()

    async def pump(self, client, reader, writer):
        loop = asyncio.get_running_loop()
        waiting = asyncio.Queue()
        sender = None
        try:
            while data := await reader.read(65536):
                delay = self.delay.get(client, 0)
                if sender is None and delay == 0:
                    writer.write(data)
                    await writer.drain()
                    continue
                if sender is None:
                    sender = asyncio.ensure_future(self.send_late(waiting, writer))
                waiting.put_nowait((loop.time() + delay, data))
            if sender is not None:
                waiting.put_nowait((0, None))
                await sender
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            if sender is not None:
                sender.cancel()

    # Once slow, a connection stays with its queue: the order is kept when the delay is taken away.
    async def send_late(self, waiting, writer):
        loop = asyncio.get_running_loop()
        while True:
            due, data = await waiting.get()
            if data is None:
                return
            await asyncio.sleep(max(0, due - loop.time()))
            writer.write(data)
            await writer.drain()


async def main():
    proxy = Proxy()
    servers = [await proxy.serve(name, place) for name, place in zip(("store", "locks"), sys.argv[1:])]
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    print("ready", flush=True)
    while line := await orders.readline():
        order = json.loads(line)
        proxy.upstream.update(order.get("upstream", {}))
        proxy.delay.update(order.get("delay", {}))
        print("done", flush=True)
    for server in servers:
        server.close()


if __name__ == "__main__":
    asyncio.run(main())
