"""A bare Debian with the package on it and nothing else, set up by `sidegate setup`: logins, before and after a reboot, a second run, another
command for keys behind sidegate, and `setup --remove`, after which everything is as it was."""

import shutil
from collections.abc import Callable

from machine import quote
from scenario import STAND_IN, Scenario

SHELL = "/srv/gitlab-shell/bin/gitlab-shell"
FLAGS = f"--primary embedded --sshd-user git --shell {SHELL} --yes"
OTHER_COMMAND = "/usr/local/sbin/other-keys"
OTHER_DROP_IN = "/etc/ssh/sshd_config.d/60-other.conf"
# What useradd and userdel keep of the files that they changed, and their lock.
COPIES = r"/etc/\(passwd-\|group-\|shadow-\|gshadow-\|subuid-\|subgid-\|.pwd.lock\)"
UNITS = "sidegate.socket sidegate.service sidegate-primary.service"


class SetupScenario(Scenario):
    before = ""
    by_setup = ""

    def steps(self) -> list[Callable[[], None]]:
        return [
            self.the_programs_are_installed_and_another_command_is_asked,
            self.a_dry_run_changes_nothing,
            self.setup_ends_with_a_host_that_is_well,
            self.a_login_after_the_set_up,
            self.a_login_after_a_reboot,
            self.a_second_run_changes_nothing,
            self.remove_leaves_what_was_before,
            self.with_a_chain_both_log_in_and_in_an_outage_neither,
            self.a_drop_in_that_sshd_refuses_is_taken_back_while_logins_go_on,
            self.remove_leaves_what_was_before,
            self.the_guide_by_hand_leads_to_the_same_layout,
        ]

    def is_needed(self, step: Callable[[], None]) -> bool:
        return step in (self.the_programs_are_installed_and_another_command_is_asked, self.setup_ends_with_a_host_that_is_well)

    # -- the steps ---------------------------------------------------------------------------------------------------------------------

    def the_programs_are_installed_and_another_command_is_asked(self) -> None:
        machine = self.machine
        shutil.copy(self.archive, machine.root / "root/sidegate.tar.gz")
        for key in ("zoe", "stranger", "other"):
            machine.run(f"ssh-keygen -q -t ed25519 -N '' -C {key} -f /root/{key}")
        self.follow("From an archive")
        machine.install_file("/root/directory.jsonl", self.directory(), 0o600)
        machine.install_file(SHELL, STAND_IN.replace("/home/git/gitlab-shell", "/srv/gitlab-shell"), 0o755)
        machine.install_file("/root/other.pub.line", f"command=\"echo by another command\" {(machine.root / 'root/other.pub').read_text()}", 0o644)
        machine.install_file(OTHER_COMMAND, f"#!/bin/sh\n[ \"$1\" = git ] && cat /usr/local/share/other-keys\n", 0o755)
        machine.run("install -m 0644 /root/other.pub.line /usr/local/share/other-keys")
        machine.install_file(OTHER_DROP_IN, f"AuthorizedKeysCommand {OTHER_COMMAND} %u\nAuthorizedKeysCommandUser nobody\n", 0o644)
        machine.run("systemctl reload ssh.service")
        self.before = self.files()

    def a_dry_run_changes_nothing(self) -> None:
        shown = self.machine.run(f"sidegate setup {FLAGS} --no-chain --dry-run").stdout
        assert "enable and start sidegate-primary.service" in shown and "Nothing was done (--dry-run)." in shown, shown
        self.assert_as_before()

    def setup_ends_with_a_host_that_is_well(self) -> None:
        refused = self.machine.run(f"sidegate setup {FLAGS}", check=False)
        assert refused.returncode == 1 and f"sshd asks `{OTHER_COMMAND} %u`" in refused.stderr, refused.stdout + refused.stderr
        self.assert_as_before()
        self.machine.run(f"mv {OTHER_DROP_IN} /root/")
        self.before = self.files()
        said = self.guide_says("Set up in one command")
        assert "\ncheck: all is well\n" in said and "ERROR" not in said, said
        self.by_setup = self.layout()
        self.machine.run("sidegate admin apply directory.jsonl")
        self.wait_until_fresh()

    def a_login_after_the_set_up(self) -> None:
        self.log_in()

    def a_login_after_a_reboot(self) -> None:
        self.machine.reboot()
        self.log_in()

    def a_second_run_changes_nothing(self) -> None:
        files = self.files()
        said = self.guide_says("Set up in one command")
        assert "Nothing to do: all of it is done already." in said and "\ndone: " not in said, said
        assert self.files() == files
        self.log_in()

    def remove_leaves_what_was_before(self) -> None:
        said = self.guide_says("Undo it")
        assert said.endswith("Done.\n"), said
        self.assert_as_before()
        states = self.machine.run(f"systemctl is-active {UNITS} || true; systemctl is-enabled {UNITS} || true").stdout.split()
        assert states == ["inactive"] * 3 + ["disabled"] * 3, states
        assert self.ssh("zoe").returncode == 255
        for store in ("sidegate", "sidegate-primary"):
            self.machine.run(f"test -d /var/lib/{store}")

    def with_a_chain_both_log_in_and_in_an_outage_neither(self) -> None:
        self.machine.run(f"mv /root/60-other.conf {OTHER_DROP_IN}; systemctl reload ssh.service")
        self.before = self.files()
        said = self.machine.run(f"sidegate setup {FLAGS} --chain '{OTHER_COMMAND} %u'").stdout
        assert f"{OTHER_COMMAND} is asked: a key that it gives has to be revoked there as well" in said, said
        self.wait_until_fresh()
        self.log_in()
        other = self.ssh("other")
        assert other.stdout == "by another command\n", other.stdout + other.stderr
        self.machine.run("systemctl stop sidegate.socket")
        assert (self.ssh("zoe").returncode, self.ssh("other").returncode) == (255, 255)
        self.machine.run("systemctl start sidegate.socket sidegate.service")
        self.wait_until_fresh()
        self.log_in()

    def a_drop_in_that_sshd_refuses_is_taken_back_while_logins_go_on(self) -> None:
        self.machine.install_file("/etc/ssh/sshd_config.d/90-wrong.conf", "NoSuchWord yes\n", 0o644)
        other_shell = FLAGS.replace(SHELL, "/srv/other/bin/gitlab-shell")
        refused = self.machine.run(f"sidegate setup {other_shell}", check=False)
        assert refused.returncode == 1 and "sshd does not accept" in refused.stderr and "NoSuchWord" in refused.stderr, refused.stderr
        self.machine.run("rm /etc/ssh/sshd_config.d/90-wrong.conf")
        self.log_in()
        assert self.ssh("other").stdout == "by another command\n"

    def the_guide_by_hand_leads_to_the_same_layout(self) -> None:
        self.machine.run(f"rm {OTHER_DROP_IN}")
        self.follow("The primary, on one host")
        self.follow("On the primary's own host")
        self.follow("sshd")
        assert "/etc/sidegate/primary/sync_secret" in self.by_setup and self.layout() == self.by_setup, f"{self.layout()}\n{self.by_setup}"

    # -- what the steps are made of ----------------------------------------------------------------------------------------------------

    def guide_says(self, heading: str) -> str:
        """Runs the commands below a heading of the guide; gives what they print."""
        return self.machine.run("".join(self.guide[heading])).stdout

    def files(self) -> str:
        """Every file below what a set-up could touch, with owner, mode, and content or target."""
        folders = "/etc /usr /home /srv /opt"
        listed = f"find {folders} -not -regex {quote(COPIES)} -printf '%p %U:%G %m %y %l\\n' | sort"
        summed = f"find {folders} -type f -not -regex {quote(COPIES)} -print0 | sort -z | xargs -0 sha256sum"
        return self.machine.run(f"{listed}; {summed}").stdout

    def layout(self) -> str:
        """Names, owners and modes of what the guide makes, and the configurations; not the record, and not the gitlab-shell that each names."""
        listed = "find /etc/sidegate /etc/ssh /etc/systemd/system -not -name setup.json -printf '%p %u:%g %m %y %l\\n' | sort"
        shown = "cat /etc/sidegate/*.toml; sed 's|--shell [^ ]*|--shell|' /etc/ssh/sshd_config.d/50-sidegate.conf; getent passwd git"
        return self.machine.run(f"{listed}; {shown}").stdout

    def assert_as_before(self) -> None:
        now, before = set(self.files().splitlines()), set(self.before.splitlines())
        assert now == before, "\n".join([f"- {line}" for line in sorted(before - now)] + [f"+ {line}" for line in sorted(now - before)])
