"""Socket Mode and slash commands in front of vercel's `emulate`, which has Slack's Web API and neither of the two.

    bridge.py EMULATE_URL        listens on a free loopback port and prints it

What differs from Slack in `emulate` 0.12 is made good here, and nothing else: reads are asked with GET, and people carry the two guest
flags. `/mock/*` is for the test: it types, sends an envelope again, and asks the app to reconnect.
"""

import asyncio
import itertools
import json
import sys
import time

from aiohttp import ClientSession, WSMsgType, web

PATIENCE = 3.0  # what Slack waits for an acknowledgement
LAST_ENVELOPES = 100
ids = itertools.count(1)


class Bridge:
    def __init__(self, upstream):
        self.upstream = upstream
        self.sockets = []
        self.acks = {}
        self.sent = []
        self.responded = []

    def app(self):
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/api/apps.connections.open", self.open)
        app.router.add_get("/link", self.link)
        app.router.add_post("/respond/{id}", self.respond)
        app.router.add_post("/mock/slash", self.slash)
        app.router.add_post("/mock/again", self.again)
        app.router.add_post("/mock/disconnect", self.disconnect)
        app.router.add_get("/mock/responded", lambda _: web.json_response(self.responded))
        app.router.add_route("*", "/{path:.*}", self.forward)
        app.on_startup.append(self.start)
        app.on_cleanup.append(self.stop)
        return app

    async def start(self, _app):
        self.client = ClientSession()

    async def stop(self, _app):
        await self.client.close()

    async def forward(self, request):
        """Everything else is emulate's; a read's query becomes the form that it takes."""
        body = await request.read()
        headers = {k: v for k, v in request.headers.items() if k.lower() in ("authorization", "content-type")}
        if request.method == "GET":
            body, headers["content-type"] = request.query_string.encode(), "application/x-www-form-urlencoded"
        url = f"{self.upstream}{request.path}"
        async with self.client.post(url, data=body, headers=headers) as answer:
            said = await answer.read()
            if request.path == "/api/users.info" and b'"user"' in said:
                known = json.loads(said)
                known["user"].setdefault("is_restricted", False)
                known["user"].setdefault("is_ultra_restricted", False)
                said = json.dumps(known).encode()
            kind = answer.headers.get("content-type", "application/json")
            return web.Response(status=answer.status, body=said, headers={"content-type": kind})

    async def open(self, request):
        if not request.headers.get("authorization", "").startswith("Bearer xapp-"):
            return web.json_response({"ok": False, "error": "not_allowed_token_type"})
        return web.json_response({"ok": True, "url": f"ws://{request.host}/link?ticket={next(ids)}"})

    async def link(self, request):
        socket = web.WebSocketResponse(heartbeat=10)
        await socket.prepare(request)
        self.sockets.append(socket)
        info = {"type": "hello", "num_connections": len(self.sockets), "connection_info": {"app_id": "A111"}}
        await socket.send_json(info)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                said = json.loads(message.data)
                waits = self.acks.pop(said.get("envelope_id"), None)
                if waits and not waits.done():
                    waits.set_result(said.get("payload"))
        self.sockets.remove(socket)
        return socket

    async def deliver(self, envelope):
        """Sends it on one socket and waits as long as Slack does; how long it took and what came back."""
        waits = self.acks[envelope["envelope_id"]] = asyncio.get_running_loop().create_future()
        began = time.monotonic()
        await self.sockets[next(ids) % len(self.sockets)].send_json(envelope)
        try:
            payload = await asyncio.wait_for(waits, PATIENCE)
        except TimeoutError:
            return web.json_response({"error": "operation_timeout"}, status=504)
        return web.json_response({"took_ms": (time.monotonic() - began) * 1000, "payload": payload})

    async def slash(self, request):
        typed = await request.json()
        number = next(ids)
        payload = {
            "token": "t", "team_id": "T000000001", "team_domain": "habitat", "channel_id": typed["channel"],
            "channel_name": typed["channel_name"], "user_id": typed["user"], "user_name": "somebody",
            "command": "/habops", "text": typed["text"], "api_app_id": "A111", "is_enterprise_install": "false",
            "response_url": f"http://{request.host}/respond/{number}", "trigger_id": f"{number}.111.xxx",
        }
        envelope = {"envelope_id": f"envelope-{number}", "type": "slash_commands", "accepts_response_payload": True, "payload": payload}
        self.sent = [*self.sent[-LAST_ENVELOPES:], envelope]
        return await self.deliver(envelope)

    async def again(self, _request):
        """The last envelope once more, as after an acknowledgement that was lost."""
        number = next(ids)
        again = {**self.sent[-1], "envelope_id": f"envelope-{number}", "retry_attempt": 1, "retry_reason": "timeout"}
        return await self.deliver(again)

    async def disconnect(self, _request):
        for socket in list(self.sockets):
            await socket.send_json({"type": "disconnect", "reason": "refresh_requested"})
        return web.json_response({"sockets": len(self.sockets)})

    async def respond(self, request):
        self.responded.append(await request.json())
        return web.Response(text="ok", content_type="text/plain")


async def main():
    runner = web.AppRunner(Bridge(sys.argv[1]).app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
