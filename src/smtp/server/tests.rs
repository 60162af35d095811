//! What no transcript can tell: refusals by the shell in the middle of a message, bounds, and
//! random input.

use super::*;
use proptest::prelude::*;

fn config() -> ServerConfig {
    ServerConfig {
        hostname: "relay.test".into(),
        tls_available: true,
        tls_active: false,
        auth_offered: true,
        auth_required: false,
        trust_xclient: true,
        refusals_are_errors: false,
        message_size_bytes: 5000,
        recipients_per_message: 3,
        messages_per_session: 0,
        line_bytes: 2000,
        errors_per_session: 50,
        idle_commands: 100,
    }
}

/// Octets held in buffers beside the message.
fn buffered(server: &Server) -> usize {
    server.input.len() + server.output.len()
}

/// A shell that says yes to everything; gives the steps that came before the machine wants more.
fn drive(server: &mut Server, log: &mut Vec<String>) {
    loop {
        match server.next() {
            Step::Ask(question) => {
                log.push(format!("{question:?}"));
                server.answer(Answer::Accept);
            }
            Step::StartTls => {
                log.push("tls".into());
                server.tls_started();
                // What a machine in between put in is gone; here the rest of the piece is, too.
            }
            Step::Reset => log.push("reset".into()),
            Step::Read => return,
            Step::Close => {
                log.push("close".into());
                return;
            }
        }
    }
}

fn session(config: ServerConfig) -> Server {
    let mut server = Server::new(config);
    drive(&mut server, &mut Vec::new());
    server
}

/// Feeds, drives, and takes the output.
fn say(server: &mut Server, text: &str) -> String {
    server.feed(text.as_bytes());
    drive(server, &mut Vec::new());
    String::from_utf8(std::mem::take(server.output())).expect("replies are UTF-8")
}

#[test]
fn every_reply_is_counted_and_a_message_refused_here_is_told_of() {
    // Only what the shell had decided was counted: a 552 or the refusal of a bare LF was in no
    // metric and no log.
    let mut server = session(config());
    let greeting: Vec<_> = server.take_said().map(|(code, _)| code).collect();
    assert_eq!(greeting, [220]);
    say(&mut server, TO_DATA);
    let text = say(&mut server, "Subject: x\r\n\r\nbare\nLF\r\n.\r\n");
    let codes: Vec<_> = server
        .take_said()
        .map(|(code, enhanced)| (code, enhanced.map(|e| e.to_string())))
        .collect();
    let last = codes.last().expect("a reply");
    assert_eq!(codes.len(), 5, "EHLO, MAIL, RCPT, DATA, the dot: {codes:?}");
    assert!(
        text.starts_with(&last.0.to_string()) && last.0 == 550,
        "{text}"
    );
    assert_eq!(server.take_refused().map(|r| r.code), Some(550));
    assert_eq!(server.take_refused(), None);
}

const TO_DATA: &str = "EHLO x\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n";

fn last_line(text: &str) -> &str {
    text.trim_end().rsplit("\r\n").next().unwrap_or_default()
}

#[test]
fn a_body_refused_for_memory_is_dropped_and_answered_at_its_end() {
    let mut server = session(config());
    say(&mut server, TO_DATA);
    assert_eq!(server.awaits(), Awaits::Body);
    say(&mut server, "line\r\n");
    assert!(server.body_in_memory() > 0);
    server.refuse_body(Reply::new(452, (4, 3, 1), "Out of memory"));
    assert_eq!(server.body_in_memory(), 0);
    assert_eq!(
        say(&mut server, "more\r\nQUIT\r\n"),
        "",
        "nothing is said before the end"
    );
    assert_eq!(say(&mut server, ".\r\n"), "452 4.3.1 Out of memory\r\n");
    assert_eq!(
        (server.awaits(), server.in_transaction()),
        (Awaits::Command, false)
    );
    assert_eq!(
        server.errors, 0,
        "our want of memory is not the client's error"
    );
}

#[test]
fn chunks_are_refused_for_memory_too() {
    let mut server = session(config());
    say(&mut server, TO_DATA.trim_end_matches("DATA\r\n"));
    say(&mut server, "BDAT 4\r\nab\r\n");
    assert!(server.body_in_memory() > 0, "between chunks as well");
    server.refuse_body(Reply::new(452, (4, 3, 1), "Out of memory"));
    assert_eq!(server.body_in_memory(), 0);
    assert_eq!(say(&mut server, "BDAT 4\r\nab"), "");
    assert_eq!(say(&mut server, "\r\n"), "452 4.3.1 Out of memory\r\n");
    server.refuse_body(Reply::new(452, (4, 3, 1), "Out of memory"));
    assert_eq!(
        say(&mut server, "NOOP\r\n"),
        "250 2.0.0 Ok\r\n",
        "no message: nothing to refuse"
    );
}

#[test]
fn a_chunk_refused_in_its_middle_is_still_read_to_its_end() {
    let mut server = session(config());
    say(&mut server, TO_DATA.trim_end_matches("DATA\r\n"));
    assert_eq!(say(&mut server, "BDAT 8 LAST\r\nab"), "");
    assert!(server.body_in_memory() > 0);
    server.refuse_body(Reply::new(452, (4, 3, 1), "Out of memory"));
    assert_eq!(server.body_in_memory(), 0);
    // The rest of the chunk looks like a command, and is none.
    assert_eq!(say(&mut server, "QUIT\r\n"), "452 4.3.1 Out of memory\r\n");
    assert_eq!(server.awaits(), Awaits::Command);
}

#[test]
fn a_session_put_into_a_log_shows_no_password_and_no_mail() {
    let mut server = session(ServerConfig {
        tls_active: true,
        ..config()
    });
    say(&mut server, "EHLO client.test\r\n");
    server.feed(b"AUTH PLAIN AGFsaWNlAHNlc2FtZQ==");
    let shown = format!("{server:?}");
    assert!(
        shown.contains("client.test") && shown.contains("authenticated: false"),
        "{shown}"
    );
    assert!(
        !shown.contains("AGFsaWNl") && !shown.contains("sesame"),
        "{shown}"
    );
    say(
        &mut server,
        "\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n",
    );
    say(&mut server, "Subject: private matter\r\n");
    let shown = format!("{server:?}");
    assert!(
        shown.contains("awaits: Body") && shown.contains("in_transaction: true"),
        "{shown}"
    );
    assert!(
        !shown.contains("private") && !shown.contains("b.example"),
        "{shown}"
    );
}

#[test]
fn received_names_the_protocol_as_registered() {
    // RFC 3848, and RFC 6531 section 4.3 for the names with UTF8.
    for (tls, login, names) in [
        (false, false, ["ESMTP", "UTF8SMTP"]),
        (true, false, ["ESMTPS", "UTF8SMTPS"]),
        (true, true, ["ESMTPSA", "UTF8SMTPSA"]),
    ] {
        let mut server = session(ServerConfig {
            tls_active: tls,
            ..config()
        });
        say(&mut server, "EHLO x\r\n");
        if login {
            assert_eq!(
                say(&mut server, "AUTH PLAIN AGEAYg==\r\n"),
                "235 2.7.0 Authentication successful\r\n"
            );
        }
        assert_eq!([server.protocol(false), server.protocol(true)], names);
    }
    let mut server = session(config());
    say(&mut server, "HELO x\r\n");
    assert_eq!(server.protocol(false), "SMTP");
}

#[test]
fn a_chunk_announced_too_large_takes_no_memory() {
    let mut server = session(config());
    say(&mut server, TO_DATA.trim_end_matches("DATA\r\n"));
    say(&mut server, "BDAT 4000\r\nab");
    assert!(server.body_in_memory() > 0);
    say(&mut server, &"x\r\n".repeat(1332));
    say(&mut server, "xx");
    say(&mut server, "BDAT 4000 LAST\r\nab");
    assert_eq!(server.body_in_memory(), 0);
}

#[test]
fn a_lost_decision_is_a_temporary_refusal() {
    let mut server = session(config());
    server.feed(b"EHLO x\r\nMAIL FROM:<a@a.example>\r\n");
    assert!(matches!(server.next(), Step::Ask(Question::Mail(_))));
    assert_eq!(server.awaits(), Awaits::Decision);
    assert!(matches!(server.next(), Step::Read));
    let output = String::from_utf8(std::mem::take(server.output())).expect("UTF-8");
    assert_eq!(last_line(&output), "451 4.3.0 Not decided, try again later");
    server.answer(Answer::Accept);
    assert!(!server.in_transaction(), "too late");
}

#[test]
fn no_reply_before_its_command_is_decided() {
    let mut server = session(config());
    server.feed(b"EHLO x\r\nMAIL FROM:<a@a.example>\r\nNOOP\r\n");
    assert!(matches!(server.next(), Step::Ask(Question::Mail(_))));
    assert!(
        !String::from_utf8_lossy(server.output()).contains("2.0.0"),
        "NOOP waits for MAIL"
    );
}

#[test]
fn the_shell_may_end_a_session_at_any_time() {
    let mut server = session(config());
    say(&mut server, TO_DATA);
    server.end(&Reply::new(421, (4, 4, 2), "Timeout"));
    server.end(&Reply::new(421, (4, 4, 2), "Timeout"));
    assert_eq!(server.output().as_slice(), b"421 4.4.2 Timeout\r\n");
    assert!(
        matches!(server.next(), Step::Reset),
        "what was reserved is given back"
    );
    assert!(matches!(server.next(), Step::Close));
    server.feed(b"NOOP\r\n");
    assert_eq!(
        buffered(&server),
        server.output().len(),
        "nothing is kept any more"
    );
}

#[test]
fn received_names_the_protocol() {
    let mut server = Server::new(ServerConfig {
        tls_active: true,
        ..config()
    });
    drive(&mut server, &mut Vec::new());
    say(&mut server, "HELO old.example\r\n");
    assert_eq!(
        (server.protocol(false), server.hello()),
        ("SMTP", Some("old.example"))
    );
    say(&mut server, "EHLO new.example\r\n");
    assert_eq!(
        (server.protocol(false), server.protocol(true)),
        ("ESMTPS", "UTF8SMTPS")
    );
    assert_eq!(
        say(&mut server, "AUTH PLAIN AGEAYg==\r\n"),
        "235 2.7.0 Authentication successful\r\n"
    );
    assert_eq!(
        (server.protocol(false), server.protocol(true)),
        ("ESMTPSA", "UTF8SMTPSA")
    );
}

#[test]
fn a_password_is_never_printed() {
    let mut server = Server::new(ServerConfig {
        tls_active: true,
        ..config()
    });
    let mut log = Vec::new();
    server.feed(b"EHLO x\r\nAUTH PLAIN AGFsaWNlAHNlc2FtZQ==\r\n");
    drive(&mut server, &mut log);
    let log = log.join("\n");
    assert!(log.contains("alice") && !log.contains("sesame"), "{log}");
}

#[test]
fn a_body_without_end_is_cut_off() {
    let mut server = session(config());
    say(&mut server, TO_DATA);
    let block = "x".repeat(1024 * 1024);
    let mut output = String::new();
    for _ in 0..70 {
        output.push_str(&say(&mut server, &block));
        assert!(server.body_in_memory() <= 16 * 1024 && buffered(&server) == 0);
    }
    assert_eq!(output, "554 5.6.0 Message line too long\r\n");
    assert_eq!(server.awaits(), Awaits::Nothing);
}

/// Words a client might say, so that random sessions get somewhere.
fn phrase() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"EHLO x\r\n",
        b"HELO x\r\n",
        b"MAIL FROM:<a@a.example>\r\n",
        b"MAIL FROM:<a@a.example> SIZE=9999\r\n",
        b"RCPT TO:<b@b.example>\r\n",
        b"RCPT TO:<b@b.example> NOTIFY=NEVER\r\n",
        b"DATA\r\n",
        b".\r\n",
        b"..\r\n",
        b"\r\n.\r\n",
        b"\r",
        b"\n",
        b".",
        b"\0",
        b"BDAT 5\r\n",
        b"BDAT 3 LAST\r\n",
        b"BDAT x\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"QUIT\r\n",
        b"AUTH PLAIN\r\n",
        b"AUTH PLAIN AGEAYg==\r\n",
        b"*\r\n",
        b"XCLIENT ADDR=1.2.3.4\r\n",
        b"XFORWARD ADDR=1.2.3.4\r\n",
        b"Subject: x\r\n\r\n",
        b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n",
    ];
    prop_oneof![
        8 => proptest::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 0..3000usize).prop_map(|(octet, n)| vec![octet; n]),
    ]
}

/// Everything that is seen of a session in which `input` comes in these pieces.
fn observe<'a>(tls_active: bool, pieces: impl Iterator<Item = &'a [u8]>) -> (String, Vec<String>) {
    // No STARTTLS: a cut behind it decides what is under TLS and what is not.
    let mut server = Server::new(ServerConfig {
        tls_available: false,
        tls_active,
        ..config()
    });
    let mut log = Vec::new();
    drive(&mut server, &mut log);
    let mut output = std::mem::take(server.output());
    for piece in pieces {
        server.feed(piece);
        drive(&mut server, &mut log);
        output.append(server.output());
        assert!(
            buffered(&server) <= crate::smtp::grammar::AUTH_LINE_OCTETS,
            "{}",
            buffered(&server)
        );
        assert!(server.body_in_memory() <= 16 * 1024);
    }
    log.dedup_by(|a, b| a == "close" && b == "close");
    (String::from_utf8(output).expect("replies are UTF-8"), log)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_change_nothing(
        phrases in proptest::collection::vec(phrase(), 0..40),
        tls in any::<bool>(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let input = phrases.concat();
        let whole = observe(tls, std::iter::once(input.as_slice()));
        let mut places: Vec<usize> = cuts.iter().map(|c| c.index(input.len() + 1)).chain([0, input.len()]).collect();
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|w| &input[w[0]..w[1]]).collect();
        prop_assert_eq!(&observe(tls, pieces.into_iter()), &whole);
        prop_assert_eq!(&observe(tls, input.chunks(1)), &whole);
    }

    #[test]
    fn any_octets_are_borne(input in proptest::collection::vec(any::<u8>(), 0..5000), piece in 1..600usize) {
        observe(false, input.chunks(piece));
    }

    #[test]
    fn replies_are_whole_lines(phrases in proptest::collection::vec(phrase(), 0..60)) {
        let (output, _) = observe(true, std::iter::once(phrases.concat().as_slice()));
        for line in output.split_inclusive("\r\n") {
            prop_assert!(line.ends_with("\r\n") && line.len() <= 512, "{line:?}");
            prop_assert!(line.as_bytes()[..3].iter().all(u8::is_ascii_digit) && b" -".contains(&line.as_bytes()[3]), "{line:?}");
        }
    }
}
