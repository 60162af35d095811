//! Who signed a report (DKIM, RFC 6376), as far as complaints of the signer count.

use crate::config::feedback_loops::Sources;
use crate::dns::{ResolverError, resolver};
use crate::types::{Address, Domain};
use mail_auth::common::crypto::Algorithm;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for the keys of a report.
const DEADLINE: Duration = Duration::from_secs(10);
/// Signatures of one report that are checked: each costs a DNS query.
const SIGNATURES: usize = 4;
/// Claimed signers that the log names for a report from an unknown source.
const CLAIMED: usize = 3;

/// What the signatures of a report say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signed {
    /// A domain whose complaints count has signed it.
    By(Domain),
    /// No such domain has signed it; it claims to be signed by these.
    Unknown(Vec<Domain>),
    /// Not known now: a name server does not answer.
    Later,
}

/// Looks signatures up, by the name servers of the settings, with a cache.
#[derive(Default)]
pub(crate) struct Dkim(Mutex<Option<(Vec<SocketAddr>, MessageAuthenticator)>>);

impl Dkim {
    fn authenticator(&self, servers: &[SocketAddr]) -> Result<MessageAuthenticator, ResolverError> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, ready)) = &*current
            && of == servers
        {
            return Ok(ready.clone());
        }
        let ready = MessageAuthenticator(resolver(servers, |_| ())?);
        *current = Some((servers.to_vec(), ready.clone()));
        Ok(ready)
    }

    /// Who signed this report. Only signatures of domains in `sources` are looked up.
    pub(crate) async fn signer(
        &self,
        servers: &[SocketAddr],
        sources: &Sources,
        report: &[u8],
    ) -> Signed {
        let Some((message, from)) = tokio::task::block_in_place(|| read(sources, report)) else {
            return Signed::Unknown(claimed(report));
        };
        let authenticator = match self.authenticator(servers) {
            Ok(ready) => ready,
            Err(error) => {
                tracing::error!(%error, "the signature of a report cannot be looked up");
                return Signed::Later;
            }
        };
        let Ok(outputs) = tokio::time::timeout(DEADLINE, authenticator.verify_dkim(&message)).await
        else {
            return Signed::Later;
        };
        let mut later = false;
        for output in &outputs {
            match (
                output.result(),
                output
                    .signature()
                    .and_then(|signature| Domain::parse(&signature.d)),
            ) {
                (DkimResult::Pass, Some(domain)) if sources.has_signer(&domain, Some(&from)) => {
                    return Signed::By(domain);
                }
                (DkimResult::TempError(_), _) => later = true,
                _ => {}
            }
        }
        if later {
            Signed::Later
        } else {
            Signed::Unknown(claimed(report))
        }
    }
}

/// The message with its signatures that may count, and its one author; `None` without such a
/// signature or author.
fn read<'a>(sources: &Sources, report: &'a [u8]) -> Option<(AuthenticatedMessage<'a>, Address)> {
    let mut message = AuthenticatedMessage::parse(report)?;
    // A second From could be put above a signed one. Readers would then disagree about the author.
    let authors = message
        .headers
        .iter()
        .filter(|(name, _)| name.trim_ascii().eq_ignore_ascii_case(b"from"))
        .count();
    let [from] = message.from.as_slice() else {
        return None;
    };
    let from = Address::parse(from).filter(|_| authors == 1)?;
    message.dkim_headers.retain(|header| {
        let signature = &header.header;
        let strong = matches!(signature.a, Algorithm::RsaSha256 | Algorithm::Ed25519Sha256);
        let covers = signature
            .h
            .iter()
            .any(|name| name.eq_ignore_ascii_case("from"));
        strong
            && covers
            && Domain::parse(&signature.d)
                .is_some_and(|domain| sources.has_signer(&domain, Some(&from)))
    });
    message.dkim_headers.truncate(SIGNATURES);
    for header in &mut message.dkim_headers {
        // Neither reports about the report (RFC 6651) nor third-party signatures (RFC 6541) are
        // requested.
        (header.header.r, header.header.atps) = (false, None);
    }
    (!message.dkim_headers.is_empty()).then_some((message, from))
}

/// The domains by which a report claims to be signed.
fn claimed(report: &[u8]) -> Vec<Domain> {
    let message = AuthenticatedMessage::parse(report).unwrap_or_default();
    let mut domains: Vec<Domain> = message
        .dkim_headers
        .iter()
        .filter_map(|h| Domain::parse(&h.header.d))
        .collect();
    domains.dedup();
    domains.truncate(CLAIMED);
    domains
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::testing as dns;
    use base64::Engine as _;
    use mail_auth::common::crypto::Ed25519Key;
    use mail_auth::common::headers::HeaderWriter as _;
    use mail_auth::dkim::DkimSigner;

    const REPORT: &str = "From: <fbl@isp.example>\r\nTo: <reports@relay.test>\r\nSubject: complaint\r\n\r\nX-Outgate-Id: TOKEN\r\n";

    struct Signer {
        pkcs8: Vec<u8>,
    }

    impl Signer {
        fn new() -> Self {
            Self {
                pkcs8: Ed25519Key::generate_pkcs8().expect("a key"),
            }
        }

        fn key(&self) -> Ed25519Key {
            Ed25519Key::from_pkcs8_der(&self.pkcs8).expect("a key")
        }

        fn record(&self, name: &str) -> String {
            let public = base64::engine::general_purpose::STANDARD.encode(self.key().public_key());
            format!("{name} TXT v=DKIM1;k=ed25519;p={public}\n")
        }

        fn sign(&self, domain: &str, selector: &str, message: &str) -> String {
            let signer = DkimSigner::from_key(self.key())
                .domain(domain)
                .selector(selector)
                .headers(["From", "Subject"]);
            signer.sign(message.as_bytes()).expect("signed").to_header() + message
        }
    }

    fn domain(text: &str) -> Domain {
        Domain::parse(text).expect("a domain")
    }

    fn sources() -> Sources {
        Sources::new(vec![], vec![], vec![domain("isp.example")])
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn only_a_whole_report_that_a_named_domain_signed_counts() {
        let (isp, mallory) = (Signer::new(), Signer::new());
        let records = isp.record("s1._domainkey.isp.example.")
            + &mallory.record("s1._domainkey.mallory.example.");
        let dns = dns::serve(&records).await;
        let dkim = Dkim::default();
        let ask = async |report: &str| {
            dkim.signer(&[dns.address], &sources(), report.as_bytes())
                .await
        };

        let signed = isp.sign("isp.example", "s1", REPORT);
        assert_eq!(ask(&signed).await, Signed::By(domain("isp.example")));
        assert_eq!(ask(REPORT).await, Signed::Unknown(vec![]));
        let own = mallory.sign("mallory.example", "s1", REPORT);
        assert_eq!(
            ask(&own).await,
            Signed::Unknown(vec![domain("mallory.example")]),
            "told, so that it can be named"
        );
        for (how, forged) in [
            ("another body", signed.replace("TOKEN", "OTHER")),
            (
                "another author",
                signed.replace("<fbl@isp.example>", "<x@isp.example>"),
            ),
            (
                "a second author",
                format!("From: <staff@isp.example>\r\n{signed}"),
            ),
            (
                "no key of the domain",
                mallory.sign("isp.example", "s1", REPORT),
            ),
            ("no such selector", isp.sign("isp.example", "s2", REPORT)),
            (
                "a part of the body",
                signed.replacen("d=isp.example;", "l=0; d=isp.example;", 1),
            ),
        ] {
            assert!(matches!(ask(&forged).await, Signed::Unknown(_)), "{how}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_name_server_that_fails_means_later() {
        let isp = Signer::new();
        let dns = dns::serve("").await;
        let signed = isp.sign("isp.example", "servfail", REPORT);
        let before = dns.questions.load(std::sync::atomic::Ordering::SeqCst);
        let dkim = Dkim::default();
        assert_eq!(
            dkim.signer(&[dns.address], &sources(), signed.as_bytes())
                .await,
            Signed::Later
        );
        assert!(dns.questions.load(std::sync::atomic::Ordering::SeqCst) > before);
        let asked = dns.questions.load(std::sync::atomic::Ordering::SeqCst);
        let other = isp.sign("other.example", "servfail", REPORT);
        assert!(matches!(
            dkim.signer(&[dns.address], &sources(), other.as_bytes())
                .await,
            Signed::Unknown(_)
        ));
        assert_eq!(
            dns.questions.load(std::sync::atomic::Ordering::SeqCst),
            asked,
            "nobody is asked about who is not named"
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
        #[test]
        fn any_report_is_borne(
            tags in "[a-z]{1,2}=[ -~]{0,40}(;[a-z]{1,2}=[ -~]{0,40}){0,8}",
            octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)
        ) {
            let mut report = format!("DKIM-Signature: {tags}\r\nFrom: <fbl@isp.example>\r\n").into_bytes();
            report.extend_from_slice(&octets);
            for end in [report.len(), report.len() / 2] {
                let report = &report[..end];
                let _ = (read(&sources(), report), claimed(report));
            }
        }
    }
}
