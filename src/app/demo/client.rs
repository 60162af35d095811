//! The mail server of the demo: says one message and gives the reply that ended it.

use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Sends one message; gives the first refusal, or the reply to the dot.
pub(super) async fn send(
    relay: SocketAddr,
    from: &str,
    to: &[String],
    message: &str,
) -> std::io::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(relay).await?);
    reply(&mut stream).await?;
    let mut commands = vec![
        "EHLO mail.acme.example".to_owned(),
        format!("MAIL FROM:<{from}>"),
    ];
    commands.extend(to.iter().map(|address| format!("RCPT TO:<{address}>")));
    commands.push("DATA".to_owned());
    for command in commands {
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await?;
        let answer = reply(&mut stream).await?;
        if answer.starts_with(['4', '5']) {
            return Ok(answer);
        }
    }
    stream
        .write_all(message.replace('\n', "\r\n").as_bytes())
        .await?;
    stream.write_all(b"\r\n.\r\n").await?;
    let answer = reply(&mut stream).await?;
    stream.write_all(b"QUIT\r\n").await?;
    Ok(answer)
}

/// One reply, its lines joined.
async fn reply(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        text.push_str(line.trim_end());
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(text);
        }
        text.push(' ');
    }
}
