"""A bare Debian that is booted in a container: systemd is its process 1, and it has no network but its own loopback device.

Nothing of it runs in this system: `systemd-nspawn` gives it processes, mounts, users and a network of its own, and every command is run
inside of these."""

import hashlib
import os
import shlex
import shutil
import subprocess
import time
from pathlib import Path

PACKAGES = "systemd,systemd-sysv,dbus,openssh-server,openssh-client,curl,ca-certificates,procps"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_SECONDS = 120


class Failed(Exception):
    """A command failed, or something did not happen."""


def missing() -> str | None:
    """Says in a few words why no machine can be booted here; None if one can."""
    if os.geteuid() != 0:
        return "we are not root"
    needed = {"systemd-nspawn": "systemd-container", "mmdebstrap": "mmdebstrap", "nsenter": "util-linux", "openssl": "openssl"}
    for program, package in needed.items():
        if shutil.which(program) is None:
            return f"{program} is not installed (package {package})"
    if subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True).returncode != 0:
        return "namespaces and mounts are not permitted here"
    return None


def suite() -> str:
    """The release of Debian that this machine runs: what is built here runs there."""
    fields = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return fields.get("VERSION_CODENAME", "bookworm").strip('"') if fields.get("ID", "").strip('"') == "debian" else "bookworm"


def bare_root(cache: Path) -> Path:
    """Gives a root with nothing of ours in it, made once for each list of packages. It must never be changed."""
    name = f"{suite()}-{hashlib.sha256(PACKAGES.encode()).hexdigest()[:12]}"
    root = cache / name
    if not root.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = cache / f".{name}-{os.getpid()}"
        print(f"making a bare {suite()} in {root}", flush=True)
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", suite(), str(unfinished)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise Failed(f"mmdebstrap: {done.stderr.strip().splitlines()[-1:]}")
        unfinished.rename(root)
    return root


class Machine:
    """A copy of the bare root, in a folder of its own. `beside` is a running machine whose network it shares."""

    def __init__(self, bare: Path, folder: Path, name: str = "ssh-1", beside: "Machine | None" = None) -> None:
        self.name, self.beside = name, beside
        self.root = folder / f"{name}-root"
        self.console = folder / f"{name}-console"
        self.nspawn: subprocess.Popen[bytes] | None = None
        self.leader = 0
        subprocess.run(["cp", "--archive", "--reflink=auto", str(bare), str(self.root)], check=True)
        (self.root / "etc/hostname").write_text(f"{name}\n")
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost primary.example mirror.example gitlab.example.com {name}\n")
        (self.root / "etc/machine-id").write_text("")

    def boot(self) -> None:
        """Boots it, and waits until systemd has started everything."""
        network = "--private-network" if self.beside is None else f"--network-namespace-path=/proc/{self.beside.leader}/ns/net"
        command = ["systemd-nspawn", "--quiet", "--directory", str(self.root), network, "--register=no", "--keep-unit"]
        command += [f"--machine=sidegate-{self.name}", "--boot"]
        with self.console.open("ab") as console:
            self.nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        self.wait_for("the container to start", self._find_leader)
        self.wait_for("systemd to have started everything", self._is_running)

    def _find_leader(self) -> bool:
        assert self.nspawn is not None
        if self.nspawn.poll() is not None:
            raise Failed(f"systemd-nspawn ended with {self.nspawn.returncode}: {self.console.read_text(errors='replace')[-2000:]}")
        children = Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children")
        for child in children.read_text().split() if children.exists() else []:
            try:
                numbers = [line.split()[1:] for line in Path(f"/proc/{child}/status").read_text().splitlines() if line.startswith("NSpid:")]
                if numbers and numbers[0][-1:] == ["1"] and os.readlink(f"/proc/{child}/exe").endswith("systemd"):
                    self.leader = int(child)
                    return True
            except OSError:
                continue
        return False

    def _is_running(self) -> bool:
        return self.run("systemctl is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def command(self, script: str, user: str = "root", folder: str = "/root") -> list[str]:
        """Gives the command that runs a script in the machine."""
        inside = ["nsenter", "--target", str(self.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wdns=" + folder]
        become = [] if user == "root" else ["runuser", "-u", user, "--"]
        return [*inside, "/usr/bin/env", "-i", f"PATH={PATH}", "HOME=/root", "LC_ALL=C.UTF-8", *become, "/bin/bash", "-ec", script]

    def run(self, script: str, user: str = "root", check: bool = True, seconds: int = 120) -> subprocess.CompletedProcess[str]:
        """Runs a script in the machine."""
        done = subprocess.run(self.command(script, user), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
        if check and done.returncode != 0:
            raise Failed(f"exit code {done.returncode} of:\n{script}\n{done.stdout}{done.stderr}")
        return done

    def start(self, script: str, user: str, output: Path) -> subprocess.Popen[bytes]:
        """Starts a script in the machine, and does not wait for it."""
        with output.open("wb") as file:
            return subprocess.Popen(self.command(script, user), stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def wait_for(self, what: str, happened, seconds: int = BOOT_SECONDS) -> None:
        """Waits until `happened` returns true."""
        end = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > end:
                raise Failed(f"waited {seconds} s in vain for {what}")
            time.sleep(0.1)

    def reboot(self) -> None:
        """Shuts it down properly and boots it again."""
        self.shut_down()
        self.boot()

    def shut_down(self) -> None:
        """Shuts it down as `systemctl poweroff` does."""
        assert self.nspawn is not None
        self.run("systemctl --no-block poweroff")
        self.nspawn.wait(timeout=BOOT_SECONDS)

    def destroy(self) -> None:
        """Ends it whatever its state."""
        if self.nspawn is not None and self.nspawn.poll() is None:
            self.nspawn.terminate()
            try:
                self.nspawn.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()

    def install_file(self, path: str, text: str, mode: int) -> None:
        """Puts a file into the machine, also while it is not running."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)


def quote(text: str) -> str:
    return shlex.quote(text)
