#!/usr/bin/env bash
# Asks a running demonstration the questions that sshd and gitlab-shell ask, with curl. Start it in another terminal:
#
#     cargo run -- demo
#
# and when it says that both daemons run until Ctrl-C, run this. It takes the demonstration's folder (default: one that is found in /run or /tmp).
# What the answers mean is in docs/examples.md.
set -euo pipefail

shopt -s nullglob
running=(/run/sidegate-demo-*/ "${TMPDIR:-/tmp}"/sidegate-demo-*/)
folder=${1:-${running[-1]:-}}
if [ ! -S "$folder/api.sock" ]; then echo "no running demonstration found; start one, or give its folder" >&2; exit 1; fi
socket=$folder/api.sock api=http://unix/api/v4/internal
secret="Gitlab-Shared-Secret: $(base64 -w0 <"$folder/shell_secret")"

# The Base64 of Zoe's public key. Without ssh-keygen on this machine the demonstration uses a fixed one.
zoe=AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti
if [ -f "$folder/zoe.pub" ]; then zoe=$(cut -d' ' -f2 "$folder/zoe.pub"); fi

# ask TITLE CURL-ARGUMENT...: the command, the status, the headers of sidegate, the body.
ask() {
    printf '\n# %s\n' "$1"
    shift
    curl -sS -i --unix-socket "$socket" "$@" | tr -d '\r' | grep -iE '^(HTTP/|x-sidegate-|[{[n])'
}

ask "authorized_keys: whose key is this? (sshd asks; no token is needed)" \
    --get --data-urlencode "key=$zoe" "$api/authorized_keys"
ask "authorized_keys: a key that nobody has" \
    --get --data-urlencode "key=AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" "$api/authorized_keys"
ask "discover: which user is behind key 1?" \
    --header "$secret" "$api/discover?key_id=1"
ask "allowed: may Zoe, a developer, push to tools/gate?" \
    --header "$secret" --data 'key_id=1&project=tools/gate.git&action=git-receive-pack&protocol=ssh&changes=_any' "$api/allowed"
ask "allowed: may Ben, a reporter whose key was revoked, push there?" \
    --header "$secret" --data 'username=ben&project=tools/gate.git&action=git-receive-pack&protocol=ssh&changes=_any' "$api/allowed"
ask "lfs_authenticate: a token for the large files of tools/gate" \
    --header "$secret" --data 'key_id=1&project=tools/gate.git&operation=download' "$api/lfs_authenticate"
ask "check: does the application work?" \
    --header "$secret" "$api/check"
