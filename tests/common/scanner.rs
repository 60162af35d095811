//! Debian's rspamd or spamd of its own in a temporary directory, loopback only, local rules only.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Both read thousands of rules before they listen; on a loaded machine that takes its time.
const START: Duration = Duration::from_secs(240);

pub(crate) struct Scanner {
    pub address: SocketAddr,
    child: Child,
    dir: tempfile::TempDir,
}

impl Scanner {
    /// `rspamd` or `spamd`; `None` where it, or Python, is not installed.
    pub(crate) fn start(name: &str) -> Option<Self> {
        let installed = |program: &str| {
            ["/usr/bin", "/usr/sbin"]
                .iter()
                .any(|dir| Path::new(dir).join(program).exists())
        };
        if !installed(name) || !installed("python3") {
            eprintln!("skipped: {name} is not installed");
            return None;
        }
        let dir = tempfile::Builder::new()
            .prefix("outgate-scanner")
            .tempdir()
            .expect("temporary directory");
        // Children of spamd are another user.
        let chmod = Command::new("chmod")
            .arg("755")
            .arg(dir.path())
            .status()
            .expect("chmod");
        assert!(chmod.success());
        let port = super::free_port();
        let log = std::fs::File::create(dir.path().join("output")).expect("log");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/filters/daemons.py");
        let child = Command::new("python3")
            .arg(script)
            .arg(name)
            .arg(dir.path())
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log)
            .spawn()
            .expect("it starts");
        let mut scanner = Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            child,
            dir,
        };
        let started = Instant::now();
        while TcpStream::connect(scanner.address).is_err() {
            let ended = scanner.child.try_wait().expect("wait");
            assert!(
                ended.is_none() && started.elapsed() < START,
                "{name} does not listen:\n{}",
                scanner.log()
            );
            std::thread::yield_now();
        }
        Some(scanner)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Scanner {
    fn drop(&mut self) {
        // Its own signal, so that it ends its children too.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}
