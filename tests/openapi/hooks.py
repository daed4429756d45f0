"""What schemathesis is told of a primary that runs: who calls, and what the examples stand for.

`SIDEGATE_KNOWN` is what primary_server.py knows of it. `SIDEGATE_PORT` says whether its Unix socket is asked or its TCP socket, and
`SIDEGATE_SHOWS` what callers show: `right` credentials, `wrong` ones, or `none`. What was answered goes to `SIDEGATE_SEEN`.
"""

import base64
import itertools
import json
import os

import schemathesis

import primary_server

KNOWN = json.loads(os.environ["SIDEGATE_KNOWN"])
PORT = os.environ["SIDEGATE_PORT"]
SHOWS = os.environ["SIDEGATE_SHOWS"]
# In the file they stand for what only a primary that runs can say.
EPOCH, DIGEST, LFS_TOKEN = "0" * 31 + "e", "d" * 64, "a-token-that-lfs-authenticate-gave"
turns = itertools.count()


def credentials(right, turn):
    """What each security scheme of the file asks for; `turn` chooses where there are several persons."""
    wrong = "another-secret-that-nobody-knows"
    shell = primary_server.SHELL_SECRET if right else wrong
    person = [primary_server.ADMIN_TOKEN, *KNOWN["tokens"]][(0, 1, 1, 0, 1, 2, 3)[turn % 7]] if right else wrong
    agent = primary_server.AGENT_TOKEN if right else wrong
    error_tracking = primary_server.ERROR_TRACKING_TOKEN if right else wrong
    return {
        "shellToken": primary_server.shell_token(shell),
        "sharedSecret": base64.b64encode(shell.encode()).decode(),
        "sharedSecretParameter": shell,
        "kasToken": primary_server.kas_token(primary_server.KAS_SECRET if right else wrong.encode()),
        "agentToken": f"Bearer {agent}",
        "agentHeader": agent,
        "agentkHeader": agent,
        "privateToken": person,
        "token": person,
        "errorTrackingToken": error_tracking,
        "errorTrackingParameter": error_tracking,
        "followerToken": primary_server.sync_token(primary_server.SYNC_SECRET if right else wrong),
    }


@schemathesis.auth(refresh_interval=None)
class Caller:
    """Shows what the `security` of the operation asks for: each way in its turn, over TCP the first, as not all of them count there."""

    def get(self, case, context):
        ways = context.operation.definition.raw.get("security", [])
        if SHOWS == "none" or not ways:
            return None
        turn = next(turns)
        schemes = context.operation.schema.raw_schema["components"]["securitySchemes"]
        values = credentials(SHOWS == "right", turn)
        return [(schemes[name], values[name]) for name in ways[turn % len(ways) if PORT == "unix" else 0]]

    def set(self, case, data, context):
        for scheme, value in data:
            name = scheme.get("name", "Authorization")
            if scheme.get("in") == "query":
                case.query = {**(case.query or {}), name: value}
            else:
                case.headers = {**(case.headers or {}), name: value}


@schemathesis.serializer("application/jsonl")
def lines(context, value):
    return {"data": value if isinstance(value, bytes) else str(value).encode()}


@schemathesis.deserializer("application/jsonl")
def first_line(context, response):
    """The schema is that of one line."""
    return json.loads(response.content.splitlines()[0])


@schemathesis.hook
def before_call(context, case, kwargs):
    """Puts what is true of this primary where the examples stand for it."""
    body = case.body if isinstance(case.body, dict) else {}
    if case.path.endswith("/ack") and body.get("epoch") == EPOCH:
        head = primary_server.ask(KNOWN["socket"], "GET", "/-/admin/status")["head"]
        case.body = {**body, **{name: head[name] for name in ("epoch", "seq", "digest")}}
    if case.path.endswith("/lfs_verify") and body.get("token") == LFS_TOKEN:
        case.body = {**body, "token": KNOWN["lfs_token"]}
    if case.method == "POST" and case.path.endswith("gitlab_subscriptions/namespaces/{id}/gitlab_subscription"):
        # A namespace gets one subscription: the newer form that of another.
        case.path_parameters = {name: "22" if value == "21" else value for name, value in case.path_parameters.items()}
    if case.path.endswith("/apply") and "prune" in (case.query or {}):
        # What the file does not name goes: so it names everything, or nothing goes.
        if isinstance(case.body, str):
            case.body = (primary_server.HERE / "directory.jsonl").read_text()
        else:
            case.query = {name: value for name, value in case.query.items() if name != "prune"}


@schemathesis.hook
def after_call(context, case, response):
    """Notes what was answered, for `run`."""
    with open(os.environ["SIDEGATE_SEEN"], "a") as seen:
        seen.write(f"{response.request.method} {case.path} {response.status_code}\n")


@schemathesis.check
def turned_away(context, response, case):
    """Whoever shows nothing, or something wrong, gets 401 and no more; 400 if the request could not even be read."""
    if SHOWS != "right" and response.status_code not in (400, 401):
        raise AssertionError(f"a caller that showed {SHOWS} was answered {response.status_code}")
