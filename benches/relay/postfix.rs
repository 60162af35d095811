//! Postfix from the system on the same load: an instance of its own, all of it in one directory, as
//! a null filter: it takes mail from loopback and hands it on. It neither scores nor judges.

use crate::outgate::{free_port, wait_for_listener};
use crate::process;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

const POSTFIX: &str = "/usr/sbin/postfix";
const DAEMONS: &str = "/usr/lib/postfix/sbin";

/// A running instance.
pub(crate) struct Postfix {
    config: PathBuf,
    pid: u32,
    /// Where it takes mail.
    pub smtp: SocketAddr,
}

/// Why Postfix cannot take part, if it cannot.
pub(crate) fn missing() -> Option<&'static str> {
    let root = fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .any(|l| l.starts_with("Uid:\t0\t"));
    if !Path::new(POSTFIX).exists() || !Path::new(DAEMONS).exists() {
        Some("Postfix is not installed (Debian: apt install postfix)")
    } else if !root {
        Some("an instance of Postfix of our own needs root")
    } else {
        None
    }
}

impl Postfix {
    /// Starts it in `dir`, with everything it delivers going to `sink`; for so many sessions at
    /// once.
    pub(crate) async fn start(
        dir: &Path,
        sink: SocketAddr,
        sessions: usize,
    ) -> Result<Self, String> {
        let smtp = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let config = dir.join("etc");
        prepare(dir, &config, smtp, sink, sessions)
            .map_err(|e| format!("Postfix cannot be set up: {e}"))?;
        run(&config, "start").await?;
        wait_for_listener(smtp, Duration::from_secs(20)).await?;
        let pid = fs::read_to_string(dir.join("queue/pid/master.pid")).unwrap_or_default();
        let pid = pid
            .trim()
            .parse()
            .map_err(|_| "Postfix left no process id")?;
        Ok(Self { config, pid, smtp })
    }

    /// CPU time so far, of all its processes.
    pub(crate) fn cpu(&self) -> Duration {
        process::cpu(self.pid)
    }

    /// Memory of all its processes now.
    pub(crate) fn memory(&self) -> u64 {
        process::family_memory(self.pid)
    }

    /// Ends it.
    pub(crate) async fn stop(self) -> Result<(), String> {
        run(&self.config, "stop").await
    }
}

async fn run(config: &Path, command: &str) -> Result<(), String> {
    let status = Command::new(POSTFIX)
        .arg("-c")
        .arg(config)
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .map_err(|e| format!("postfix {command}: {e}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("postfix {command} failed: {status}"))
    }
}

fn prepare(
    dir: &Path,
    config: &Path,
    smtp: SocketAddr,
    sink: SocketAddr,
    sessions: usize,
) -> std::io::Result<()> {
    // Its daemons run as another user and must get in.
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    for sub in ["etc", "queue", "data", "log"] {
        fs::create_dir_all(dir.join(sub))?;
    }
    let owner = std::process::Command::new("chown")
        .arg("postfix")
        .arg(dir.join("data"))
        .status()?;
    if !owner.success() {
        return Err(std::io::Error::other("there is no user postfix"));
    }
    let shown = dir.display();
    // Debian's own limits; a session needs a process, so many sessions need a higher one.
    let processes = sessions.max(80) + 50;
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {shown}/queue\ndata_directory = {shown}/data\n\
         command_directory = /usr/sbin\ndaemon_directory = {DAEMONS}\nmail_owner = postfix\nsetgid_group = postdrop\n\
         myhostname = postfix.bench.example\nmyorigin = postfix.bench.example\nmydestination =\nlocal_recipient_maps =\n\
         alias_maps =\nalias_database =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\n\
         relayhost = [{}]:{}\nsmtpd_relay_restrictions = permit_mynetworks, reject\nsmtp_tls_security_level = none\n\
         smtpd_tls_security_level = none\ndefault_process_limit = {processes}\n\
         maillog_file = {shown}/log/maillog\nmaillog_file_prefixes = {shown}/log\n",
        sink.ip(),
        sink.port()
    );
    fs::write(config.join("main.cf"), main)?;
    let port = smtp.port();
    // It logs through its own daemon, so that the cost of the log is counted as it is for us.
    let mut master =
        format!("127.0.0.1:{port} inet n - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd\n");
    for (name, private, wakeup, limit, daemon) in [
        ("cleanup", "n", "-", "0", "cleanup"),
        ("qmgr", "n", "300", "1", "qmgr"),
        ("rewrite", "-", "-", "-", "trivial-rewrite"),
        ("bounce", "-", "-", "0", "bounce"),
        ("defer", "-", "-", "0", "bounce"),
        ("trace", "-", "-", "0", "bounce"),
        ("verify", "-", "-", "1", "verify"),
        ("proxymap", "-", "-", "-", "proxymap"),
        ("smtp", "-", "-", "-", "smtp"),
        ("relay", "-", "-", "-", "smtp"),
        ("error", "-", "-", "-", "error"),
        ("retry", "-", "-", "-", "error"),
        ("discard", "-", "-", "-", "discard"),
        ("anvil", "-", "-", "1", "anvil"),
        ("scache", "-", "-", "1", "scache"),
        ("tlsmgr", "-", "1000?", "1", "tlsmgr"),
    ] {
        master.push_str(&format!(
            "{name} unix {private} - n {wakeup} {limit} {daemon}\n"
        ));
    }
    fs::write(config.join("master.cf"), master)
}
