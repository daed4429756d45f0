"""A mirror beside a GitLab, installed as the guide says, with a host that follows it: who logs in through sshd, after reboots, and without the
GitLab. The GitLab is a stand-in, whose address is the machine's own loopback."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from certificates import make_certificates
from scenario import Scenario

MIRROR_SOCKET = "/run/sidegate-mirror/api.sock"
HOOKS = "https://mirror.example:8182/hooks/gitlab"
KEY_ID = 11


class MirrorScenario(Scenario):
    gitlab: subprocess.Popen[bytes] | None = None

    def steps(self) -> list[Callable[[], None]]:
        return [
            self.the_guide_installs_a_mirror_and_a_host_that_follows_it,
            self.a_login_with_a_key_that_the_mirror_knows,
            self.a_login_after_a_reboot_with_the_gitlab,
            self.a_login_without_the_gitlab,
            self.a_login_after_a_reboot_without_the_gitlab,
            self.a_key_that_the_gitlab_destroys_is_refused,
        ]

    def is_needed(self, step: Callable[[], None]) -> bool:
        return step == self.the_guide_installs_a_mirror_and_a_host_that_follows_it

    def logs(self) -> str:
        units = "--unit sidegate-mirror.service --unit sidegate.service --unit sidegate.socket --unit ssh.service"
        return self.machine.run(f"journalctl --no-pager --lines 80 {units}", check=False).stdout

    def end(self) -> None:
        self.stop_gitlab()

    # -- the steps ---------------------------------------------------------------------------------------------------------------------

    def the_guide_installs_a_mirror_and_a_host_that_follows_it(self) -> None:
        machine, home = self.machine, self.machine.root / "root"
        shutil.copy(self.archive, home / "sidegate.tar.gz")
        for key in ("zoe", "stranger"):
            machine.run(f"ssh-keygen -q -t ed25519 -N '' -C {key} -f /root/{key}")
        make_certificates(home, ["mirror.example", "gitlab.example.com"])
        machine.run("install -D -m 0644 ca.pem /usr/local/share/ca-certificates/authority.crt && update-ca-certificates")
        for secret in ("gitlab_token", "shell_secret"):
            machine.run(f"head -c 24 /dev/urandom | base64 >{secret}")
        self.set_keys([KEY_ID])
        self.start_gitlab()
        self.follow("From an archive")
        self.follow("In front of a GitLab with a mirror")
        machine.run("cp /etc/sidegate/mirror/sync_secret .")
        self.follow("A host that follows a mirror")
        self.set_up_logins()

    def a_login_with_a_key_that_the_mirror_knows(self) -> None:
        self.log_in()
        self.assert_decided_by_feed()
        status = self.mirror_status()
        assert (status["users"], status["keys"], status["alarms"]) == (1, 1, []), status

    def a_login_after_a_reboot_with_the_gitlab(self) -> None:
        self.reboot()
        self.start_gitlab()
        self.machine.wait_for("the mirror to hear the GitLab", lambda: self.mirror_status()["gitlab"]["failure"] is None)
        self.log_in()
        self.assert_decided_by_feed()

    def a_login_without_the_gitlab(self) -> None:
        self.stop_gitlab()
        self.log_in_as_zoe()

    def a_login_after_a_reboot_without_the_gitlab(self) -> None:
        self.reboot()
        states = self.machine.run("systemctl is-active sidegate-mirror.service sidegate.socket", check=False).stdout.split()
        assert states == ["active", "active"], states
        self.log_in_as_zoe()
        alarms = lambda: [alarm["kind"] for alarm in self.mirror_status()["alarms"]]  # noqa: E731
        self.machine.wait_for("the mirror to say that the GitLab is away", lambda: "public_api_unusable" in alarms())

    def a_key_that_the_gitlab_destroys_is_refused(self) -> None:
        self.set_keys([])
        self.start_gitlab()
        line = (self.machine.root / "root/zoe.pub").read_text().strip()
        hook = json.dumps({"event_name": "key_destroy", "username": "zoe", "key": line, "id": KEY_ID})
        self.machine.install_file("/root/hook.json", hook, 0o600)
        send = "curl --silent --show-error --fail -H 'X-Gitlab-Event: System Hook' -H 'Content-Type: application/json' --data @hook.json"
        self.machine.run(f'{send} -H "X-Gitlab-Token: $(cat /etc/sidegate/mirror/hook_token)" {HOOKS}')
        self.machine.wait_for("the key to be refused", lambda: self.ssh("zoe").returncode == 255, seconds=60)

    # -- what the steps are made of ----------------------------------------------------------------------------------------------------

    def set_keys(self, ids: list[int]) -> None:
        """Gives the GitLab these keys, all of them the one of who logs in."""
        line = (self.machine.root / "root/zoe.pub").read_text().strip()
        (self.machine.root / "root/keys.json").write_text(json.dumps([{"id": number, "key": line} for number in ids]))

    def start_gitlab(self) -> None:
        """Starts it outside, since the bare machine has no Python, and with the machine's network."""
        program, files = Path(__file__).parent / "gitlab.py", self.machine.root / "root"
        command = ["nsenter", "--target", str(self.machine.leader), "--net", sys.executable, str(program), str(files)]
        with (self.folder / "gitlab.log").open("ab") as log:
            self.gitlab = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        answers = "curl --silent --output /dev/null --cacert ca.pem https://gitlab.example.com/api/v4/internal/check"
        self.machine.wait_for("the GitLab to answer", lambda: self.machine.run(answers, check=False).returncode == 0, seconds=20)

    def stop_gitlab(self) -> None:
        if self.gitlab is not None:
            self.gitlab.terminate()
            self.gitlab.wait()
            self.gitlab = None

    def reboot(self) -> None:
        """Reboots; the GitLab goes with the network of the machine."""
        self.stop_gitlab()
        self.machine.reboot()

    def mirror_status(self) -> dict:
        return json.loads(self.machine.run(f"sidegate status --json --socket {MIRROR_SOCKET}", check=False).stdout)

    def assert_decided_by_feed(self) -> None:
        explained = json.loads(self.machine.run('sidegate explain --json --key "$(cat zoe.pub)"').stdout)
        assert explained["steps"][0]["decided_by"] == "directory", explained

    def log_in_as_zoe(self) -> None:
        """A real login, of which only the key is looked up: who that is may have to be asked of the GitLab."""
        login = self.ssh("zoe")
        assert login.stdout.startswith(f"called with key-{KEY_ID} for "), login.stdout + login.stderr
