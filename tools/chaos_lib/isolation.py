"""A run's own world: network, mounts, processes and IPC that end with it, whatever ends it."""

import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

_CLONE_NEWNS, _CLONE_NEWIPC, _CLONE_NEWPID, _CLONE_NEWNET = 0x00020000, 0x08000000, 0x20000000, 0x40000000
_PR_SET_PDEATHSIG = 1
_MS_REMOUNT = 32
_libc = ctypes.CDLL(None, use_errno=True)


class Unsupported(Exception):
    """This machine, or this user, cannot run it; the text says why."""


class Stopped(Exception):
    """A signal asked to end the run."""

    def __init__(self, number):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def check_machine(programs):
    if os.geteuid() != 0:
        raise Unsupported("it makes network namespaces, which needs root")
    lacking = [program for program in programs if shutil.which(program) is None]
    if lacking:
        raise Unsupported("not found: " + ", ".join(lacking) + " (./dev setup --full brings them)")


def run_isolated(body):
    """Runs body(directory) as the first process of new namespaces and gives its exit status.

    The directory is private, in memory and gone afterwards. When this process dies, so does all that body started,
    and with that every network, mount and shared memory of it.
    """
    directory = tempfile.mkdtemp(prefix="escapement-chaos-")
    os.chmod(directory, 0o711)  # PostgreSQL runs as a user of its own
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        _unshare(_CLONE_NEWPID)
        child = os.fork()
        if child == 0:
            os._exit(_first_process(body, directory))
        for number in before:  # from now on signals are the child's to answer
            signal.signal(number, lambda received, _: os.kill(child, received))
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        shutil.rmtree(directory, ignore_errors=True)  # empty: what was mounted there is gone


def _unshare(namespaces):
    if _libc.unshare(namespaces) != 0:
        raise Unsupported("namespaces are refused here: " + os.strerror(ctypes.get_errno()))


def _first_process(body, directory):
    status = 1
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        _unshare(_CLONE_NEWNS | _CLONE_NEWIPC | _CLONE_NEWNET)
        os.setsid()  # a terminal's ^C comes by way of the parent alone
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _raise_stopped)
        _furnish(directory)
        status = body(pathlib.Path(directory))
    except Stopped as stopped:
        print(f"chaos: {stopped}", file=sys.stderr)
        status = 128 + stopped.number
    except Unsupported as reason:
        print(f"chaos: skipped: {reason}", file=sys.stderr)
        status = 77
    except BaseException:  # noqa: B036: nothing may escape into the parent's code
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _furnish(directory):
    try:
        run("mount", "--make-rprivate", "/")
        run("mount", "-t", "proc", "proc", "/proc")
        mount_memory(directory, 256, mode="0711")
        run("ip", "link", "set", "lo", "up")
    except RuntimeError as error:
        raise Unsupported(str(error)) from None


def _raise_stopped(number, _):
    raise Stopped(number)


def run(*command, **options):
    """Runs a command to its end and gives its output; CalledProcessError, with what it said, when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def mount_memory(directory, megabytes, mode="0700", owner=None):
    """A file system of its own, in memory and of bounded size, at that place."""
    os.makedirs(directory, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode={mode}", "chaos", str(directory))
    if owner is not None:
        shutil.chown(directory, owner, owner)


def resize_memory(directory, size):
    """Changes the bound of such a file system, in bytes. False when it holds more than that."""
    return _libc.mount(b"chaos", os.fsencode(directory), b"tmpfs", _MS_REMOUNT, f"size={size}".encode()) == 0


class Bridge:
    """The servers' side of the network: this process's own namespace."""

    NETWORK = "10.77"
    STORE, LOCKS = f"{NETWORK}.0.2", f"{NETWORK}.0.3"

    def __init__(self):
        rule = ("INPUT", "-m", "statistic", "--mode", "random", "--probability", "0.5", "-j", "DROP")
        try:  # what not every kernel has
            run("ip", "link", "add", "br0", "type", "bridge")
            run("iptables", "-A", *rule)
            run("iptables", "-D", *rule)
        except RuntimeError as error:
            raise Unsupported(str(error)) from None
        for address in (self.STORE, self.LOCKS):
            run("ip", "address", "add", f"{address}/16", "dev", "br0")
        run("ip", "link", "set", "br0", "up")


class PodNetwork:
    """A pod's network namespace: a cable to the bridge, and rules that damage it."""

    def __init__(self, index):
        self.address = f"{Bridge.NETWORK}.1.{index}"
        # The namespace lives as long as this process, which does nothing else.
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        ours = os.stat("/proc/self/ns/net").st_ino
        limit = time.monotonic() + 10
        while os.stat(f"/proc/{self._holder.pid}/ns/net").st_ino == ours:
            if time.monotonic() > limit:
                raise Unsupported("no network namespace for a pod")
            time.sleep(0.005)
        pid = self._holder.pid
        run("ip", "link", "add", f"pod{index}", "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        run("ip", "link", "set", f"pod{index}", "master", "br0", "up")
        self.run("ip", "address", "add", f"{self.address}/16", "dev", "eth0")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "link", "set", "eth0", "up")

    def enter(self):
        """The words before a command that make it run in here."""
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", "--"]

    def run(self, *command):
        return run(*self.enter(), *command)

    def rule(self, action, chain, *match):
        """Adds ("-A") or deletes ("-D") a rule that drops packets."""
        self.run("iptables", "-w", "5", action, chain, *match, "-j", "DROP")
