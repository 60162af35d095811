//! SpamAssassin's spamd: `SYMBOLS` of the spamc protocol (version 1.5, `spamd/PROTOCOL` of its
//! source).

use super::{ScannerError, ScannerVerdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Most octets of an answer that are read.
const MAX_ANSWER: u64 = 64 * 1024;

/// Talks to one spamd.
#[derive(Clone)]
pub(super) struct SpamdClient {
    address: String,
}

impl SpamdClient {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
        }
    }

    /// Its verdict on a message. The caller sets the time limit.
    pub(super) async fn check(&self, message: &[u8]) -> Result<ScannerVerdict, ScannerError> {
        read(&self.exchange("SYMBOLS", message).await?)
    }

    /// Whether it answers at all.
    pub(super) async fn ping(&self) -> Result<(), ScannerError> {
        let answer = self.exchange("PING", b"").await?;
        if answer.starts_with(b"SPAMD/") {
            Ok(())
        } else {
            Err(ScannerError::NotSpamd)
        }
    }

    async fn exchange(&self, command: &str, message: &[u8]) -> Result<Vec<u8>, ScannerError> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let head = format!(
            "{command} SPAMC/1.5\r\nContent-length: {}\r\n\r\n",
            message.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(message).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

/// Reads `SPAMD/1.1 0 EX_OK`, the line `Spam: True ; 6.7 / 5.0`, and the rules behind the empty
/// line.
fn read(answer: &[u8]) -> Result<ScannerVerdict, ScannerError> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let mut words = status.split_ascii_whitespace();
    if !words.next().is_some_and(|w| w.starts_with("SPAMD/")) {
        return Err(ScannerError::NoJudgement);
    }
    if words.next() != Some("0") {
        return Err(ScannerError::NotJudged);
    }
    let spam = lines
        .filter_map(|l| l.split_once(':'))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("spam"));
    let figures = spam
        .and_then(|(_, value)| value.split_once(';'))
        .and_then(|(_, figures)| figures.split_once('/'));
    let (score, threshold) = figures.ok_or(ScannerError::NoJudgement)?;
    let number = |text: &str| {
        text.trim()
            .parse::<f64>()
            .ok()
            .filter(|n| n.is_finite())
            .ok_or(ScannerError::NoJudgement)
    };
    let rules = ScannerVerdict::name_rules(body.trim().split(',').map(str::trim));
    Ok(ScannerVerdict {
        score: number(score)?,
        threshold: number(threshold)?,
        rules,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let good = b"SPAMD/1.1 0 EX_OK\r\nContent-length: 20\r\nSpam: True ; 6.7 / 5.0\r\n\r\nADVANCE_FEE,MISSING_TO\r\n";
        let verdict = read(good).unwrap();
        assert_eq!((verdict.score, verdict.threshold), (6.7, 5.0));
        assert_eq!(verdict.rules, ["ADVANCE_FEE", "MISSING_TO"]);
        for bad in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"SPAMD/1.1 0 EX_OK\r\n\r\n",
            b"SPAMD/1.1 0 EX_OK\r\nSpam: True\r\n\r\n",
            b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; nan / 5.0\r\n\r\n",
            b"\xff\xfe\x00",
        ] {
            let text = String::from_utf8_lossy(bad);
            assert!(
                matches!(read(bad), Err(ScannerError::NoJudgement)),
                "{text}"
            );
        }
        assert!(matches!(
            read(b"SPAMD/1.0 76 Bad header line\r\n"),
            Err(ScannerError::NotJudged)
        ));
    }
}
