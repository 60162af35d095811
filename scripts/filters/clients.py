"""Asks a filter about messages."""

import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time

import daemons


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Daemon:
    """A daemon of our own; ended with its children when the block ends."""

    def __init__(self, name, directory):
        self.name, self.port = name, free_port()
        os.makedirs(directory, exist_ok=True)
        self.log = open(os.path.join(directory, "output"), "wb")
        script = os.path.join(os.path.dirname(daemons.__file__), "daemons.py")
        command = [sys.executable, script, name, directory, str(self.port)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, start_new_session=True)

    def __enter__(self):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.score(b"Subject: hello\r\n\r\nhello\r\n")
                return self
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.2)
        self.__exit__()
        raise SystemExit(f"{self.name} did not start; see {self.log.name}")

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()

    def score(self, message):
        return {"rspamd": rspamd_score, "spamd": spamd_score}[self.name](self.port, message)

    def cpu_seconds(self):
        """User and system time of the daemon and its children so far."""
        ticks, tree = 0, {self.process.pid}
        stats = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                    stats[int(entry)] = file.read().rpartition(")")[2].split()
            except OSError:
                continue
        while True:
            more = {pid for pid, stat in stats.items() if int(stat[1]) in tree} - tree
            if not more:
                break
            tree |= more
        for pid in tree & stats.keys():
            # utime, stime, and those of children that have ended.
            ticks += sum(int(field) for field in stats[pid][11:15])
        return ticks / os.sysconf("SC_CLK_TCK")


def rspamd_score(port, message):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/checkv2", body=message)
        return float(json.loads(connection.getresponse().read())["score"])
    finally:
        connection.close()


def spamd_score(port, message):
    with socket.create_connection(("127.0.0.1", port), timeout=300) as stream:
        stream.sendall(b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(message) + message)
        stream.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := stream.recv(65536):
            answer += chunk
    for line in answer.decode("ascii", "replace").splitlines():
        if line.lower().startswith("spam:"):
            return float(line.partition(";")[2].partition("/")[0])
    raise ValueError(f"spamd said {answer[:200]!r}")


def outgate_scores(outgate, model, paths):
    """Log-likelihood ratios and microseconds, by path."""
    out = {}
    for start in range(0, len(paths), 500):
        command = [outgate, "score", "--json", *(["--model", model] if model else []), *paths[start : start + 500]]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        for line in done.stdout.splitlines():
            answer = json.loads(line)
            out[answer["path"]] = (answer["llr"], answer["micros"])
    return out


def outgate_stream(outgate, model, lines):
    """Log-likelihood ratio of each line, by what was learned before it. Lines are (label, sender, path)."""
    text = "".join("\t".join(line) + "\n" for line in lines)
    command = [outgate, "score", "--stream", *(["--model", model] if model else [])]
    done = subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE, check=True)
    return [json.loads(line)["llr"] for line in done.stdout.splitlines()]


def bogofilter(database, option, paths):
    """Runs bogofilter over a list of files."""
    os.makedirs(database, exist_ok=True)
    command = ["bogofilter", "-C", "-d", database, *option, "-b"]
    done = subprocess.run(command, input="\n".join(paths).encode() + b"\n", stdout=subprocess.PIPE)
    if done.returncode > 2:
        raise SystemExit(f"bogofilter {option} failed with status {done.returncode}")
    return done.stdout.decode()


def bogofilter_scores(database, paths):
    """Spamicity by path."""
    out = {}
    for start in range(0, len(paths), 1000):
        for line in bogofilter(database, ["-TT"], paths[start : start + 1000]).splitlines():
            path, _, value = line.rpartition(" ")
            out[path] = float(value)
    return out
