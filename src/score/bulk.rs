//! What the header says of bulk mail, and who answers for the message: list fields (RFC 2369, 2919,
//! 8058) and the domains of signatures (RFC 6376) compared with the From domain.
//!
//! Nothing here is verified. Fields may be forged, so they count more against a message than for
//! it. Fields that a receiver wrote (Authentication-Results, Received-SPF) are never read.

use super::dense::Dense;
use super::links::{base_domain, host_and_bare};
use crate::types::Domain;

/// Signatures that are looked at.
const MAX_SIGNATURES: usize = 8;
/// Octets of a field that are looked at.
const MAX_FIELD: usize = 4096;

/// Fields of bulk mail and signatures.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    /// List-Id or List-Post: a list server forwards what another author wrote.
    list: bool,
    /// `Precedence: bulk`, `list` or `junk`.
    precedence: bool,
    /// Where List-Unsubscribe leads; empty if that cannot be read.
    unsubscribe: Option<String>,
    /// It is a web address over TLS.
    secure: bool,
    /// List-Unsubscribe-Post asks for one click.
    one_click: bool,
    /// `d=` of the signatures.
    signers: Vec<String>,
}

impl Bulk {
    /// Takes a field of the header; most are none of these.
    pub(super) fn read(&mut self, name: &[u8], value: &[u8]) {
        let is = |n: &str| name.eq_ignore_ascii_case(n.as_bytes());
        let text = || String::from_utf8_lossy(value.get(..MAX_FIELD).unwrap_or(value)).into_owned();
        match name.len() {
            7 if is("list-id") => self.list = true,
            9 if is("list-post") => self.list = true,
            10 if is("precedence") => {
                self.precedence |= ["bulk", "list", "junk"]
                    .iter()
                    .any(|p| value.eq_ignore_ascii_case(p.as_bytes()));
            }
            14 if is("dkim-signature") && self.signers.len() < MAX_SIGNATURES => {
                self.signers.extend(signer(&text()))
            }
            16 if is("list-unsubscribe") && self.unsubscribe.is_none() => {
                let (host, secure) = unsubscribe(&text());
                (self.unsubscribe, self.secure) = (Some(host), secure);
            }
            21 if is("list-unsubscribe-post") => {
                self.one_click |= value.eq_ignore_ascii_case(b"List-Unsubscribe=One-Click");
            }
            _ => {}
        }
    }

    /// The features for a message from `domain`, at a free mail provider or not.
    pub(super) fn name(&self, domain: &str, free_mail: bool) -> [(Dense, bool); 6] {
        let own = base_domain(domain);
        let leads = self
            .unsubscribe
            .as_deref()
            .filter(|host| !host.is_empty() && !own.is_empty())
            .map(base_domain);
        // Relaxed alignment (RFC 7489 section 3.1.1).
        let elsewhere = !own.is_empty()
            && !self.signers.is_empty()
            && self.signers.iter().all(|d| base_domain(d) != own);
        // A list server adds these fields to letters of other authors: there they say nothing
        // against anybody.
        let alone = !self.list;
        let bulk = self.precedence || self.unsubscribe.is_some();
        [
            (Dense::BulkHeaders, bulk || self.list),
            (
                Dense::UnsubscribeOwn,
                leads.is_some_and(|d| d == own) && !free_mail,
            ),
            (
                Dense::UnsubscribeElsewhere,
                alone && leads.is_some_and(|d| d != own),
            ),
            (Dense::UnsubscribeOneClick, self.one_click && self.secure),
            (Dense::BulkFromFreeMail, alone && bulk && free_mail),
            (Dense::SignedElsewhere, elsewhere),
        ]
    }
}

/// The domain that signed (RFC 6376 section 3.5, tag `d`).
fn signer(field: &str) -> Option<String> {
    let value = field
        .split(';')
        .find_map(|tag| tag.split_once('=').filter(|(name, _)| name.trim() == "d"))?
        .1;
    let value: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    Domain::parse(&value).map(|domain| domain.as_str().to_owned())
}

/// The host of the first address in angle brackets that has one, web before mail (RFC 2369 section
/// 2), and whether it is a web address over TLS.
fn unsubscribe(field: &str) -> (String, bool) {
    let addresses = || {
        let inside = field
            .split('<')
            .skip(1)
            .filter_map(|rest| rest.split_once('>'))
            .take(8);
        inside.map(|(address, _)| {
            address
                .chars()
                .filter(|c| !c.is_whitespace())
                .collect::<String>()
        })
    };
    let web = addresses().find_map(|a| {
        Some((
            host_and_bare(&a)?.0,
            a.get(..8)
                .is_some_and(|s| s.eq_ignore_ascii_case("https://")),
        ))
    });
    let mail = || {
        addresses().find_map(|a| {
            let (scheme, rest) = a.split_once(':')?;
            let domain = rest.split('?').next()?.rsplit_once('@')?.1;
            Some(
                Domain::parse(domain)
                    .filter(|_| scheme.eq_ignore_ascii_case("mailto"))?
                    .as_str()
                    .to_owned(),
            )
        })
    };
    web.unwrap_or_else(|| (mail().unwrap_or_default(), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(header: &str, domain: &str, free_mail: bool) -> Vec<Dense> {
        let mut bulk = Bulk::default();
        for (name, value) in header.split('\n').filter_map(|line| line.split_once(": ")) {
            bulk.read(name.as_bytes(), value.as_bytes());
        }
        bulk.name(domain, free_mail)
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(feature, _)| feature)
            .collect()
    }

    const WEB: &str =
        "List-Unsubscribe: <mailto:leave@other.example>, <https://news.shop.example/leave?u=1>";

    #[test]
    fn where_unsubscribing_leads_is_held_against_the_sender() {
        use Dense::{
            BulkFromFreeMail, BulkHeaders, UnsubscribeElsewhere, UnsubscribeOneClick,
            UnsubscribeOwn,
        };
        let click = format!("{WEB}\nList-Unsubscribe-Post: List-Unsubscribe=One-Click");
        for (header, domain, free, expected) in [
            (
                WEB,
                "shop.example",
                false,
                vec![BulkHeaders, UnsubscribeOwn],
            ),
            (
                &click,
                "mail.shop.example",
                false,
                vec![BulkHeaders, UnsubscribeOwn, UnsubscribeOneClick],
            ),
            (
                WEB,
                "acme.example",
                false,
                vec![BulkHeaders, UnsubscribeElsewhere],
            ),
            (
                WEB,
                "gmail.com",
                true,
                vec![BulkHeaders, UnsubscribeElsewhere, BulkFromFreeMail],
            ),
            (
                "List-Unsubscribe: <mailto:leave@gmail.com>",
                "gmail.com",
                true,
                vec![BulkHeaders, BulkFromFreeMail],
            ),
            (
                "LIST-UNSUBSCRIBE: <MAILTO:leave@Lists.Acme.Example?subject=x>",
                "acme.example",
                false,
                vec![BulkHeaders, UnsubscribeOwn],
            ),
        ] {
            assert_eq!(named(header, domain, free), expected, "{header} {domain}");
        }
    }

    #[test]
    fn other_headers_of_bulk_tell_no_more_than_that() {
        use Dense::BulkHeaders;
        let list = format!("List-Id: <l.example>\n{WEB}");
        for (header, expected) in [
            (list.as_str(), vec![BulkHeaders]),
            ("List-Unsubscribe: by post", vec![BulkHeaders]),
            ("Precedence: Bulk", vec![BulkHeaders]),
            (
                "Precedence: first-class\nList-Unsubscribe-Post: List-Unsubscribe=One-Click",
                vec![],
            ),
        ] {
            assert_eq!(named(header, "acme.example", false), expected, "{header}");
        }
    }

    #[test]
    fn a_signature_of_another_domain_is_named_unless_one_is_the_senders() {
        let foreign = "DKIM-Signature: v=1; a=rsa-sha256; d=other.example;\r\n\ts=x; b=abc=";
        let own = "dkim-signature: v=1; b=d=other; d = mail.ac\r\n me.example ; s=y";
        for (header, domain, elsewhere) in [
            (foreign, "acme.example", true),
            (own, "acme.example", false),
            (&format!("{foreign}\n{own}"), "acme.example", false),
            (foreign, "", false),
            ("DKIM-Signature: v=1", "acme.example", false),
            ("DKIM-Signature: d=a.co.uk", "b.co.uk", true),
            (
                "Authentication-Results: mx; dkim=pass header.d=other.example",
                "acme.example",
                false,
            ),
        ] {
            assert_eq!(
                named(
                    &header.replace("\n\t", "\t").replace("\n m", " m"),
                    domain,
                    false
                )
                .contains(&Dense::SignedElsewhere),
                elsewhere,
                "{header} {domain}"
            );
        }
        let many = format!("{}{own}", format!("{foreign}\n").repeat(1000));
        assert!(
            named(
                &many.replace("\n\t", "\t").replace("\n m", " m"),
                "acme.example",
                false
            )
            .contains(&Dense::SignedElsewhere)
        );
    }
}
