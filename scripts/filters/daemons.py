#!/usr/bin/env python3
"""Debian's rspamd and spamd on loopback, on a configuration of their own, with local rules only.

As a program: `daemons.py rspamd|spamd DIRECTORY PORT` writes the configuration and becomes the daemon."""

import os
import shutil
import sys

# Modules of rspamd that ask the network or a Redis.
NETWORK_MODULES = """antivirus arc asn bimi clickhouse dcc dkim dkim_signing dmarc elastic external_services fuzzy_check
greylist hfilter history_redis metadata_exporter metric_exporter mx_check neural p0f ratelimit rbl redis replies
reputation rspamd_update spf surbl url_redirector""".split()


def write(directory, name, text):
    path = os.path.join(directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def rspamd(directory, port):
    """The command that runs rspamd in the foreground."""
    for name in ("db", "log", "run"):
        os.makedirs(os.path.join(directory, name), exist_ok=True)
    conf = os.path.join(directory, "conf")
    for name in NETWORK_MODULES:
        write(conf, f"override.d/{name}.conf", "enabled = false;\n")
    for name in ("controller", "proxy", "fuzzy"):
        write(conf, f"override.d/worker-{name}.inc", "enabled = false;\n")
    write(conf, "override.d/worker-normal.inc", f'bind_socket = "127.0.0.1:{port}";\ncount = 1;\n')
    socket = os.path.join(directory, "run", "control.sock")
    # Port 9 (discard): maps that would be fetched stay those that came with the package.
    write(
        conf,
        "override.d/options.inc",
        f'dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }}\ncontrol_socket = "{socket} mode=0600";\n',
    )
    variables = {"DBDIR": "db", "RUNDIR": "run", "LOGDIR": "log", "LOCAL_CONFDIR": "conf"}
    places = [f"--var={name}={os.path.join(directory, place)}" for name, place in variables.items()]
    # --insecure: as root it would otherwise insist on a user of its own.
    return ["rspamd", "-f", "-i", "-c", "/etc/rspamd/rspamd.conf", *places]


def spamd(directory, port):
    """The command that runs spamd in the foreground."""
    site, home = os.path.join(directory, "site"), os.path.join(directory, "home")
    os.makedirs(home, exist_ok=True)
    os.makedirs(site, exist_ok=True)
    for name in os.listdir("/etc/spamassassin"):
        if name.endswith(".pre"):
            shutil.copy(os.path.join("/etc/spamassassin", name), site)
    write(site, "local.cf", "use_bayes 0\ndns_available no\n")
    program = shutil.which("spamd") or "/usr/sbin/spamd"
    limits = ["--local", "--nouser-config", "--max-children=1", "--min-children=1", "--max-spare=1", "--min-spare=1"]
    places = [f"--siteconfigpath={site}", "--configpath=/usr/share/spamassassin", f"--helper-home-dir={home}"]
    return [program, *limits, "--listen=127.0.0.1", f"--port={port}", *places, "--syslog=stderr"]


def present(name):
    """Whether it is installed."""
    return bool(shutil.which(name) or os.path.exists(f"/usr/sbin/{name}"))


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("rspamd", "spamd"):
        sys.exit(__doc__)
    command = {"rspamd": rspamd, "spamd": spamd}[sys.argv[1]](os.path.abspath(sys.argv[2]), int(sys.argv[3]))
    os.execvp(command[0], command)
