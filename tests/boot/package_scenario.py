"""The packages on a bare Debian: installed, used, upgraded while logins go on, removed, installed again and purged. The .rpm goes into a root of
its own, by rpm's own hand, since there is no Fedora here."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from machine import Failed, Machine, quote
from scenario import SOCKET, Scenario

UNITS = ["sidegate.socket", "sidegate.service", "sidegate-primary.service", "sidegate-mirror.service"]
USERS = ["sidegate", "sidegate-primary", "sidegate-mirror", "sidegate-keys"]
DROP_IN = "/etc/ssh/sshd_config.d/50-sidegate.conf"
NEWER = "99.0.0"

# Asks the socket itself, without the patience of sshd's helper: a refused connection is an error here.
ASKING = f"""
answers=0
while [ ! -e /run/asking-ends ]; do
    status=$(curl --silent --show-error --max-time 20 --output /dev/null --write-out '%{{http_code}}' --unix-socket {SOCKET} \\
        --get --data-urlencode "key=$0" http://localhost/api/v4/internal/authorized_keys 2>&1) || true
    case $status in 200) answers=$((answers + 1)) ;; *) echo "refused: $status" ;; esac
done
echo "hits: $answers"
"""


class Packages:
    """The packages of this tree, and those of the version after it: the same programs under a higher number."""

    def __init__(self, tree: Path, programs: Path | None, folder: Path) -> None:
        self.deb, self.rpm = self.build(tree, programs, folder / "packages", [])
        self.newer_deb, self.newer_rpm = self.build(tree, programs, folder / "newer", ["--version", NEWER])
        self.folder = self.deb.parent

    @staticmethod
    def build(tree: Path, programs: Path | None, folder: Path, options: list[str]) -> tuple[Path, Path]:
        command = [str(tree / "packaging/build-packages"), *options]
        if programs is not None:
            command += ["--programs", str(programs.resolve())]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        deb = Path(printed.splitlines()[-1])
        shutil.copytree(deb.parent, folder)
        (rpm,) = folder.glob("*.rpm")
        return folder / deb.name, rpm


class PackageScenario(Scenario):
    packages: Packages
    asking: list[subprocess.Popen[bytes]]

    def steps(self) -> list[Callable[[], None]]:
        return [
            self.checksums_fit_and_the_list_of_parts_names_them,
            self.the_package_installs_and_starts_nothing,
            self.programs_pages_and_completions_work,
            self.a_login_with_the_primary_and_a_host_set_up,
            self.look_ups_begin_that_go_on_through_the_upgrade,
            self.an_upgrade_restarts_the_daemons_and_keeps_the_socket_and_every_setting,
            self.no_look_up_was_refused_meanwhile,
            self.a_login_after_the_upgrade,
            self.a_login_after_a_reboot,
            self.a_removal_keeps_settings_data_and_users,
            self.installed_again_it_starts_nothing_and_goes_on_with_what_it_had,
            self.a_purge_leaves_nothing,
            self.rpm_installs_upgrades_and_erases_the_same,
        ]

    def is_needed(self, step: Callable[[], None]) -> bool:
        return step in (self.the_package_installs_and_starts_nothing, self.a_login_with_the_primary_and_a_host_set_up)

    # -- the steps ---------------------------------------------------------------------------------------------------------------------

    def checksums_fit_and_the_list_of_parts_names_them(self) -> None:
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=self.packages.folder, check=True)
        (sbom,) = self.packages.folder.glob("*.cdx.json")
        text = sbom.read_text()
        assert '"CycloneDX"' in text and all(f'"{name}"' in text for name in ("sled", "hyper", "rustls")), text[:500]
        listed = (self.packages.folder / "SHA256SUMS").read_text()
        assert all(name.name in listed for name in (self.packages.deb, self.packages.rpm, sbom)), listed

    def the_package_installs_and_starts_nothing(self) -> None:
        self.install(self.packages.deb)
        for unit in UNITS:
            assert self.state("is-enabled", unit) == "disabled" and self.state("is-active", unit) == "inactive", unit
        assert self.machine.run("systemctl --failed --no-legend").stdout == ""
        for user in USERS:
            assert self.machine.run(f"getent passwd {user}").stdout.endswith(":/usr/sbin/nologin\n"), user
        assert self.machine.run("ls -A /etc/sidegate").stdout == "" and not (self.machine.root / DROP_IN[1:]).exists()
        assert "authorizedkeyscommand none" in self.machine.run("/usr/sbin/sshd -T").stdout

    def programs_pages_and_completions_work(self) -> None:
        version = self.machine.run("sidegate --version").stdout.split()
        assert version[0] == "sidegate" and re.fullmatch(r"\d+\.\d+\.\d+", version[1]), version
        for page in ("man1/sidegate.1", "man1/sidegate-admin-apply.1", "man5/sidegate.toml.5"):
            file = self.machine.root / f"usr/share/man/{page}.gz"
            shown = subprocess.run(["man", "--local-file", file], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80"})
            assert shown.returncode == 0 and "NAME" in shown.stdout and "sidegate" in shown.stdout, f"{page}: {shown.stderr}"
        complete = "COMP_WORDS=(sidegate adm); COMP_CWORD=1; _sidegate sidegate adm sidegate; echo ${COMPREPLY[@]}"
        assert self.machine.run(f". /usr/share/bash-completion/completions/sidegate; {complete}").stdout == "admin\n"
        # sshd insists on who owns the program and the folders above it.
        owned = self.machine.run("stat -c '%U:%G %a' / /usr /usr/lib /usr/lib/sidegate /usr/lib/sidegate/sidegate-authorized-keys").stdout
        assert set(owned.splitlines()) == {"root:root 755"}, owned

    def a_login_with_the_primary_and_a_host_set_up(self) -> None:
        for key in ("zoe", "stranger"):
            self.machine.run(f"ssh-keygen -q -t ed25519 -N '' -C {key} -f /root/{key}")
        self.machine.install_file("/root/directory.jsonl", self.directory(), 0o600)
        self.follow("The primary, on one host")
        self.follow("On the primary's own host")
        self.set_up_logins()
        self.log_in()

    def look_ups_begin_that_go_on_through_the_upgrade(self) -> None:
        self.look_ups_begin_that_go_on_through_all_that_follows()
        command = f"exec bash -c {quote(ASKING)} {self.blob('zoe')}"
        self.asking = [self.machine.start(command, "sidegate-keys", self.folder / f"asking-{number}") for number in range(2)]
        self.machine.wait_for("a first answer", lambda: self.ssh("zoe").returncode == 0)

    def an_upgrade_restarts_the_daemons_and_keeps_the_socket_and_every_setting(self) -> None:
        self.machine.run("printf '\\n# a line of the operator\\n[log]\\nlevel = \"info\"\\n' >>/etc/sidegate/primary.toml")
        self.machine.run(f"printf '\\n    # a line of the operator\\n' >>{DROP_IN}")
        units = ["sidegate.service", "sidegate-primary.service"]
        settings, started, sockets = self.settings(), self.values(units, "MainPID"), self.socket()
        self.install(self.packages.newer_deb)
        assert self.machine.run("dpkg-query --show --showformat '${Version}' sidegate").stdout == f"{NEWER}-1"
        assert self.settings() == settings, "the upgrade changed a setting"
        assert self.socket() == sockets, f"{self.socket()} in place of {sockets}"
        now = self.values(units, "MainPID")
        assert all(new not in ("0", old) for new, old in zip(now, started, strict=True)), f"{started}, then {now}"
        assert self.state("is-active", "sidegate-mirror.service") == "inactive"

    def no_look_up_was_refused_meanwhile(self) -> None:
        self.machine.run("touch /run/asking-ends /run/hammer-ends")
        hits, refusals = 0, []
        for number, process in enumerate(self.asking):
            process.wait(timeout=60)
            *refused, last = (self.folder / f"asking-{number}").read_text().splitlines()
            hits, refusals = hits + int(last.removeprefix("hits: ")), refusals + refused
        print(f"        {hits} questions to the socket were answered, {len(refusals)} were not")
        assert hits > 0 and not refusals, "\n".join(sorted(set(refusals))[:5])
        super().no_look_up_was_refused_meanwhile()

    def a_login_after_the_upgrade(self) -> None:
        self.wait_until_fresh()
        self.log_in()

    def a_removal_keeps_settings_data_and_users(self) -> None:
        settings = self.settings()
        told = self.apt("remove sidegate")
        assert f"change {DROP_IN} and reload sshd" in told, told
        assert self.settings() == settings and self.machine.run("ls /var/lib/sidegate-primary").stdout
        assert not (self.machine.root / "usr/bin/sidegate").exists() and not (self.machine.root / "usr/lib/sidegate").exists()
        assert self.machine.run("find /etc/systemd -name '*sidegate*'").stdout == ""
        assert self.machine.run("pgrep -l sidegate", check=False).stdout == ""
        for user in USERS:
            self.machine.run(f"getent passwd {user}")

    def installed_again_it_starts_nothing_and_goes_on_with_what_it_had(self) -> None:
        settings = self.settings()
        self.install(self.packages.newer_deb)
        assert [self.state("is-active", unit) for unit in UNITS] == ["inactive"] * len(UNITS)
        assert self.settings() == settings
        self.machine.run("systemctl enable --now sidegate-primary.service sidegate.socket sidegate.service")
        self.wait_until_fresh()
        self.log_in()

    def a_purge_leaves_nothing(self) -> None:
        self.apt("purge sidegate")
        assert self.machine.run(f"getent passwd {' '.join(USERS)}; getent group {' '.join(USERS)}", check=False).stdout == ""
        # What the operator brought is in /root, what is logged in /var/log, and apt's own notes say what it did.
        others = "-path /proc -o -path /sys -o -path /root -o -path /var/log -o -path /var/cache/apt -o -path /var/lib/apt"
        left = self.machine.run(f"find / \\( {others} \\) -prune -o \\( -name '*sidegate*' -o -nouser -o -nogroup \\) -print").stdout
        assert left == "", left
        assert self.machine.run("dpkg-query --show sidegate", check=False).returncode != 0
        assert self.state("is-active", "ssh.service") == "active"
        assert "authorizedkeyscommand none" in self.machine.run("/usr/sbin/sshd -T -C user=git,host=localhost,addr=127.0.0.1").stdout

    def rpm_installs_upgrades_and_erases_the_same(self) -> None:
        if shutil.which("rpm") is None:
            print("        rpm is not installed: only the .deb was tried")
            return
        root = Machine(self.bare, self.folder, "rpm").root
        rpm = lambda *arguments: self.rpm(root, *arguments)  # noqa: E731
        rpm("--install", self.packages.rpm)
        in_deb = self.command(["dpkg-deb", "--fsys-tarfile", self.packages.deb], ["tar", "--list"])
        files = {line.removeprefix(".") for line in in_deb.splitlines() if not line.endswith("/")}
        assert set(rpm("--query", "--list", "sidegate").split()) == files, files.symmetric_difference(rpm("--query", "--list", "sidegate").split())
        rpm("--verify", "--nodeps", "sidegate")
        passwd = (root / "etc/passwd").read_text()
        assert all(f"\n{user}:" in passwd for user in USERS), passwd
        # Nothing of a system runs in this root, not even /proc: its first start would make this folder.
        (root / "etc/sidegate").mkdir(exist_ok=True)
        (root / "etc/sidegate/sidegate.toml").write_text("# the operator's\n")
        rpm("--upgrade", self.packages.newer_rpm)
        assert rpm("--query", "--queryformat", "%{VERSION}", "sidegate") == NEWER
        rpm("--erase", "sidegate")
        assert not (root / "usr/bin/sidegate").exists() and (root / "etc/sidegate/sidegate.toml").read_text() == "# the operator's\n"

    # -- what the steps are made of ----------------------------------------------------------------------------------------------------

    def install(self, package: Path) -> None:
        """Installs it as the guide says, whose command takes the only package of the folder."""
        self.machine.run("rm -f /root/*.deb")
        shutil.copy(package, self.machine.root / "root")
        self.follow("On Debian and Ubuntu")

    def apt(self, what: str) -> str:
        """What apt-get says, which must not ask anything."""
        done = self.machine.run(f"DEBIAN_FRONTEND=noninteractive apt-get --yes --no-install-recommends {what}")
        return done.stdout + done.stderr

    def state(self, question: str, unit: str) -> str:
        return self.machine.run(f"systemctl {question} {unit}", check=False).stdout.strip()

    def values(self, units: list[str], name: str) -> list[str]:
        return [self.machine.run(f"systemctl show --property {name} --value {unit}").stdout.strip() for unit in units]

    def socket(self) -> list[str]:
        """Which socket this is, and since when it is there."""
        return [*self.values(["sidegate.socket"], "ActiveEnterTimestampMonotonic"), self.machine.run(f"stat -c '%i %U:%G %a' {SOCKET}").stdout]

    def settings(self) -> str:
        """Every file that is the operator's, with its content, owner and mode."""
        found = self.machine.run(f"find /etc/sidegate {DROP_IN} -type f -exec stat -c '%n %U:%G %a %Y' {{}} + -exec sha256sum {{}} + | sort")
        return hashlib.sha256(found.stdout.encode()).hexdigest() + "\n" + found.stdout

    def rpm(self, root: Path, *arguments: object) -> str:
        """Runs rpm on a root, in which the scripts of the package run too. That root is a Debian, so that rpm knows nothing of what is in it."""
        dependencies = ["--nodeps"] if arguments[0] in ("--install", "--upgrade", "--erase") else []
        return self.command(["rpm", "--root", root, "--dbpath", "/var/lib/rpm", *arguments, *dependencies])

    def command(self, *pipe: list[object]) -> str:
        """Runs one command here, or two of which the second reads the first."""
        given = None
        for command in pipe:
            done = subprocess.run([str(part) for part in command], input=given, capture_output=True)
            if done.returncode != 0:
                raise Failed(f"exit code {done.returncode} of {command}:\n{done.stdout.decode(errors='replace')}{done.stderr.decode()}")
            given = done.stdout
        return (given or b"").decode()
