//! rspamd's `/checkv2`: the message in a POST, the judgement in JSON.

use super::super::CheckedMessage;
use super::{ScannerError, ScannerVerdict};
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;

/// Most octets of an answer that are read.
const MAX_ANSWER: usize = 1 << 20;
/// Longest exchange, whatever the caller's patience.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// rspamd names the score at which it rejects; from this share of it on it adds a spam header (6 of
/// 15 by default).
const SPAM_SHARE: f64 = 0.4;

/// Talks to one rspamd.
#[derive(Clone)]
pub(super) struct RspamdClient {
    http: reqwest::Client,
    url: String,
}

/// What of its answer is read.
#[derive(Debug, Deserialize)]
struct RspamdReply {
    #[serde(default)]
    is_skipped: bool,
    score: f64,
    required_score: f64,
    #[serde(default)]
    symbols: HashMap<String, Symbol>,
}

#[derive(Debug, Deserialize)]
struct Symbol {
    #[serde(default)]
    score: f64,
}

impl RspamdClient {
    pub(super) fn new(url: &str) -> Result<Self, ScannerError> {
        let http = reqwest::Client::builder()
            .timeout(TIME_LIMIT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(ScannerError::NoClient)?;
        Ok(Self {
            http,
            url: url.to_owned(),
        })
    }

    /// Its verdict on a message.
    pub(super) async fn check(
        &self,
        message: CheckedMessage<'_>,
    ) -> Result<ScannerVerdict, ScannerError> {
        self.check_raw(
            message.body,
            Some((message.from.as_str(), message.client.to_string())),
        )
        .await
    }

    /// Its verdict on these octets; envelope sender and client address where they are known.
    pub(super) async fn check_raw(
        &self,
        body: &[u8],
        envelope: Option<(&str, String)>,
    ) -> Result<ScannerVerdict, ScannerError> {
        let mut request = self
            .http
            .post(format!("{}/checkv2", self.url))
            .body(body.to_vec());
        if let Some((from, client)) = envelope {
            request = request.header("IP", client);
            // An address that is no header value is left out.
            if let Ok(from) = reqwest::header::HeaderValue::from_str(from) {
                request = request.header("From", from);
            }
        }
        read(&bounded(send(request).await?).await?)
    }

    /// Whether it answers at all.
    pub(super) async fn ping(&self) -> Result<(), ScannerError> {
        send(self.http.get(format!("{}/ping", self.url)))
            .await
            .map(drop)
    }
}

fn lost(error: reqwest::Error) -> ScannerError {
    if error.is_timeout() {
        ScannerError::Late
    } else {
        std::io::Error::other(error).into()
    }
}

/// The answer, if it is a success.
async fn send(request: reqwest::RequestBuilder) -> Result<reqwest::Response, ScannerError> {
    let answer = request.send().await.map_err(lost)?;
    if answer.status().is_success() {
        Ok(answer)
    } else {
        Err(ScannerError::Status(answer.status().as_u16()))
    }
}

/// The body, unless it is too long.
async fn bounded(mut answer: reqwest::Response) -> Result<Vec<u8>, ScannerError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(lost)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            return Err(ScannerError::TooLong);
        }
    }
    Ok(body)
}

fn read(body: &[u8]) -> Result<ScannerVerdict, ScannerError> {
    let reply: RspamdReply = serde_json::from_slice(body).map_err(|_| ScannerError::NoJudgement)?;
    if reply.is_skipped {
        return Err(ScannerError::Skipped);
    }
    let mut rules: Vec<(&str, f64)> = reply
        .symbols
        .iter()
        .map(|(name, s)| (name.as_str(), s.score))
        .filter(|(_, score)| *score > 0.0)
        .collect();
    rules.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    let rules = ScannerVerdict::name_rules(rules.into_iter().map(|(name, _)| name));
    Ok(ScannerVerdict {
        score: reply.score,
        threshold: reply.required_score * SPAM_SHARE,
        rules,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let good = br#"{"is_skipped":false,"score":9.5,"required_score":15.0,"action":"add header","symbols":
            {"A":{"name":"A","score":2.0},"B":{"score":5.5,"options":["x"]},"C":{"score":-1.0},"D":{}},"urls":[]}"#;
        let verdict = read(good).unwrap();
        assert_eq!(
            (verdict.score, verdict.threshold, verdict.rules),
            (9.5, 6.0, vec!["B".to_owned(), "A".to_owned()])
        );
        for bad in [
            &b"{}"[..],
            b"",
            b"<html>",
            br#"{"score":"x","required_score":15}"#,
            br#"{"score":1e999,"required_score":15}"#,
        ] {
            let text = String::from_utf8_lossy(bad);
            assert!(
                matches!(read(bad), Err(ScannerError::NoJudgement)),
                "{text}"
            );
        }
        assert!(matches!(
            read(br#"{"is_skipped":true,"score":0,"required_score":0}"#),
            Err(ScannerError::Skipped)
        ));
        let deep = "[".repeat(1_000_000);
        assert!(read(deep.as_bytes()).is_err());
    }
}
