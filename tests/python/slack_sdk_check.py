"""Slack's own Python SDK as the second opinion on the sandbox's Slack.

Usage: slack_sdk_check.py API_URL PAGE_URL. Prints one JSON line for each thing that worked; any failure is an exception.
A bolt app connects by Socket Mode; people are driven through the page's API.
"""

import asyncio
import json
import sys
import threading
import urllib.request

from slack_bolt import App
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

API, PAGE = sys.argv[1] + "/", sys.argv[2]
# Nothing here should take longer; a hang becomes a failure.
PATIENCE = 20


def did(what, **more):
    print(json.dumps({"did": what, **more}), flush=True)


def as_person(action, **fields):
    request = urllib.request.Request(
        PAGE + "sandbox/" + action,
        data=json.dumps(fields).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.load(response)


def main():
    bot = WebClient(token="xoxb-sandbox", base_url=API)
    app = App(client=bot)
    seen = {name: threading.Event() for name in ("command", "button", "mention", "shortcut", "modal", "reaction")}
    kept = {}

    @app.command("/habops")
    def command(ack, command, say, respond):
        ack(f"working on {command['text']}")
        kept["command"] = command
        posted = say(
            text="Restart?",
            blocks=[
                {"type": "section", "text": {"type": "mrkdwn", "text": "*Restart* api?"}},
                {
                    "type": "actions",
                    "elements": [
                        {
                            "type": "button",
                            "text": {"type": "plain_text", "text": "Approve"},
                            "action_id": "habops.approve",
                            "value": "offer_1",
                            "style": "danger",
                        }
                    ],
                },
            ],
            metadata={"event_type": "habops_operation", "event_payload": {"operation": "op_1", "seq": "1"}},
        )
        kept["ts"] = posted["ts"]
        respond("a second word, by response_url")
        seen["command"].set()

    @app.action("habops.approve")
    def button(ack, body, client):
        ack()
        kept["button"] = body
        client.chat_update(channel=body["channel"]["id"], ts=body["message"]["ts"], text="approved", blocks=[])
        seen["button"].set()

    @app.event("app_mention")
    def mention(event, say):
        kept["mention"] = event
        say(text="seen", thread_ts=event.get("thread_ts") or event["ts"])
        seen["mention"].set()

    @app.event("reaction_added")
    def reaction(event):
        kept["reaction"] = event
        seen["reaction"].set()

    @app.shortcut("habops_message")
    def shortcut(ack, shortcut, client):
        ack()
        opened = client.views_open(
            trigger_id=shortcut["trigger_id"],
            view={
                "type": "modal",
                "callback_id": "habops_form",
                "title": {"type": "plain_text", "text": "habops"},
                "submit": {"type": "plain_text", "text": "Run"},
                "blocks": [
                    {
                        "type": "input",
                        "block_id": "words",
                        "label": {"type": "plain_text", "text": "Command"},
                        "element": {"type": "plain_text_input", "action_id": "text"},
                    }
                ],
            },
        )
        kept["view"] = opened["view"]["id"]
        seen["shortcut"].set()

    @app.view("habops_form")
    def form(ack, view):
        ack()
        kept["form"] = view["state"]["values"]["words"]["text"]["value"]
        seen["modal"].set()

    handler = SocketModeHandler(app, "xapp-sandbox", web_client=WebClient(token="xapp-sandbox", base_url=API))
    handler.connect()
    did("connect")

    typed = as_person("type", person="U0ANA", channel="C0OPERATIONS", text="/habops restart @bo")
    assert typed["ok"] and typed["kind"] == "slash", typed
    assert seen["command"].wait(PATIENCE)
    assert kept["command"]["text"] == "restart <@U0BO|bo>", kept["command"]
    assert kept["command"]["user_name"] == "ana" and kept["command"]["channel_name"] == "operations"
    did("slash command", ack_ms=typed["ack_ms"])

    clicked = as_person(
        "click", person="U0BO", channel="C0OPERATIONS", message_ts=kept["ts"], action_id="habops.approve"
    )
    assert clicked["ok"], clicked
    assert seen["button"].wait(PATIENCE)
    action = kept["button"]["actions"][0]
    assert action["value"] == "offer_1" and action["block_id"], action
    assert kept["button"]["user"]["id"] == "U0BO"
    assert kept["button"]["message"]["metadata"]["event_payload"]["operation"] == "op_1"
    did("button")

    as_person("type", person="U0DEE", channel="C0GENERAL", text="@habops status")
    assert seen["mention"].wait(PATIENCE)
    assert kept["mention"]["text"] == "<@U0HABOPS> status", kept["mention"]
    did("mention")

    as_person("react", person="U0CYD", channel="C0OPERATIONS", message_ts=kept["ts"], name="eyes")
    assert seen["reaction"].wait(PATIENCE)
    assert kept["reaction"]["item"]["ts"] == kept["ts"]
    did("reaction")

    as_person(
        "shortcut", person="U0ANA", channel="C0OPERATIONS", message_ts=kept["ts"], callback_id="habops_message"
    )
    assert seen["shortcut"].wait(PATIENCE)
    submitted = as_person(
        "submit", person="U0ANA", view_id=kept["view"], values={"words": {"text": "status api"}}
    )
    assert submitted["ok"], submitted
    assert seen["modal"].wait(PATIENCE) and kept["form"] == "status api"
    did("shortcut and modal")

    uploaded = bot.files_upload_v2(
        channel="C0OPERATIONS",
        thread_ts=kept["ts"],
        filename="restart api.log",
        title="restart api, 14:03 UTC",
        content="line 1\nline ü\n",
        snippet_type="text",
        initial_comment="the full log",
    )
    assert uploaded["file"]["id"].startswith("F"), uploaded
    did("file upload", file=uploaded["file"]["id"])

    asyncio.run(read_back(kept["ts"], uploaded["file"]["id"]))
    refusals(bot)
    handler.close()
    did("close")


async def read_back(ts, file):
    client = AsyncWebClient(token="xoxb-sandbox", base_url=API)
    thread = []
    # Slack shares a file a little after the call returned.
    for _ in range(100):
        thread = [
            message
            async for page in await client.conversations_replies(
                channel="C0OPERATIONS", ts=ts, limit=1, include_all_metadata=True
            )
            for message in page["messages"]
        ]
        if len(thread) > 1:
            break
        await asyncio.sleep(0.05)
    root, share = thread
    assert root["text"] == "approved" and "blocks" not in root, root
    assert root["metadata"]["event_payload"]["seq"] == "1" and root["reply_count"] == 1, root
    assert share["files"][0]["id"] == file and share["text"] == "the full log", share
    history = await client.conversations_history(channel="C0OPERATIONS")
    assert [message["ts"] for message in history["messages"]] == [ts], history.data
    assert "metadata" not in history["messages"][0]
    info = await client.files_info(file=file)
    assert info["content"] == "line 1\nline ü\n", info.data
    user = (await client.users_info(user="U0GUS"))["user"]
    assert user["is_restricted"] and not user["is_bot"] and user["profile"]["email"] == "gus@habitat.example"
    groups = await client.usergroups_users_list(usergroup="S0OPS")
    assert groups["users"] == ["U0ANA", "U0BO"]
    did("read back", messages=len(thread))


def refusals(bot):
    def error(call, **arguments):
        try:
            call(**arguments)
        except SlackApiError as refused:
            return refused.response
        raise AssertionError(f"{call.__name__} {arguments} was not refused")

    def word(call, **arguments):
        return error(call, **arguments)["error"]

    assert word(WebClient(token="xoxb-wrong", base_url=API).auth_test) == "invalid_auth"
    assert word(WebClient(base_url=API).auth_test) == "not_authed"
    assert word(WebClient(token="xapp-sandbox", base_url=API).auth_test) == "not_allowed_token_type"
    assert word(bot.chat_postMessage, channel="C0NOWHERE", text="x") == "channel_not_found"
    assert word(bot.chat_postMessage, channel="C0PRIVATE", text="x") == "channel_not_found"
    assert word(bot.chat_postMessage, channel="C0ARCHIVED", text="x") == "is_archived"
    assert word(bot.chat_postMessage, channel="C0GENERAL", text="x" * 40_001) == "msg_too_long"
    assert word(bot.chat_postEphemeral, channel="C0GENERAL", user="U0NOBODY", text="x") == "user_not_in_channel"
    assert word(bot.api_call, api_method="chat.sing") == "unknown_method"
    assert word(bot.views_open, trigger_id="1.2.x", view={"type": "modal", "title": {"type": "plain_text", "text": "x"}, "blocks": []}) == "invalid_trigger_id"
    long = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001}}]
    refused = error(bot.chat_postMessage, channel="C0GENERAL", text="x", blocks=long)
    assert refused["error"] == "invalid_blocks"
    assert refused["response_metadata"]["messages"] == [
        "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]"
    ]
    limited = None
    for _ in range(20):
        try:
            bot.chat_postMessage(channel="C0GENERAL", text="burst")
        except SlackApiError as refused:
            limited = refused.response
            break
    assert limited and limited.status_code == 429 and int(limited.headers["Retry-After"]) >= 1
    did("refusals")


if __name__ == "__main__":
    main()
