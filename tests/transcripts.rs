//! Runs the dialogs of `tests/transcripts/*.smtp` against the server machine: whole, cut in two at
//! every octet, and octet by octet. Each way must give the same replies and the same messages. The
//! form of the files stands in `story`. They run against the real relay as well, there with real
//! sockets.

#![expect(
    clippy::panic,
    reason = "a test fails by panicking; this file is nothing but tests"
)]

mod story;

use outgate::exports::{Answer, Question, Server, ServerConfig, Step};
use outgate::exports::{Enhanced, Reply};
use std::fmt::Write as _;
use std::path::Path;
use story::{Exchange, Story};

/// What the peer and the shell are in this story.
#[derive(Clone)]
struct Settings {
    config: ServerConfig,
    accounts: Vec<(String, String)>,
    /// What was asked (`connect`, `auth alice`, `mail <a@x>`, `rcpt <b@y>`, `message`, `xclient`,
    /// `xforward`) and the reply.
    answers: Vec<(String, Reply)>,
}

impl Settings {
    fn new() -> Self {
        let config = ServerConfig {
            hostname: "relay.test".into(),
            tls_available: false,
            tls_active: false,
            auth_offered: false,
            auth_required: false,
            trust_xclient: false,
            refusals_are_errors: false,
            message_size_bytes: 1_000_000,
            recipients_per_message: 1000,
            messages_per_session: 0,
            line_bytes: 10_000,
            errors_per_session: 20,
            idle_commands: 100,
        };
        Self {
            config,
            accounts: Vec::new(),
            answers: Vec::new(),
        }
    }

    fn set(&mut self, key: &str, value: &str) {
        let c = &mut self.config;
        match key {
            "kind" => {
                c.auth_required = value != "relay";
                c.auth_offered |= c.auth_required;
                c.tls_available |= c.auth_required;
                c.tls_active = value == "submissions";
            }
            "tls" => c.tls_available = true,
            "account" => {
                c.auth_offered = true;
                let (name, password) = value.split_once(' ').expect("account NAME PASSWORD");
                self.accounts.push((name.into(), password.into()));
            }
            "trusted" => c.trust_xclient = true,
            "stranger" => c.refusals_are_errors = true,
            "message_size_bytes" => c.message_size_bytes = value.parse().expect("number"),
            "recipients_per_message" => c.recipients_per_message = value.parse().expect("number"),
            "messages_per_session" => c.messages_per_session = value.parse().expect("number"),
            "line_bytes" => c.line_bytes = value.parse().expect("number"),
            "errors_per_session" => c.errors_per_session = value.parse().expect("number"),
            "idle_commands" => c.idle_commands = value.parse().expect("number"),
            "answer" => {
                let (question, reply) = value.split_once(" -> ").expect("answer QUESTION -> REPLY");
                let (code, text) = reply.split_once(' ').expect("code and text");
                let (enhanced, text) =
                    Enhanced::take(text).map_or((None, text), |(e, text)| (Some(e), text));
                let reply = Reply {
                    code: code.parse().expect("code"),
                    enhanced,
                    lines: vec![text.into()],
                };
                self.answers.push((question.into(), reply));
            }
            other => panic!("unknown setting {other}"),
        }
    }
}

/// The machine with a shell that answers from the story.
struct Session<'a> {
    server: Server,
    settings: &'a Settings,
    messages: Vec<(String, Vec<u8>)>,
    open: bool,
    handshake: bool,
    closed: bool,
}

impl<'a> Session<'a> {
    fn new(settings: &'a Settings) -> Self {
        let server = Server::new(settings.config.clone());
        Self {
            server,
            settings,
            messages: Vec::new(),
            open: false,
            handshake: false,
            closed: false,
        }
    }

    fn send(&mut self, octets: &[u8]) {
        self.server.feed(octets);
        self.run();
    }

    /// Until the machine wants to read.
    fn run(&mut self) {
        loop {
            match self.server.next() {
                Step::Read => return,
                Step::StartTls => {
                    self.handshake = true;
                    return;
                }
                Step::Close => {
                    assert!(!self.open, "closed without a reset of the open transaction");
                    self.closed = true;
                    return;
                }
                Step::Reset => assert!(
                    std::mem::take(&mut self.open),
                    "a reset without a transaction"
                ),
                Step::Ask(question) => {
                    let (mail, message) = (
                        matches!(question, Question::Mail(_)),
                        matches!(question, Question::Message { .. }),
                    );
                    let answer = self.decide(question);
                    self.server.answer(answer);
                    self.open = (self.open || mail && self.server.in_transaction()) && !message;
                }
            }
        }
    }

    fn decide(&mut self, question: Question) -> Answer {
        let name = match question {
            Question::Connect => "connect".into(),
            Question::Auth { user, password, .. } => {
                if !self.settings.accounts.contains(&(user.clone(), password.0)) {
                    return Answer::Reply(Reply::new(
                        535,
                        (5, 7, 8),
                        "Authentication credentials invalid",
                    ));
                }
                format!("auth {user}")
            }
            Question::Mail(mail) => format!("mail <{}>", mail.from),
            Question::Rcpt(recipient) => format!("rcpt <{}>", recipient.address),
            Question::Message { envelope, body } => {
                assert!(!envelope.recipients.is_empty());
                let to: Vec<String> = envelope
                    .recipients
                    .iter()
                    .map(|r| format!("<{}>", r.address))
                    .collect();
                self.messages
                    .push((format!("<{}> {}", envelope.from, to.join(",")), body));
                "message".into()
            }
            Question::Xclient(_) => "xclient".into(),
            Question::Xforward(_) => "xforward".into(),
        };
        match self
            .settings
            .answers
            .iter()
            .find(|(question, _)| *question == name)
        {
            Some((_, reply)) => Answer::Reply(reply.clone()),
            None => Answer::Accept,
        }
    }

    /// Compares what came of an exchange with what the story says.
    fn check(&mut self, exchange: &Exchange) -> Result<(), String> {
        let output = String::from_utf8(std::mem::take(self.server.output()))
            .map_err(|_| "replies are not UTF-8")?;
        let got: Vec<&str> = output.split_terminator("\r\n").collect();
        if !story::are_replies(&got, &exchange.replies)
            || !(output.is_empty() || output.ends_with("\r\n"))
        {
            return Err(format!(
                "replies\n  want {:#?}\n  got {got:#?}",
                exchange.replies
            ));
        }
        let messages = std::mem::take(&mut self.messages);
        if let Some(wanted) = &exchange.messages {
            let show = |(to, body): &(String, Vec<u8>)| {
                format!("{to} {:?}", String::from_utf8_lossy(body))
            };
            let same = messages.len() == wanted.len()
                && messages
                    .iter()
                    .zip(wanted)
                    .all(|((envelope, body), want)| story::is_message(envelope, body, want));
            if !same {
                return Err(format!(
                    "messages\n  want {wanted:#?}\n  got {:#?}",
                    messages.iter().map(show).collect::<Vec<_>>()
                ));
            }
        }
        if (self.handshake, self.closed) != (exchange.handshake, exchange.closed) {
            return Err(format!(
                "(TLS handshake, closed): got {:?}",
                (self.handshake, self.closed)
            ));
        }
        if std::mem::take(&mut self.handshake) {
            self.server.tls_started();
            self.run();
        }
        Ok(())
    }
}

/// How a dialog is cut into writes, beside the pauses it has anyway.
#[derive(Clone, Copy)]
enum Cut {
    Nowhere,
    Everywhere,
    /// Behind so many octets of the whole dialog.
    At(usize),
}

fn play(story: &Story, settings: &Settings, cut: Cut) -> Result<(), String> {
    let mut session = Session::new(settings);
    let mut before = 0;
    session.run();
    for exchange in &story.exchanges {
        let sent = exchange.sent.as_slice();
        let pieces: Vec<&[u8]> = match cut {
            Cut::Everywhere => sent.chunks(1).collect(),
            Cut::At(at) if at > before && at < before + sent.len() => {
                <[_; 2]>::from(sent.split_at(at - before)).to_vec()
            }
            _ => vec![sent],
        };
        before += sent.len();
        for piece in pieces {
            if session.handshake {
                // The cut falls right behind STARTTLS: what follows in plain text breaks the
                // handshake.
                return Ok(());
            }
            session.send(piece);
        }
        session
            .check(exchange)
            .map_err(|error| format!("line {}: {error}", exchange.line))?;
    }
    Ok(())
}

fn run_file(path: &Path) -> Result<(), String> {
    let story = story::parse(&std::fs::read_to_string(path).expect("readable"));
    let mut settings = Settings::new();
    story
        .settings
        .iter()
        .for_each(|(name, value)| settings.set(name, value));
    play(&story, &settings, Cut::Nowhere).map_err(|e| format!("whole: {e}"))?;
    play(&story, &settings, Cut::Everywhere).map_err(|e| format!("octet by octet: {e}"))?;
    let octets: usize = story.exchanges.iter().map(|e| e.sent.len()).sum();
    // Only stories of ten thousands of octets, which are so long for their repetitions, are not cut
    // at every one.
    for at in (1..octets).step_by(octets / 20_000 * 20 + 1) {
        play(&story, &settings, Cut::At(at)).map_err(|e| format!("cut at {at}: {e}"))?;
    }
    Ok(())
}

#[test]
fn every_transcript() {
    let mut report = String::new();
    for path in &story::files() {
        if let Err(error) = run_file(path) {
            let _ = writeln!(
                report,
                "{}: {error}",
                path.file_name().unwrap_or_default().to_string_lossy()
            );
        }
    }
    assert!(report.is_empty(), "\n{report}");
}
