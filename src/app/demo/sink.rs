//! The sink of the demo: takes mail, refuses invented users, shows what came.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A message that arrived.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    pub recipients: Vec<String>,
    pub text: String,
}

/// Takes mail on this socket until it is dropped.
pub(super) async fn run(socket: TcpListener, arrived: mpsc::UnboundedSender<Arrived>) {
    while let Ok((stream, _)) = socket.accept().await {
        let arrived = arrived.clone();
        tokio::spawn(async move {
            // The relay may close whenever it likes.
            let _ = serve(stream, &arrived).await;
        });
    }
}

async fn serve(stream: TcpStream, arrived: &mpsc::UnboundedSender<Arrived>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 sink.demo ESMTP\r\n").await?;
    let mut recipients = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb: String = line
            .chars()
            .take(4)
            .collect::<String>()
            .to_ascii_uppercase();
        let reply: &[u8] = match verb.as_str() {
            "EHLO" => b"250-sink.demo\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n",
            "RCPT" if line.contains("nobody") => b"550 5.1.1 No such user\r\n",
            "RCPT" => {
                let address = line.split(['<', '>']).nth(1).unwrap_or_default();
                recipients.push(address.to_owned());
                b"250 2.1.5 Ok\r\n"
            }
            "DATA" if recipients.is_empty() => b"554 5.5.1 No valid recipients\r\n",
            "DATA" => {
                stream.write_all(b"354 Go ahead\r\n").await?;
                let text = read_message(&mut stream).await?;
                // Nobody may be listening any more: the demo is over.
                let _ = arrived.send(Arrived {
                    recipients: std::mem::take(&mut recipients),
                    text,
                });
                b"250 2.0.0 Ok\r\n"
            }
            "QUIT" => {
                stream.write_all(b"221 2.0.0 Bye\r\n").await?;
                return Ok(());
            }
            _ => {
                if verb == "MAIL" || verb == "RSET" {
                    recipients.clear();
                }
                b"250 2.0.0 Ok\r\n"
            }
        };
        stream.write_all(reply).await?;
    }
}

async fn read_message(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut text = String::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(text);
        }
        let unstuffed = line.strip_prefix(b".").unwrap_or(&line);
        text.push_str(&String::from_utf8_lossy(unstuffed));
    }
}
