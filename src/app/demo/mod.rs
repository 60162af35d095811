//! `outgate demo`: the same relay with a sink of its own, and a story to watch in a minute.

mod sink;
mod texts;

use super::Relay;
use super::relay::StartError;
use crate::config::{self, Errors, Settings};
use crate::env::SystemClock;
use crate::telemetry;
use mail_send::SmtpClient;
use mail_send::smtp::message::Message;
use metrics_exporter_prometheus::BuildError;
use sink::Arrived;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Nothing in the story takes longer; if it does, the demo says so and fails.
const PATIENCE: Duration = Duration::from_secs(20);
/// The taken-over account is stopped long before so many messages.
const MOST_SPAM: usize = 15;

/// Why the demo ends early. Its machine is to blame, or the relay itself.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Metrics(#[from] BuildError),
    #[error(transparent)]
    Settings(#[from] Errors),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Smtp(#[from] mail_send::Error),
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// The story goes otherwise than told.
    #[error("{0}")]
    Story(&'static str),
    /// The relay answers otherwise than told.
    #[error("{0}: {1}")]
    Reply(&'static str, String),
}

/// Runs the story. Exit status 0 if all went as told.
pub(crate) fn run() -> ExitCode {
    let dir = std::env::temp_dir().join(format!("outgate-demo-{}", std::process::id()));
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(DemoError::from)
        .and_then(|runtime| runtime.block_on(story(&dir)));
    // A leftover directory under the system's temporary files harms nobody.
    let _ = std::fs::remove_dir_all(&dir);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "outgate: the demo failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    // A closed standard output ends the show, not the relay.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// The relay of the demo: as shipped, but with a sink for all mail and a tenant that has been
/// learned already.
fn settings(dir: &Path, sink: SocketAddr) -> Result<Settings, Errors> {
    let text = format!(
        "[server]\nhostname = \"relay.demo\"\ndata_dir = {dir:?}\n\
         [[listener]]\nbind = \"127.0.0.1:0\"\nkind = \"relay\"\n\
         [[client]]\nnetworks = [\"127.0.0.0/8\"]\ntenants = [\"acme\"]\n\
         [[tenant]]\nname = \"acme\"\ndomains = [\"acme.example\"]\nadmins = [\"postmaster@acme.example\"]\n\
         [[route]]\ndomain = \"*\"\nhost = \"{sink}\"\ntls = \"none\"\n\
         [scoring]\nlearning_messages = 0\n\
         [notify]\nfrom = \"outgate@relay.demo\"\noperators = []\n\
         [admin]\nbind = \"127.0.0.1:0\"\n",
    );
    config::parse(&text, "demo", &|_| None).map(|(settings, _)| settings)
}

async fn story(dir: &Path) -> Result<(), DemoError> {
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    let sink = socket.local_addr()?;
    let (sender, mut arrived) = mpsc::unbounded_channel();
    tokio::spawn(sink::run(socket, sender));
    let metrics = telemetry::metrics::install()?;
    let settings = settings(dir, sink)?;
    let relay = Relay::start(settings, Arc::new(SystemClock::new()), metrics).await?;
    let smtp = relay
        .listening
        .smtp
        .first()
        .map(|(_, address)| *address)
        .ok_or(DemoError::Story("no listener"))?;
    say(&format!(
        "The relay listens on {smtp}, its admin page on http://{}/\n",
        relay.listening.admin
    ));

    ordinary_mail(smtp, &mut arrived).await?;
    let reference = takeover(smtp).await?;
    notice(&mut arrived, &reference).await?;
    release(&relay, &reference).await?;
    say("\n5. Alice writes again.");
    deliver(
        smtp,
        "alice@acme.example",
        "bob@partner.example",
        &texts::ordinary(7),
        &mut arrived,
    )
    .await?;
    say("\nThat was all: nobody else was touched, and no mail was lost.");
    relay.drain().await;
    Ok(())
}

async fn ordinary_mail(
    smtp: SocketAddr,
    arrived: &mut mpsc::UnboundedReceiver<Arrived>,
) -> Result<(), DemoError> {
    say("1. An ordinary morning at acme.example.");
    for (index, (from, to)) in texts::MORNING.iter().enumerate() {
        deliver(smtp, from, to, &texts::ordinary(index), arrived).await?;
    }
    Ok(())
}

/// Sends one message and waits until the sink has it.
async fn deliver(
    smtp: SocketAddr,
    from: &str,
    to: &str,
    text: &str,
    arrived: &mut mpsc::UnboundedReceiver<Arrived>,
) -> Result<(), DemoError> {
    let reply = send(smtp, from, &[to.to_owned()], text).await?;
    say(&format!("   {from} -> {to}: {reply}"));
    if !reply.starts_with("250") {
        return Err(DemoError::Reply("ordinary mail was refused", reply));
    }
    wait_for(arrived, |mail| mail.recipients.iter().any(|r| r == to))
        .await
        .map(drop)
}

/// Sends one message as the mail server of acme.example; gives the first refusal, or the reply to
/// the message.
async fn send(
    relay: SocketAddr,
    from: &str,
    to: &[String],
    text: &str,
) -> mail_send::Result<String> {
    let mut client = SmtpClient::connect(relay, PATIENCE).await?;
    client.read().await?;
    client.ehlo("mail.acme.example").await?;
    let message = Message::new(
        from,
        to.iter().map(String::as_str),
        text.replace('\n', "\r\n").into_bytes(),
    );
    let sent = match client.send(message).await {
        Ok(reply) | Err(mail_send::Error::UnexpectedReply(reply)) => reply,
        Err(error) => return Err(error),
    };
    // The relay has answered: how the connection ends is of no consequence.
    let _ = client.quit().await;
    let [class, subject, detail] = sent.esc;
    Ok(format!(
        "{} {class}.{subject}.{detail} {}",
        sent.code, sent.message
    ))
}

async fn wait_for(
    arrived: &mut mpsc::UnboundedReceiver<Arrived>,
    wanted: impl Fn(&Arrived) -> bool,
) -> Result<Arrived, DemoError> {
    tokio::time::timeout(PATIENCE, async {
        while let Some(mail) = arrived.recv().await {
            if wanted(&mail) {
                return Ok(mail);
            }
        }
        Err(DemoError::Story("the sink ended"))
    })
    .await
    .map_err(|_| DemoError::Story("a message did not arrive"))?
}

/// Spam from Alice's account until the relay stops it; gives the reference.
async fn takeover(smtp: SocketAddr) -> Result<String, DemoError> {
    say("\n2. Somebody has got hold of Alice's password and starts a campaign.");
    for count in 1..=MOST_SPAM {
        let to = texts::victims(count);
        let reply = send(smtp, "alice@acme.example", &to, &texts::spam(count)).await?;
        say(&format!(
            "   spam {count} -> {} strangers: {reply}",
            to.len()
        ));
        if reply.starts_with("550 5.1.8") {
            let reference = reply.split(['[', ']']).nth(1).map(str::to_owned);
            return reference.ok_or(DemoError::Reply("no reference in the reply", reply));
        }
    }
    Err(DemoError::Story("the campaign was not stopped"))
}

async fn notice(
    arrived: &mut mpsc::UnboundedReceiver<Arrived>,
    reference: &str,
) -> Result<(), DemoError> {
    say("\n3. The admins are told. This is the mail to postmaster@acme.example:\n");
    let mail = wait_for(arrived, |mail| {
        mail.recipients
            .iter()
            .any(|r| r == "postmaster@acme.example")
    })
    .await?;
    if !mail.text.contains(reference) {
        return Err(DemoError::Story("the notice does not name the block"));
    }
    let parsed = mail_parser::MessageParser::default().parse(mail.text.as_bytes());
    let body = parsed
        .as_ref()
        .and_then(|message| message.body_text(0))
        .unwrap_or_default();
    for line in body.lines() {
        say(&format!("   | {line}"));
    }
    Ok(())
}

async fn release(relay: &Relay, reference: &str) -> Result<(), DemoError> {
    say("\n4. Alice has a new password; the admin releases her:");
    say(&format!(
        "   outgate blocks release {reference} --verdict compromised --reason \"password changed\""
    ));
    let response = reqwest::Client::new()
        .post(format!(
            "http://{}/api/v1/blocks/{reference}/release",
            relay.listening.admin
        ))
        .bearer_auth(&relay.admin_token)
        .json(&serde_json::json!({ "verdict": "compromised", "reason": "password changed" }))
        .send()
        .await?;
    let status = response.status();
    if !status.is_success() {
        return Err(DemoError::Reply(
            "the release was refused",
            status.to_string(),
        ));
    }
    Ok(())
}
