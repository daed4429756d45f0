"""What happens to the machine, step by step, and what must be true after each. A step is one result of the test; its name is a sentence."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import guide
from certificates import make_certificates
from machine import Failed, Machine, quote

HELPER = "/usr/lib/sidegate/sidegate-authorized-keys"
SOCKET = "/run/sidegate/api.sock"
GITLAB_SHELL = "/home/git/gitlab-shell/bin/gitlab-shell"
LOOPS = 4

# A stand-in for gitlab-shell: it says what it was called with, and asks the socket who that is, with its secret.
STAND_IN = f"""#!/bin/sh
secret=$(tr -d '\\n' </home/git/gitlab-shell/.gitlab_shell_secret | base64 -w 0)
echo "called with $* for $SSH_ORIGINAL_COMMAND"
exec curl --silent --show-error --unix-socket {SOCKET} -H "Gitlab-Shared-Secret: $secret" \\
    "http://localhost/api/v4/internal/discover?key_id=${{1#key-}}"
"""

HAMMER = f"""
hits=0
while [ ! -e /run/hammer-ends ]; do
    answer=$({HELPER} git git "$0" 2>&1) || true
    case $answer in command=*) hits=$((hits + 1)) ;; *) echo "refused: $answer" ;; esac
done
echo "hits: $hits"
"""


class Scenario:
    def __init__(self, machine: Machine, bare: Path, tree: Path, archive: Path, folder: Path) -> None:
        self.machine, self.bare, self.tree, self.archive, self.folder = machine, bare, tree, archive, folder
        self.second: Machine | None = None
        self.guide = guide.blocks(tree / "docs/install.md", "sh")
        self.port = 22
        self.hammers: list[subprocess.Popen[bytes]] = []

    def steps(self) -> list[Callable[[], None]]:
        return [
            self.the_guide_installs_it,
            self.every_manual_page_that_a_unit_names_is_there,
            self.a_login_after_the_installation,
            self.a_login_after_a_reboot,
            self.a_login_after_a_second_reboot,
            self.look_ups_begin_that_go_on_through_all_that_follows,
            self.a_login_after_a_restart_of_the_socket,
            self.a_login_after_a_restart_of_the_service,
            self.a_login_after_an_upgrade,
            self.a_login_after_a_peer_was_given_the_metrics,
            self.no_look_up_was_refused_meanwhile,
            self.check_says_who_may_ask_and_what_would_keep_people_out,
            self.check_finds_one_broken_thing_and_a_warning_keeps_no_host_from_starting,
            self.a_secret_of_root_is_handed_over_and_root_s_check_sees_it_so,
            self.a_login_starts_a_service_that_was_stopped,
            self.a_stopped_socket_stops_the_service_and_an_outage_is_in_the_log,
            self.a_login_after_the_socket_was_started_again,
            self.a_lost_socket_is_reported_and_what_the_report_says_helps,
            self.a_login_at_a_second_host_that_follows_over_tls,
            self.a_revoked_key_is_refused_at_both_hosts,
        ]

    def is_needed(self, step: Callable[[], None]) -> bool:
        """Whether nothing can be learned after this step has failed."""
        return step == self.the_guide_installs_it

    def end(self) -> None:
        """Ends what the steps have started besides the machine."""
        if self.second is not None:
            self.second.destroy()

    def logs(self) -> str:
        found = self.machine.run("journalctl --no-pager --lines 80 --unit sidegate.socket --unit sidegate.service --unit sidegate-primary.service --unit ssh.service", check=False)
        return found.stdout

    # -- the steps ---------------------------------------------------------------------------------------------------------------------

    def the_guide_installs_it(self) -> None:
        machine = self.machine
        shutil.copy(self.archive, machine.root / "root/sidegate.tar.gz")
        for key in ("zoe", "stranger"):
            machine.run(f"ssh-keygen -q -t ed25519 -N '' -C {key} -f /root/{key}")
        self.follow("From an archive")
        machine.install_file("/root/directory.jsonl", self.directory(), 0o600)
        self.follow("The primary, on one host")
        self.follow("On the primary's own host")
        self.set_up_logins()

    def every_manual_page_that_a_unit_names_is_there(self) -> None:
        names = set()
        for unit in (self.tree / "systemd").iterdir():
            names |= set(re.findall(r"man:(\S+)\((\d)\)", unit.read_text()))
        for name, section in sorted(names):
            self.machine.run(f"test -s /usr/share/man/man{section}/{name}.{section}.gz")

    def a_login_after_the_installation(self) -> None:
        self.log_in()

    def a_login_after_a_reboot(self) -> None:
        self.machine.reboot()
        self.log_in()

    def a_login_after_a_second_reboot(self) -> None:
        self.machine.reboot()
        self.log_in()

    def look_ups_begin_that_go_on_through_all_that_follows(self) -> None:
        for number in range(LOOPS):
            script = f"set -- ; exec bash -c {quote(HAMMER)} {self.blob('zoe')}"
            self.hammers.append(self.machine.start(script, "sidegate-keys", self.folder / f"hammer-{number}"))
        self.log_in()

    def a_login_after_a_restart_of_the_socket(self) -> None:
        self.machine.run("systemctl restart sidegate.socket")
        self.log_in()

    def a_login_after_a_restart_of_the_service(self) -> None:
        self.machine.run("systemctl restart sidegate.service")
        self.log_in()

    def a_login_after_an_upgrade(self) -> None:
        self.follow("From an archive")
        self.log_in()

    def a_login_after_a_peer_was_given_the_metrics(self) -> None:
        metrics = f"curl --silent --output /dev/null --write-out '%{{http_code}}' --unix-socket {SOCKET} http://localhost/-/metrics"
        self.machine.run("useradd --system --groups git monitor")
        assert self.machine.run(metrics, user="monitor").stdout == "403"
        self.machine.run("printf '\\n[[peer]]\\nuser = \"monitor\"\\nscopes = [\"metrics\"]\\n' >>/etc/sidegate/sidegate.toml")
        self.machine.run("systemctl restart sidegate.service")
        assert self.machine.run(metrics, user="monitor").stdout == "200"
        self.log_in()

    def no_look_up_was_refused_meanwhile(self) -> None:
        self.machine.run("touch /run/hammer-ends")
        hits, refusals = 0, []
        for number, hammer in enumerate(self.hammers):
            hammer.wait(timeout=60)
            for line in (self.folder / f"hammer-{number}").read_text().splitlines():
                if line.startswith("hits: "):
                    hits += int(line.removeprefix("hits: "))
                else:
                    refusals.append(line)
        print(f"        {hits} look-ups of {LOOPS} loops were hits, {len(refusals)} were not")
        assert hits > 0 and not refusals, "\n".join(sorted(set(refusals))[:5])

    def check_says_who_may_ask_and_what_would_keep_people_out(self) -> None:
        callers = "ok: callers: sidegate-keys, which sshd starts the helper as, may ask: keys, shell\n"
        report = self.check(0)
        assert callers in report and "ok: callers: the user monitor may also ask: metrics\n" in report, report
        assert "ok: judged as sidegate, the user of sidegate.service\n" in report and report.endswith("check: all is well\n"), report
        assert "ok: look-up: sidegate-keys asks and is answered" in report, report
        self.machine.run(f"chgrp sidegate {SOCKET}")
        report = self.check(2)
        assert callers in report and f"ERROR: callers: sidegate-keys may not open {SOCKET}" in report, report
        self.machine.run(f"chgrp git {SOCKET}")
        self.machine.run("sed 's/^#default_scopes.*/default_scopes = []/' /etc/sidegate/sidegate.toml >/etc/sidegate/strict.toml")
        report = self.check(2, "--config /etc/sidegate/strict.toml")
        assert "ERROR: callers: sidegate-keys may not look up keys, so nobody can log in" in report, report
        report = self.machine.run("sidegate check --primary /etc/sidegate/primary.toml").stdout
        assert "ok: judged as sidegate-primary, the user of sidegate-primary.service\n" in report, report

    def check_finds_one_broken_thing_and_a_warning_keeps_no_host_from_starting(self) -> None:
        self.machine.run("cp -p /etc/sidegate/sync_secret /root/right_secret; echo another-sync-secret-of-thirty-two >/etc/sidegate/sync_secret")
        report = self.check(2)
        assert "ERROR: feed: refuses our token (401)" in report and "sync_secret_file" in report, report
        self.machine.run("cp -p /root/right_secret /etc/sidegate/sync_secret")
        drop_in = "/etc/ssh/sshd_config.d/50-sidegate.conf"
        self.machine.run(f"mv {drop_in} {drop_in}.bak")
        report = self.check(2)
        assert f"ERROR: sshd: it does not ask sidegate: {drop_in}.bak is not read" in report, report
        self.machine.run(f"mv {drop_in}.bak {drop_in}")
        self.machine.run("printf '\\n[[peer]]\\nuser = \"sidegate-keys\"\\nscopes = [\"keys\"]\\n' >>/etc/sidegate/sidegate.toml")
        report = self.check(1)
        assert "WARNING: callers: the [[peer]] of the user sidegate-keys gives only what everybody has" in report, report
        self.machine.run("systemctl restart sidegate.service")
        self.log_in()

    def a_secret_of_root_is_handed_over_and_root_s_check_sees_it_so(self) -> None:
        self.machine.run("install -m 0600 -o root -g root /etc/sidegate/sync_secret /etc/sidegate/roots_secret")
        self.machine.run("sed -i 's|^#sync_secret_file = .*/sync_secret.*|sync_secret_file = \"sync\"|' /etc/sidegate/sidegate.toml")
        report = self.check(2)
        assert "sidegate.service has no credential of the name sync" in report, report
        self.machine.run(
            "mkdir -p /etc/systemd/system/sidegate.service.d; "
            "printf '[Service]\\nLoadCredential=sync:/etc/sidegate/roots_secret\\n' >/etc/systemd/system/sidegate.service.d/sync.conf; "
            "systemctl daemon-reload; systemctl restart sidegate.service"
        )
        self.check(1)
        self.wait_until_fresh()
        self.log_in()

    def a_login_starts_a_service_that_was_stopped(self) -> None:
        self.machine.run("systemctl stop sidegate.service")
        # The first may wait for the start in vain on a busy machine: the helper gives up after 5 s.
        self.machine.wait_for("a login", lambda: self.ssh("zoe").returncode == 0, seconds=60)
        self.machine.run("systemctl is-active sidegate.service")
        self.log_in()

    def a_stopped_socket_stops_the_service_and_an_outage_is_in_the_log(self) -> None:
        self.machine.run("systemctl stop sidegate.socket")
        states = self.machine.run("systemctl is-active sidegate.socket sidegate.service", check=False).stdout.split()
        assert states == ["inactive", "inactive"], states
        assert self.ssh("zoe").returncode != 0
        self.wait_for_log("--identifier sidegate-authorized-keys", "could not be looked up (outage): there is no socket at this path")

    def a_login_after_the_socket_was_started_again(self) -> None:
        self.machine.run("systemctl start sidegate.socket")
        self.log_in()

    def a_lost_socket_is_reported_and_what_the_report_says_helps(self) -> None:
        self.machine.run(f"rm {SOCKET}")
        self.wait_for_log("--unit sidegate.service", "systemctl restart sidegate.socket")
        self.machine.run("systemctl restart sidegate.socket")
        self.log_in()

    def a_login_at_a_second_host_that_follows_over_tls(self) -> None:
        first = self.machine
        make_certificates(first.root / "root", ["primary.example"])
        self.follow("Hosts that follow over the network")
        self.second = Machine(self.bare, self.folder, "ssh-2", beside=first)
        for name in ("ca.pem", "zoe", "zoe.pub", "stranger", "stranger.pub", "sidegate.tar.gz"):
            shutil.copy2(first.root / "root" / name, self.second.root / "root" / name)
        for secret in ("shell_secret", "sync_secret"):
            shutil.copy(first.root / "etc/sidegate/primary" / secret, self.second.root / "root" / secret)
        # Both share one network.
        self.second.install_file("/etc/ssh/sshd_config.d/10-port.conf", "Port 2222\n", 0o644)
        self.second.boot()
        self.machine, self.port = self.second, 2222
        self.follow("From an archive")
        self.follow("On any other host")
        self.set_up_logins()
        self.log_in()
        self.machine, self.port = first, 22

    def a_revoked_key_is_refused_at_both_hosts(self) -> None:
        first, second = self.machine, self.second
        assert second is not None
        report = self.machine.run("sidegate admin revoke-key 11 --wait").stdout
        assert "ssh-1" in report and "ssh-2" in report, report
        assert self.ssh("zoe").returncode == 255
        self.machine, self.port = second, 2222
        assert self.ssh("zoe").returncode == 255
        self.machine, self.port = first, 22

    # -- what the steps are made of ----------------------------------------------------------------------------------------------------

    def set_up_logins(self) -> None:
        self.follow("sshd")
        self.machine.run("install -d -o git -g git /home/git/gitlab-shell /home/git/gitlab-shell/bin")
        self.machine.install_file(GITLAB_SHELL, STAND_IN, 0o755)
        self.follow("gitlab-shell")
        self.wait_until_fresh()
        self.follow("Does it work?")

    def follow(self, heading: str) -> None:
        """Runs the commands of a section of the guide, block by block."""
        for commands in self.guide[heading]:
            self.machine.run(commands)

    def directory(self) -> str:
        """The example of docs/directory.md, with the key of the one who logs in."""
        lines = guide.blocks(self.tree / "docs/directory.md", "json")[""][0].splitlines()
        records = [json.loads(line) for line in lines]
        for record in records:
            if record["kind"] == "key":
                record["key"] = (self.machine.root / "root/zoe.pub").read_text().strip()
        return "".join(json.dumps(record) + "\n" for record in records)

    def check(self, code: int, options: str = "") -> str:
        """What root's `sidegate check` says, which must end with this exit code."""
        done = self.machine.run(f"sidegate check {options}", check=False)
        assert done.returncode == code, f"exit code {done.returncode} in place of {code}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def blob(self, key: str) -> str:
        return (self.machine.root / f"root/{key}.pub").read_text().split()[1]

    def wait_until_fresh(self) -> None:
        fresh = lambda: json.loads(self.machine.run("sidegate status --json", check=False).stdout)["freshness"]["keys"]["state"] == "fresh"  # noqa: E731
        self.machine.wait_for("the keys to be fresh", fresh)

    def wait_for_log(self, where: str, text: str) -> None:
        find = f"journalctl --quiet --no-pager --output cat --boot {where} --grep {quote(re.escape(text))}"
        self.machine.wait_for(f"the log to say `{text}`", lambda: self.machine.run(find, check=False).returncode == 0, seconds=20)

    def ssh(self, key: str) -> subprocess.CompletedProcess[str]:
        options = "-F none -o BatchMode=yes -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        return self.machine.run(f"ssh {options} -p {self.port} -i /root/{key} git@127.0.0.1 git-upload-pack tools/gate", check=False)

    def log_in(self) -> None:
        """A real login with a key of the directory, and one with a key that nobody has; and who each is by what sshd's user is told."""
        known = self.ssh("zoe")
        if known.returncode != 0:
            state = self.machine.run(f"ls -ld /run/sidegate {SOCKET}; systemctl is-active sidegate.socket sidegate.service", check=False)
            look_up = self.machine.run(f"{HELPER} git git {self.blob('zoe')}", user="sidegate-keys", check=False)
            raise Failed(f"refused: {known.stderr.strip()}\nthe helper: {look_up.stdout}{state.stdout}{state.stderr}")
        called = "called with key-11 for git-upload-pack tools/gate\n"
        assert known.stdout.startswith(called) and '"username":"zoe"' in known.stdout, known.stdout
        stranger = self.ssh("stranger")
        assert stranger.returncode == 255 and "Permission denied (publickey" in stranger.stderr, stranger.stdout + stranger.stderr
        look_up = self.machine.run(f"{HELPER} git git {self.blob('stranger')}", user="sidegate-keys")
        assert look_up.stdout.startswith("# No key was found for "), look_up.stdout
