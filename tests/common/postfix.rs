//! A Postfix of its own in a temporary directory, loopback only, that relays everything to us.

use super::{PATIENCE, free_port, until};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

/// The lines of master.cf behind that of the SMTP server.
const SERVICES: &str = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 1 1 qmgr\n\
             tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
             defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
             flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nsmtp unix - - n - - smtp\n\
             relay unix - - n - - smtp\nshowq unix n - n - - showq\nerror unix - - n - - error\nretry unix - - n - - error\n\
             discard unix - - n - - discard\nlocal unix - n n - - local\nanvil unix - - n - 1 anvil\n\
             scache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n";

pub(crate) struct Postfix {
    pub smtp: SocketAddr,
    dir: tempfile::TempDir,
}

/// `relay` is the port of ours.
fn main_cf(base: &str, relay: u16) -> String {
    format!(
        "compatibility_level = 3.6\nmyhostname = upstream.test\nmydestination = localhost.test\nmynetworks = 127.0.0.0/8\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nqueue_directory = {base}/queue\ndata_directory = {base}/data\n\
             relayhost = [127.0.0.1]:{relay}\nmaillog_file = {base}/mail.log\nmaillog_file_prefixes = {base}\n\
             smtpd_sasl_authenticated_header = yes\nsmtpd_authorized_xclient_hosts = 127.0.0.0/8\n\
             smtp_send_xforward_command = yes\nsmtpd_relay_restrictions = permit_mynetworks, reject\nalias_maps =\n\
             alias_database =\nlocal_recipient_maps =\nmultiple_bounce_recipient =\nminimal_backoff_time = 1s\n\
             queue_run_delay = 1s\nsmtp_tls_security_level = none\nmulti_instance_enable = no\n\
             syslog_name = postfix-test\nsmtputf8_enable = yes\nbounce_size_limit = 50000\n\
             transport_maps = inline:{{ {{ acme.example = relay:[127.0.0.1]:{relay} }} }}\n"
    )
}

impl Postfix {
    /// `None` where Postfix is not installed or we are not root: its master process needs both.
    pub(crate) fn start(relay: SocketAddr) -> Option<Self> {
        let root = Command::new("id").arg("-u").output().ok()?.stdout == b"0\n";
        if !root || !Path::new("/usr/sbin/postfix").exists() {
            eprintln!("skipped: needs root and Postfix");
            return None;
        }
        let dir = tempfile::Builder::new()
            .prefix("outgate-postfix")
            .tempdir()
            .expect("temporary directory");
        let base = dir.path().to_str().expect("a path");
        let port = free_port();
        for part in ["etc", "queue", "data"] {
            std::fs::create_dir(dir.path().join(part)).expect("directory");
        }
        let chmod = Command::new("chmod")
            .args(["755", base])
            .status()
            .expect("chmod");
        let chown = Command::new("chown")
            .args(["postfix", &format!("{base}/data")])
            .status()
            .expect("chown");
        assert!(chmod.success() && chown.success());
        std::fs::write(dir.path().join("etc/main.cf"), main_cf(base, relay.port()))
            .expect("main.cf");
        let master = format!("127.0.0.1:{port} inet n - n - - smtpd\n{SERVICES}");
        std::fs::write(dir.path().join("etc/master.cf"), master).expect("master.cf");
        let postfix = Self {
            smtp: SocketAddr::from(([127, 0, 0, 1], port)),
            dir,
        };
        let output = postfix.run("start");
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stderr),
            postfix.log()
        );
        until("Postfix listening", || {
            std::net::TcpStream::connect(postfix.smtp).ok().map(drop)
        });
        Some(postfix)
    }

    fn run(&self, command: &str) -> Output {
        Command::new("/usr/sbin/postfix")
            .arg("-c")
            .arg(self.dir.path().join("etc"))
            .arg(command)
            .output()
            .expect("postfix runs")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("mail.log")).unwrap_or_default()
    }

    /// Waits until the log has a line that holds all of `words`; gives it.
    pub(crate) fn wait_log(&self, words: &[&str]) -> String {
        let start = std::time::Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log
                .lines()
                .find(|line| words.iter().all(|w| line.contains(w)))
            {
                return line.to_owned();
            }
            assert!(
                start.elapsed() < PATIENCE,
                "not in Postfix's log: {words:?}\n{log}"
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = self.run("stop");
    }
}
