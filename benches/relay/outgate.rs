//! The relay under test: the release binary with a configuration of its own in a directory of its
//! own.

use crate::process;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// A running relay.
pub(crate) struct Outgate {
    child: Child,
    pid: u32,
    /// Where it takes mail.
    pub smtp: SocketAddr,
    admin: SocketAddr,
    log: PathBuf,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16, String> {
    let listener =
        std::net::TcpListener::bind("127.0.0.1:0").map_err(|e| format!("no free port: {e}"))?;
    listener
        .local_addr()
        .map(|a| a.port())
        .map_err(|e| e.to_string())
}

/// Waits until something listens there.
pub(crate) async fn wait_for_listener(address: SocketAddr, within: Duration) -> Result<(), String> {
    let try_again = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(within, try_again)
        .await
        .map_err(|_| format!("nothing listens on {address} after {within:?}"))
}

impl Outgate {
    /// Starts it in `dir`, with everything it delivers going to `sink`.
    pub(crate) async fn start(dir: &Path, sink: SocketAddr) -> Result<Self, String> {
        let smtp = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let file = dir.join("outgate.toml");
        std::fs::write(&file, config(dir, smtp, admin, sink)).map_err(|e| e.to_string())?;
        let log = dir.join("log");
        let stderr = std::fs::File::create(&log).map_err(|e| e.to_string())?;
        let stdout = stderr.try_clone().map_err(|e| e.to_string())?;
        let child = Command::new(env!("CARGO_BIN_EXE_outgate"))
            .args(["serve", "--config"])
            .arg(&file)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("outgate cannot start: {e}"))?;
        let pid = child.id().ok_or("outgate ended at once")?;
        let mut relay = Self {
            child,
            pid,
            smtp,
            admin,
            log,
        };
        tokio::select! {
            listening = wait_for_listener(smtp, Duration::from_secs(20)) => listening.map_err(|e| relay.with_log(&e))?,
            status = relay.child.wait() => return Err(relay.with_log(&format!("outgate serve ended at once: {status:?}"))),
        }
        Ok(relay)
    }

    /// A message with the end of the relay's log.
    pub(crate) fn with_log(&self, message: &str) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(5).collect();
        format!(
            "{message}\n{}",
            tail.into_iter().rev().collect::<Vec<_>>().join("\n")
        )
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Duration {
        process::cpu(self.pid)
    }

    /// Peak memory in octets.
    pub(crate) fn peak_memory(&self) -> u64 {
        process::peak_memory(self.pid)
    }

    /// How often the spool was synced, from `/metrics`.
    pub(crate) async fn syncs(&self) -> Result<u64, String> {
        let text = get(self.admin, "/metrics")
            .await
            .map_err(|e| format!("/metrics cannot be read: {e}"))?;
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix("outgate_spool_sync_seconds_count "));
        Ok(line
            .and_then(|n| n.trim().parse::<f64>().ok())
            .map_or(0, |n| n as u64))
    }

    /// Ends it as an operator would.
    pub(crate) async fn stop(mut self) -> Result<(), String> {
        let pid = self.pid.to_string();
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .map_err(|e| e.to_string())?;
        if tokio::time::timeout(Duration::from_secs(40), self.child.wait())
            .await
            .is_err()
        {
            self.child.kill().await.map_err(|e| e.to_string())?;
            return Err("outgate did not end within 40 s of SIGTERM".into());
        }
        Ok(())
    }
}

async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )
        .await?;
    let mut text = Vec::new();
    stream.take(16 << 20).read_to_end(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Scoring, judging and syncing as in the defaults; only the ceilings are off, since no thousand
/// people write so much.
fn config(dir: &Path, smtp: SocketAddr, admin: SocketAddr, sink: SocketAddr) -> String {
    format!(
        r#"
[server]
hostname = "relay.bench.example"
data_dir = "{}"
[[listener]]
bind = "{smtp}"
kind = "relay"
[limits]
sessions_per_address = 10000
[[client]]
networks = ["127.0.0.0/8"]
tenants = ["bench"]
trust_received = true
[[tenant]]
name = "bench"
domains = ["bench.example"]
[[route]]
domain = "*"
host = "{sink}"
tls = "none"
[policy.default]
recipients_external_per_hour = 0
recipients_internal_per_hour = 0
recipients_per_day = 0
[admin]
bind = "{admin}"
"#,
        dir.join("data").display()
    )
}
