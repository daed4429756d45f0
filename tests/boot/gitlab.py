#!/usr/bin/env python3
"""A stand-in for a GitLab with one user: as much of its public API and of its internal API as a mirror and a host ask, over TLS.

usage: gitlab.py FOLDER

FOLDER has the certificate `cert.pem` and its key `key.pem`, the token of an administrator in `gitlab_token`, and in `keys.json` the keys as a list
of {"id", "key"}; it is read at each request, so that a key comes or goes when the file changes."""

import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

FOLDER = Path(sys.argv[1])
HOST = "gitlab.example.com"
USER = {"id": 7, "username": "zoe", "name": "Zoë", "state": "active", "web_url": f"https://{HOST}/zoe", "is_admin": True, "external": False,
        "bot": False, "two_factor_enabled": False}
NOT_FOUND = {"message": "404 Key Not Found"}


def shown(key: dict) -> dict:
    """Gives a key as both APIs show it."""
    return {"id": key["id"], "title": "laptop", "created_at": "2026-01-31T12:00:00.000Z", "expires_at": None, "key": key["key"],
            "usage_type": "auth_and_signing"}


def answer(path: str, query: dict[str, str], is_administrator: bool) -> tuple[int, object]:
    """Gives the status and the body for a request below `/api/v4/`."""
    keys = json.loads((FOLDER / "keys.json").read_text())
    if path == "internal/check":
        return 200, {"api_version": "v4", "gitlab_version": "17.0.0", "gitlab_rev": "0", "redis": True}
    if path == "internal/discover":
        owned = any(str(key["id"]) == query.get("key_id") for key in keys)
        return 200, {name: USER[name] for name in ("id", "username", "name")} if owned else None
    if path == "internal/authorized_keys":
        found = [key for key in keys if key["key"].split()[1] == query.get("key")]
        return (200, shown(found[0]) | {"key": " ".join(found[0]["key"].split()[:2]) + f" {USER['name']} ({HOST})"}) if found else (404, NOT_FOUND)
    if not is_administrator:
        return 401, {"message": "401 Unauthorized"}
    lists = {"users": [USER], "users/7/keys": [shown(key) for key in keys], "deploy_keys": []}
    if path in lists:
        return 200, lists[path]
    return (200, USER) if path == "users/7" else (404, {"error": "404 Not Found"})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # noqa: N802 - the name that the library calls
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        is_administrator = self.headers.get("PRIVATE-TOKEN") == (FOLDER / "gitlab_token").read_text().strip()
        status, value = answer(parts.path.removeprefix("/api/v4/"), query, is_administrator)
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 443), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "cert.pem", FOLDER / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


main()
