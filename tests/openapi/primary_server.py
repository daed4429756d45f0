"""A primary that runs in a folder of its own, with a small directory and every kind of secret; and a way to its Unix socket over TCP.

Both of its sockets are made here and handed over, as systemd does, so that the kernel chooses the port.
"""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import socket
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
PATIENCE = 60
SHELL_SECRET = "a-shell-secret-of-thirty-two-hex"
SYNC_SECRET = "a-sync-secret-of-thirty-two-hexx"
KAS_SECRET = b"k" * 32
ADMIN_TOKEN = "an-admin-token-of-thirty-two-hex"
ERROR_TRACKING_TOKEN = "an-error-tracking-token-of-ours1"
AGENT_TOKEN = "the-token-of-an-agent"


def token(issuer, secret, lifetime=60, **claims):
    """A JWT, HS256, that begins now and ends soon."""
    now = int(time.time())
    claims = {"iss": issuer, "iat": now, "exp": now + lifetime, **claims}
    word = lambda part: base64.urlsafe_b64encode(part).rstrip(b"=")
    signed = b".".join(word(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "HS256"}, claims))
    return b".".join([signed, word(hmac.new(secret, signed, hashlib.sha256).digest())]).decode()


def shell_token(secret=SHELL_SECRET):
    return token("gitlab-shell", secret.encode())


def sync_token(secret=SYNC_SECRET, host="ssh-1"):
    return token("sidegate", secret.encode(), aud="sync", sub=host)


def kas_token(secret=KAS_SECRET):
    return token("gitlab-kas", secret, aud="gitlab")


class UnixConnection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(path, method, target, body=None, headers=None):
    """One request on a Unix socket that must do well; gives its JSON."""
    connection = UnixConnection(path)
    connection.request(method, target, body=body, headers={"Content-Type": "application/json", **(headers or {})})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, f"{method} {target}: {answer.status} {text!r}"
    connection.close()
    return json.loads(text)


def ask_as_shell(path, method, target, body):
    return ask(path, method, f"/api/v4/{target}", json.dumps(body), {"Gitlab-Shell-Api-Request": shell_token()})


@contextlib.contextmanager
def running(binary):
    """A primary: what hooks.py has to know of it, and the ports of its TCP socket and of the way to its Unix socket."""
    with tempfile.TemporaryDirectory(prefix="sidegate-openapi-") as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        unix, tcp = stack.enter_context(listening(folder)), stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        notify = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notify.bind(str(folder / "notify"))
        log = stack.enter_context(open(folder / "log", "w"))
        primary = start(binary, configured(folder), [unix, tcp], folder / "notify", log)
        try:
            wait_until_ready(primary, notify, folder / "log")
            unix_port = stack.enter_context(relay(folder / "api.sock"))
            yield {"unix": unix_port, "tcp": tcp.getsockname()[1], "known": furnish(folder), "log": folder / "log"}
            assert primary.poll() is None, f"the primary ended:\n{(folder / 'log').read_text()}"
        finally:
            primary.kill()
            primary.wait()


def listening(folder):
    unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    unix.bind(str(folder / "api.sock"))
    unix.listen()
    return unix


def configured(folder):
    def secret(name, text):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(text)
        return f'{name}_file = "{folder}/{name}"'

    secrets = [
        secret("shell_secret", SHELL_SECRET),
        secret("sync_secret", SYNC_SECRET),
        secret("kas_secret", base64.b64encode(KAS_SECRET).decode()),
        secret("admin_token", ADMIN_TOKEN),
        secret("error_tracking_token", ERROR_TRACKING_TOKEN),
    ]
    config = folder / "primary.toml"
    # So that a target may be longer than 64 KiB, which is another refusal.
    limits = '[limits]\nheader_bytes = "256KiB"\n'
    # Projects that pushes create get no repository: there is no Gitaly here.
    limits += '[creation]\nrepositories = "none"\n'
    store = f'[store]\npath = "{folder}/store"\n[log]\nlevel = "warn"\ntarget = "stderr"\n'
    config.write_text("[auth]\n" + "\n".join(secrets) + "\n" + limits + store)
    return config


def start(binary, config, sockets, notify, log):
    handed_over = range(3, 3 + len(sockets))

    def become():
        high = [os.dup(os.dup2(one.fileno(), 50 + number)) for number, one in enumerate(sockets)]
        for number, one in zip(handed_over, high):
            os.dup2(one, number)
        os.environ.update(LISTEN_FDS=str(len(sockets)), LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=str(notify))

    return subprocess.Popen(
        [binary, "primary", "--config", config], stdin=subprocess.DEVNULL, stderr=log, preexec_fn=become, pass_fds=handed_over
    )


def wait_until_ready(primary, notify, log):
    notify.settimeout(0.2)
    for _ in range(PATIENCE * 5):
        with contextlib.suppress(TimeoutError):
            if b"READY=1" in notify.recv(4096):
                return
        assert primary.poll() is None, f"the primary did not start:\n{log.read_text()}"
    raise AssertionError(f"the primary never says that it serves:\n{log.read_text()}")


def furnish(folder):
    """Applies the directory, tells what there is to take back, and gets the tokens that the primary makes."""
    path = folder / "api.sock"
    ask(path, "POST", "/-/admin/apply", (HERE / "directory.jsonl").read_bytes())

    summer = {"next_reconciliation_date": "2026-06-13", "display_alert_from": "2026-06-06"}
    told = json.dumps({"upcoming_reconciliations": [{"namespace_id": number, **summer} for number in (21, 22)]})
    ask(path, "PUT", "/api/v4/internal/upcoming_reconciliations", told, {"PRIVATE-TOKEN": ADMIN_TOKEN})

    def personal(user, scope):
        made = ask_as_shell(path, "POST", "internal/personal_access_token", {"user_id": user, "name": "test", "scopes": [scope]})
        return made["token"]

    large_files = {"key_id": 1012, "project": "harbour/pilot", "operation": "upload"}
    return {
        "socket": str(path),
        "tokens": [personal(1, "api"), personal(1, "read_user"), personal(2, "api")],
        "lfs_token": ask_as_shell(path, "POST", "internal/lfs_authenticate", large_files)["lfs_token"],
    }


@contextlib.contextmanager
def relay(path):
    """A port of TCP that leads to a Unix socket, where whoever comes by it is who we are."""

    async def carry(reader, writer):
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()

    async def accept(reader, writer):
        inner_reader, inner_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(accept, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
