//! `outgate send`: a test message through the relay, with everything that is said on the wire.

use super::{ConfigFile, Failure};
use crate::config::Settings;
use crate::config::settings::{ListenerKind, TlsMode};
use crate::delivery::tls::{Tls, server_name};
use crate::types::{Address, ReversePath};
use clap::Args;
use mail_builder::MessageBuilder;
use mail_send::smtp::message::Message;
use mail_send::{Credentials, SmtpClient};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use transcript::{Recorded, Transcript};

mod transcript;

/// Longest wait for one reply.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most octets of a password.
const PASSWORD_OCTETS: u64 = 4096;
/// The port of SMTP in TLS from the first octet (RFC 8314).
const IMPLICIT_TLS_PORT: u16 = 465;

/// Arguments of `outgate send`.
#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// Recipient; may be given more than once. The first that is refused ends it.
    #[arg(long, required = true, value_name = "ADDRESS")]
    to: Vec<String>,
    /// Envelope sender, and the From of the test message; "" = the null sender.
    #[arg(long, value_name = "ADDRESS")]
    from: String,
    /// Where to send [default: the first relay listener of the configuration].
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    /// Log in as this user; wants --tls, or a loopback address.
    #[arg(long, value_name = "USER", requires = "password_stdin")]
    auth: Option<String>,
    /// Read the password from standard input.
    #[arg(long, requires = "auth")]
    password_stdin: bool,
    /// Encrypt: from the first octet on port 465, else by STARTTLS. The certificate must be valid,
    /// except at a loopback address.
    #[arg(long)]
    tls: bool,
    /// Subject of the test message.
    #[arg(
        long,
        default_value = "Test of the outbound relay",
        conflicts_with = "file"
    )]
    subject: String,
    /// Send this message instead.
    #[arg(long, value_name = "MESSAGE")]
    file: Option<PathBuf>,
    /// Where the configuration is.
    #[command(flatten)]
    config: ConfigFile,
}

/// What is to be sent, and where.
struct SendJob {
    host: String,
    port: u16,
    from: String,
    to: Vec<String>,
    message: Vec<u8>,
    login: Option<Credentials<String>>,
    tls: Option<TlsMode>,
}

/// Sends the message. `Ok`: whether the relay took it.
pub(super) async fn run<W: Write + Unpin>(
    args: &SendArgs,
    load: super::LoadSettings,
    password: impl Read,
    out: W,
) -> Result<bool, Failure> {
    let job = SendJob::new(args, load, password)?;
    let failed = |error: &dyn std::fmt::Display| {
        Failure::Failed(format!("{}:{}: {error}", job.host, job.port))
    };
    let stream = tokio::time::timeout(PATIENCE, TcpStream::connect((job.host.as_str(), job.port)))
        .await
        .map_err(|e| failed(&e))?
        .map_err(|e| failed(&e))?;
    match job.converse(stream, Transcript::new(out)).await {
        Ok(()) => Ok(true),
        Err(mail_send::Error::UnexpectedReply(_) | mail_send::Error::AuthenticationFailed(_)) => {
            Ok(false)
        }
        Err(error) => Err(failed(&error)),
    }
}

/// The address of the first relay listener, as this machine reaches it.
fn first_relay_listener(settings: &Settings) -> Option<(String, u16)> {
    let mut listeners = settings.listeners.iter();
    let bind = listeners.find(|l| l.kind == ListenerKind::Relay)?.bind;
    let ip = match bind.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (bind.port() != 0).then(|| (ip.to_string(), bind.port()))
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip().to_string(), address.port()));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (!host.is_empty() && !host.contains(':')).then(|| (host.to_owned(), port))
}

fn address(text: &str) -> Result<Address, Failure> {
    Address::parse(text).ok_or_else(|| Failure::Usage(format!("{text:?} is no mail address")))
}

fn read_password(from: impl Read) -> Result<String, Failure> {
    let mut password = String::new();
    from.take(PASSWORD_OCTETS)
        .read_to_string(&mut password)
        .map_err(|e| Failure::Failed(format!("the password cannot be read: {e}")))?;
    Ok(password.trim_end_matches(['\r', '\n']).to_owned())
}

/// The file with CRLF at the end of its lines, without the last one: the end of the message brings
/// it.
fn read_message(path: &Path) -> Result<Vec<u8>, Failure> {
    let text =
        std::fs::read(path).map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))?;
    let mut message = Vec::with_capacity(text.len() + text.len() / 32);
    for line in text.split_inclusive(|b| *b == b'\n') {
        let end = line.strip_suffix(b"\n");
        let line = end.map_or(line, |l| l.strip_suffix(b"\r").unwrap_or(l));
        message.extend_from_slice(line);
        if end.is_some() {
            message.extend_from_slice(b"\r\n");
        }
    }
    Ok(without_last_line_end(message))
}

fn without_last_line_end(mut message: Vec<u8>) -> Vec<u8> {
    if message.ends_with(b"\r\n") {
        message.truncate(message.len() - 2);
    }
    message
}

fn test_message(from: &str, to: &[String], subject: &str) -> Result<Vec<u8>, Failure> {
    let from = if from.is_empty() {
        "postmaster@localhost"
    } else {
        from
    };
    MessageBuilder::new()
        .from(from)
        .to(to.iter().map(String::as_str).collect::<Vec<_>>())
        .subject(subject)
        .text_body("A test message of outgate send.\r\n")
        .write_to_vec()
        .map(without_last_line_end)
        .map_err(|e| Failure::Failed(e.to_string()))
}

impl SendJob {
    fn new(
        args: &SendArgs,
        load: super::LoadSettings,
        password: impl Read,
    ) -> Result<Self, Failure> {
        let (host, port) = match &args.server {
            Some(text) => host_and_port(text)
                .ok_or_else(|| Failure::Usage(format!("{text:?} is no HOST:PORT")))?,
            None => {
                let settings = load(args.config.config.as_deref())?;
                first_relay_listener(&settings).ok_or_else(|| {
                    Failure::Usage("no relay listener has a port: name it with --server".into())
                })?
            }
        };
        let from = match args.from.as_str() {
            "" => ReversePath(None),
            text => ReversePath(Some(address(text)?)),
        };
        let from = from.as_str().to_owned();
        let to: Vec<String> = args
            .to
            .iter()
            .map(|text| address(text).map(|a| a.as_str().to_owned()))
            .collect::<Result<_, _>>()?;
        let here = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) || host == "localhost";
        if args.auth.is_some() && !args.tls && !here {
            return Err(Failure::Usage(
                "the password would go over the network in the clear: write --tls".into(),
            ));
        }
        let mode = if here {
            TlsMode::Opportunistic
        } else {
            TlsMode::Required
        };
        let login = match &args.auth {
            Some(user) => Some(Credentials::new(user.clone(), read_password(password)?)),
            None => None,
        };
        let message = match &args.file {
            Some(path) => read_message(path)?,
            None => test_message(&from, &to, &args.subject)?,
        };
        Ok(Self {
            tls: args.tls.then_some(mode),
            host,
            port,
            from,
            to,
            message,
            login,
        })
    }

    /// The whole session.
    async fn converse<W: Write + Unpin>(
        &self,
        stream: TcpStream,
        transcript: Transcript<W>,
    ) -> mail_send::Result<()> {
        let own = match stream.local_addr()?.ip() {
            IpAddr::V4(ip) => format!("[{ip}]"),
            IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
        };
        let implicit = self.port == IMPLICIT_TLS_PORT;
        let Some(mode) = self.tls else {
            let mut client = client(Recorded::new(stream, transcript));
            greeting(&mut client).await?;
            return self.send(client, &own).await;
        };
        let mut client = client(Recorded::new(stream, transcript));
        if !implicit {
            greeting(&mut client).await?;
            client.ehlo(&own).await?;
            accepted(client.cmd(b"STARTTLS\r\n").await?)?;
        }
        let (stream, mut transcript) = client.stream.into_parts();
        let encrypted = self.encrypt(stream, mode).await?;
        transcript.note("TLS");
        let mut client = self::client(Recorded::new(encrypted, transcript));
        if implicit {
            greeting(&mut client).await?;
        }
        self.send(client, &own).await
    }

    async fn encrypt(
        &self,
        stream: TcpStream,
        mode: TlsMode,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let name = server_name(&self.host, stream.peer_addr()?.ip());
        let connector = Tls::new().and_then(|tls| tls.connector(mode));
        let connector = connector.map_err(std::io::Error::other)?;
        tokio::time::timeout(PATIENCE, connector.connect(name, stream)).await?
    }

    /// EHLO, AUTH, the message and QUIT.
    async fn send<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut client: SmtpClient<S>,
        own: &str,
    ) -> mail_send::Result<()> {
        let capabilities = client.ehlo(own).await?;
        if let Some(login) = &self.login {
            client.authenticate(login, &capabilities).await?;
        }
        let to: Vec<&str> = self.to.iter().map(String::as_str).collect();
        let message = Message::new(self.from.as_str(), to, self.message.as_slice());
        let sent = client.send(message).await;
        // The relay has answered: how the connection ends is of no consequence.
        let _ = client.quit().await;
        sent.map(drop)
    }
}

fn client<S: AsyncRead + AsyncWrite>(stream: S) -> SmtpClient<S> {
    SmtpClient {
        stream,
        timeout: PATIENCE,
    }
}

fn accepted(reply: smtp_proto::Response<String>) -> mail_send::Result<()> {
    if (200..300).contains(&reply.code) {
        Ok(())
    } else {
        Err(mail_send::Error::UnexpectedReply(reply))
    }
}

async fn greeting<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut SmtpClient<S>,
) -> mail_send::Result<()> {
    let reply = tokio::time::timeout(PATIENCE, client.read())
        .await
        .map_err(|_| mail_send::Error::Timeout)?;
    accepted(reply?)
}
