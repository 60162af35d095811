//! The real binary with a sink, for end-to-end tests. Everything waits on events with a deadline,
//! nothing sleeps.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its own part of this"
)]
#![allow(
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "a test fails by panicking and may say why; this folder is nothing but tests"
)]

pub(crate) mod client;
pub(crate) mod corpus;
pub(crate) mod dns;
pub(crate) mod exim;
pub(crate) mod mail;
pub(crate) mod postfix;
pub(crate) mod scanner;
pub(crate) mod sink;
pub(crate) mod tls;

pub(crate) use client::Client;
pub(crate) use sink::Sink;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Nothing that works takes longer, even on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A running `outgate serve`.
pub(crate) struct Relay {
    child: Child,
    pub dir: tempfile::TempDir,
    pub smtp: SocketAddr,
    pub admin: SocketAddr,
    pub addresses: Vec<(String, SocketAddr)>,
}

/// A configuration that suits most tests: one tenant, loopback client, everything routed to the
/// sink.
pub(crate) fn config(data_dir: &Path, sink: SocketAddr, extra: &str) -> String {
    format!(
        r#"
[server]
hostname = "relay.test"
data_dir = {data_dir:?}
[[listener]]
bind = "127.0.0.1:0"
kind = "relay"
[[client]]
networks = ["127.0.0.0/8", "::1/128"]
tenants = ["acme"]
trust_xclient = true
trust_received = true
identity_headers = ["X-Authenticated-Sender"]
[[tenant]]
name = "acme"
domains = ["acme.example"]
admins = ["postmaster@acme.example"]
time_zone = "Europe/Berlin"
[[route]]
domain = "*"
host = "{sink}"
tls = "none"
[notify]
from = "outgate@relay.test"
operators = ["noc@relay.test"]
[admin]
bind = "127.0.0.1:0"
{extra}
"#
    )
}

impl Relay {
    /// Starts with [`config`] and `extra` behind it.
    pub(crate) fn start(sink: &Sink, extra: &str) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let text = config(&dir.path().join("data"), sink.address, extra);
        std::fs::write(dir.path().join("outgate.toml"), text).expect("config written");
        Self::start_in(dir)
    }

    /// Starts with the config that lies in `dir`.
    pub(crate) fn start_in(dir: tempfile::TempDir) -> Self {
        let config = dir.path().join("outgate.toml");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.path().join("log"))
            .expect("log file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_outgate"))
            .env("OUTGATE_FAULT", dir.path().join("fault"))
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let mut addresses = Vec::new();
        loop {
            let Some(Ok(line)) = lines.next() else {
                let log = std::fs::read_to_string(dir.path().join("log")).unwrap_or_default();
                panic!("the relay ended before it was ready:\n{log}");
            };
            if let Some(rest) = line.strip_prefix("listening kind=") {
                let (kind, address) = rest.split_once(" address=").expect("kind and address");
                addresses.push((kind.to_owned(), address.parse().expect("an address")));
            }
            if line.starts_with("Admin page") {
                break;
            }
        }
        let find = |kind: &str| addresses.iter().find(|(k, _)| k == kind).map(|(_, a)| *a);
        let admin = find("admin").expect("an admin address");
        let smtp = find("relay")
            .or(find("submission"))
            .or(find("submissions"))
            .expect("a listener");
        Self {
            child,
            dir,
            smtp,
            admin,
            addresses,
        }
    }

    pub(crate) fn address(&self, kind: &str) -> SocketAddr {
        self.addresses
            .iter()
            .find(|(k, _)| k == kind)
            .map(|(_, a)| *a)
            .expect("that listener")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn token(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("data/admin.token"))
            .expect("token")
            .trim()
            .to_owned()
    }

    /// A plain HTTP request with the operator's token; status and body.
    pub(crate) fn http(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        http(
            self.admin,
            method,
            path,
            &format!("Authorization: Bearer {}\r\n", self.token()),
            body,
        )
    }

    pub(crate) fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.http("GET", path, "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Runs the CLI against this relay; exit status, standard output, standard error.
    pub(crate) fn cli(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_outgate"))
            .args(arguments)
            .env("OUTGATE_URL", format!("http://{}", self.admin))
            .env("OUTGATE_TOKEN", self.token())
            .output()
            .expect("the CLI runs");
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    /// Makes an account of tenant `acme` that may send mail, while the relay runs.
    pub(crate) fn add_account(&self, name: &str, password: &str, may_send_as: &[&str]) {
        let config = self.dir.path().join("outgate.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_outgate"));
        command
            .args([
                "account",
                "add",
                name,
                "--role",
                "smtp",
                "--tenant",
                "acme",
                "--password-stdin",
                "--config",
            ])
            .arg(config);
        for entry in may_send_as {
            command.args(["--may-send-as", entry]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the CLI runs");
        child
            .stdin
            .take()
            .expect("stdin")
            .write_all(password.as_bytes())
            .expect("password");
        let output = child.wait_with_output().expect("the CLI ends");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status()
            .expect("kill");
        assert!(status.success());
    }

    /// Waits for the end of the process; its exit status.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("wait").code()
    }

    /// Has the part of that name panic at its next step (debug builds only).
    pub(crate) fn strike(&self, part: &str) {
        std::fs::write(self.dir.path().join("fault"), part).expect("fault written");
    }

    /// After its end: starts again on the same data, without the fault.
    pub(crate) fn heal(mut self) -> Self {
        let dir = std::mem::replace(
            &mut self.dir,
            tempfile::tempdir().expect("temporary directory"),
        );
        std::fs::remove_file(dir.path().join("fault")).expect("there was a fault");
        Self::start_in(dir)
    }

    /// kill -9, then start again on the same data.
    pub(crate) fn crash_and_restart(mut self) -> Self {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
        let dir = std::mem::replace(
            &mut self.dir,
            tempfile::tempdir().expect("temporary directory"),
        );
        Self::start_in(dir)
    }

    /// SIGTERM, wait, start again on the same data.
    pub(crate) fn restart(mut self) -> Self {
        self.signal("TERM");
        assert_eq!(self.wait(), Some(0));
        let dir = std::mem::replace(
            &mut self.dir,
            tempfile::tempdir().expect("temporary directory"),
        );
        Self::start_in(dir)
    }

    /// Asks until the condition holds.
    pub(crate) fn until<T>(&self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        until(what, || ask(self))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the relay ---\n{}", self.log());
        }
    }
}

/// Polls a condition that has no event to wait for (state behind the HTTP API).
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// One HTTP/1.1 request; status and body.
pub(crate) fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String) {
    let (status, _, body) = http_full(address, method, path, headers, body);
    (status, body)
}

/// One HTTP/1.1 request; status, header section and body.
pub(crate) fn http_full(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).expect("HTTP connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let content_type = if headers.to_ascii_lowercase().contains("content-type:") {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{content_type}Content-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
    .expect("request");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("response");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("a header section");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .expect("a status");
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    (
        status,
        head.to_owned(),
        if chunked {
            unchunk(body)
        } else {
            body.to_owned()
        },
    )
}

fn unchunk(body: &str) -> String {
    let mut out = String::new();
    let mut rest = body;
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        out.push_str(&tail[..size]);
        rest = tail[size..].trim_start_matches("\r\n");
    }
    out
}

/// A port of loopback for a program that cannot be told to take any. Those that the kernel hands
/// out by itself are left alone: some other socket might get it between this look and the program's
/// own.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let range =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let end = range
        .split_whitespace()
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(32_768u16);
    let from = (end / 2).max(1025);
    let count = end.saturating_sub(from).max(1);
    // Tests of other processes begin elsewhere.
    let start = u16::try_from(std::process::id() % 1000)
        .unwrap_or_default()
        .wrapping_mul(16);
    (0..count)
        .map(|_| from + start.wrapping_add(NEXT.fetch_add(1, Ordering::SeqCst)) % count)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .or_else(|| {
            TcpListener::bind("127.0.0.1:0")
                .and_then(|l| l.local_addr())
                .ok()
                .map(|a| a.port())
        })
        .expect("a free port")
}

pub(crate) fn path(relay: &Relay, name: &str) -> PathBuf {
    relay.dir.path().join(name)
}
