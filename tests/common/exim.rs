//! An Exim of its own in a temporary directory, loopback only, that relays everything to us as
//! `docs/upstreams.md` says.

use super::{PATIENCE, free_port, until};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(crate) struct Exim {
    pub smtp: SocketAddr,
    child: Child,
    dir: tempfile::TempDir,
}

/// The snippet for Exim in the documentation, with the relay's address put in.
fn snippet(relay: SocketAddr) -> (String, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/upstreams.md");
    let text = std::fs::read_to_string(path).expect("the documentation");
    let (_, exim) = text.split_once("\n## Exim\n").expect("its chapter on Exim");
    let snippet = exim.split("```").nth(1).expect("a snippet");
    let snippet = snippet
        .replace("192.0.2.20", "127.0.0.1")
        .replace("port = 2525", &format!("port = {}", relay.port()));
    // Both run on one host here.
    let snippet = snippet.replace("  no_more\n", "  no_more\n  self = send\n");
    let snippet = snippet.replace("  driver = smtp\n", "  driver = smtp\n  allow_localhost\n");
    let (routers, transports) = snippet
        .split_once("begin transports")
        .expect("routers and transports");
    (routers.to_owned(), format!("begin transports{transports}"))
}

fn config(program: &str, base: &str, port: u16, relay: SocketAddr) -> String {
    let (routers, transports) = snippet(relay);
    format!(
        "primary_hostname = upstream.test\nexim_path = {program}\nexim_user = Debian-exim\nexim_group = Debian-exim\n\
             spool_directory = {base}/spool\nlog_file_path = {base}/log/%slog\npid_file_path = {base}/pid\nkeep_environment =\n\
             daemon_smtp_ports = {port}\nlocal_interfaces = 127.0.0.1\ntls_advertise_hosts =\nsmtputf8_advertise_hosts = *\n\
             dsn_advertise_hosts = *\nacl_smtp_rcpt = accept\nacl_smtp_data = accept\ndomainlist local_domains = upstream.test\n\
             {routers}\n{transports}\nbegin retry\n* * F,1h,1s\n\nbegin authenticators\nplain:\n  driver = plaintext\n\
             \x20 public_name = PLAIN\n  server_prompts = :\n  server_condition = ${{if eq{{$auth3}}{{secret}}}}\n\
             \x20 server_set_id = $auth2\n"
    )
}

impl Exim {
    /// `None` where Exim (`EXIM4` or `/usr/sbin/exim4`) and its user are not installed or we are
    /// not root.
    pub(crate) fn start(relay: SocketAddr) -> Option<Self> {
        let program = std::env::var("EXIM4").unwrap_or_else(|_| "/usr/sbin/exim4".into());
        let root = Command::new("id").arg("-u").output().ok()?.stdout == b"0\n";
        let user = std::fs::read_to_string("/etc/passwd")
            .ok()?
            .contains("Debian-exim:");
        if !root || !user || !Path::new(&program).exists() {
            eprintln!("skipped: needs root and Exim");
            return None;
        }
        let dir = tempfile::Builder::new()
            .prefix("outgate-exim")
            .tempdir()
            .expect("temporary directory");
        let base = dir.path().to_str().expect("a path");
        let port = free_port();
        for part in ["spool", "log"] {
            std::fs::create_dir(dir.path().join(part)).expect("directory");
        }
        let file = dir.path().join("exim.conf");
        std::fs::write(&file, config(&program, base, port, relay)).expect("configuration");
        let chmod = Command::new("chmod")
            .args(["755", base])
            .status()
            .expect("chmod");
        let chown = Command::new("chown")
            .args([
                "-R",
                "Debian-exim:",
                &format!("{base}/spool"),
                &format!("{base}/log"),
            ])
            .status();
        assert!(chmod.success() && chown.expect("chown").success());
        let child = Command::new(&program)
            .arg("-C")
            .arg(&file)
            .args(["-bdf", "-q1s"])
            .stdin(Stdio::null())
            .spawn()
            .expect("Exim starts");
        let exim = Self {
            smtp: SocketAddr::from(([127, 0, 0, 1], port)),
            child,
            dir,
        };
        until("Exim listening", || {
            std::net::TcpStream::connect(exim.smtp).ok().map(drop)
        });
        Some(exim)
    }

    /// Waits until the log has a line that holds all of `words`; gives it.
    pub(crate) fn wait_log(&self, words: &[&str]) -> String {
        let start = std::time::Instant::now();
        loop {
            let log =
                std::fs::read_to_string(self.dir.path().join("log/mainlog")).unwrap_or_default();
            if let Some(line) = log
                .lines()
                .find(|line| words.iter().all(|w| line.contains(w)))
            {
                return line.to_owned();
            }
            assert!(
                start.elapsed() < PATIENCE,
                "not in Exim's log: {words:?}\n{log}"
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
