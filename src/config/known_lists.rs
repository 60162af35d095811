//! What a DNS list is: where it is asked, and what its answers mean (RFC 5782). Pure.

use ipnet::Ipv4Net;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The table of known lists, part of the program.
pub(crate) const TABLE: &str = include_str!("../../config/lists.toml");

/// What a list is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asks {
    /// Registrable domains of links.
    LinkDomains,
    /// Addresses that stand in links.
    LinkAddresses,
    /// The address the message was submitted from.
    ClientAddresses,
}

impl Asks {
    /// Names as in the configuration.
    pub const NAMES: [(&'static str, Self); 3] = [
        ("link_domains", Self::LinkDomains),
        ("link_addresses", Self::LinkAddresses),
        ("client_addresses", Self::ClientAddresses),
    ];

    /// Name as in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LinkDomains => "link_domains",
            Self::LinkAddresses => "link_addresses",
            Self::ClientAddresses => "client_addresses",
        }
    }
}

/// How answers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerForm {
    /// Each answer is one of the codes.
    Codes,
    /// The last octet is a mask of the codes' last octets.
    Bits,
}

/// What one answer means.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// The answer; of a mask: the bit.
    pub code: Ipv4Addr,
    pub says: String,
    /// Share of the list's weight, 0-1; 0 = says nothing about outgoing mail.
    #[serde(default = "whole")]
    pub share: f64,
}

const fn whole() -> f64 {
    1.0
}

/// Answers that are a refusal, not a listing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListRefusal {
    pub network: Ipv4Net,
    pub says: String,
}

/// An entry of the table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownList {
    pub title: String,
    /// What stands on it.
    pub lists: String,
    /// What it is asked about.
    pub asks: Vec<Asks>,
    /// Zone; empty where subscribers serve it themselves.
    pub zone: String,
    /// Zone below which a subscription key is put in front.
    #[serde(default)]
    pub zone_with_key: String,
    /// How answers are read.
    pub form: AnswerForm,
    pub codes: Vec<Code>,
    /// Which answers are refusals.
    pub refused: Vec<ListRefusal>,
    /// Nats of a listing.
    pub weight: f64,
    /// A domain or address that is always listed, for tests.
    pub listed_point: String,
    pub terms: String,
    /// Page to look somebody up.
    pub lookup: String,
    /// Page to ask for removal.
    pub removal: String,
}

/// The known lists by name.
pub(crate) fn known() -> BTreeMap<String, KnownList> {
    toml::from_str(TABLE).expect("the table of lists is part of the program and a test reads it")
}

/// One answer set of a list, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ListReading {
    /// Listed: in words, and the share of the weight.
    Listed(String, f64),
    /// Not listed, or only in a way that says nothing about outgoing mail.
    Clear,
    /// The list refuses to answer.
    Refused(String),
    /// No list answers so.
    Nonsense(String),
}

/// Reads the A records of an answer; none = not listed.
pub(crate) fn read(
    form: AnswerForm,
    codes: &[Code],
    refused: &[ListRefusal],
    answers: &[Ipv4Addr],
) -> ListReading {
    for answer in answers {
        if let Some(refusal) = refused.iter().find(|r| r.network.contains(answer)) {
            return ListReading::Refused(refusal.says.clone());
        }
        // RFC 5782 section 2.1: entries lie in 127.0.0.0/8. A resolver that leads everywhere
        // answers with something else.
        if answer.octets().first() != Some(&127) {
            return ListReading::Nonsense(format!("answered {answer}, which no list does"));
        }
    }
    let mut says: Vec<&str> = Vec::new();
    let (mut share, mut unknown) = (0.0_f64, None);
    for answer in answers {
        let mut found = codes
            .iter()
            .filter(|c| matches(form, c, *answer))
            .peekable();
        if found.peek().is_none() {
            unknown = Some(*answer);
        }
        for code in found.filter(|c| c.share > 0.0) {
            share = share.max(code.share);
            if !says.contains(&code.says.as_str()) {
                says.push(&code.says);
            }
        }
    }
    match unknown {
        _ if !says.is_empty() => ListReading::Listed(says.join(", "), share),
        // Without a table of codes any entry is a listing (RFC 5782 section 2.3).
        Some(answer) if codes.is_empty() => ListReading::Listed(answer.to_string(), 1.0),
        Some(answer) => {
            ListReading::Nonsense(format!("answered {answer}, a code that is not known"))
        }
        None => ListReading::Clear,
    }
}

fn matches(form: AnswerForm, code: &Code, answer: Ipv4Addr) -> bool {
    match form {
        AnswerForm::Codes => code.code == answer,
        AnswerForm::Bits => {
            let [.., bit] = code.code.octets();
            let [.., mask] = answer.octets();
            mask & bit != 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(list: &str, answers: &[[u8; 4]]) -> ListReading {
        let list = known().remove(list).expect("known");
        let answers: Vec<Ipv4Addr> = answers.iter().map(|a| Ipv4Addr::from(*a)).collect();
        read(list.form, &list.codes, &list.refused, &answers)
    }

    #[test]
    fn answers_of_the_known_lists() {
        let listed = |says: &str, share| ListReading::Listed(says.into(), share);
        for (list, answers, wanted) in [
            ("uribl", &[[127, 0, 0, 2]][..], listed("black", 1.0)),
            (
                "uribl",
                &[[127, 0, 0, 10]],
                listed("black, red: new and suspicious", 1.0),
            ),
            ("surbl", &[[127, 0, 0, 80]], listed("malware, abuse", 1.0)),
            ("spamhaus_dbl", &[[127, 0, 1, 4]], listed("phishing", 1.0)),
            (
                "spamhaus_dbl",
                &[[127, 0, 1, 103]],
                listed("abused redirector", 0.5),
            ),
            (
                "spamhaus_zen",
                &[[127, 0, 0, 11], [127, 0, 0, 4]],
                listed("XBL, infected machine", 1.0),
            ),
            ("spamhaus_zen", &[[127, 0, 0, 10]], ListReading::Clear),
            ("spamhaus_zen", &[], ListReading::Clear),
        ] {
            assert_eq!(reading(list, answers), wanted, "{list} {answers:?}");
        }
    }

    #[test]
    fn refusals_and_nonsense_are_no_listings() {
        for (list, answers) in [
            ("uribl", [127, 0, 0, 1]),
            ("surbl", [127, 0, 0, 1]),
            ("spamhaus_dbl", [127, 0, 1, 255]),
            ("spamhaus_dbl", [127, 255, 255, 254]),
            ("spamhaus_zen", [127, 255, 255, 252]),
            ("spamhaus_zen", [127, 255, 255, 255]),
            ("spamhaus_zen", [127, 255, 255, 250]),
        ] {
            assert!(
                matches!(reading(list, &[answers]), ListReading::Refused(_)),
                "{list} {answers:?}"
            );
        }
        for (list, answers) in [
            ("surbl", [198, 51, 100, 7]),
            ("spamhaus_zen", [127, 0, 0, 77]),
            ("spamhaus_dbl", [127, 0, 0, 2]),
        ] {
            assert!(
                matches!(reading(list, &[answers]), ListReading::Nonsense(_)),
                "{list} {answers:?}"
            );
        }
        // A refusal among listings is still one.
        assert!(matches!(
            reading("uribl", &[[127, 0, 0, 2], [127, 0, 0, 1]]),
            ListReading::Refused(_)
        ));
    }

    #[test]
    fn a_list_without_codes_lists_by_any_entry() {
        assert_eq!(
            read(AnswerForm::Codes, &[], &[], &[Ipv4Addr::new(127, 0, 0, 9)]),
            ListReading::Listed("127.0.0.9".into(), 1.0)
        );
    }

    #[test]
    fn every_entry_of_the_table_can_be_used() {
        for (name, list) in known() {
            assert!(
                list.weight > 0.0 && list.weight <= 20.0 && !list.terms.is_empty(),
                "{name}"
            );
            assert!(
                list.lookup.starts_with("https://") && list.removal.starts_with("https://"),
                "{name}"
            );
            assert!(
                list.asks.is_empty() || !list.listed_point.is_empty(),
                "{name}"
            );
            assert!(
                list.codes.iter().all(|c| (0.0..=1.0).contains(&c.share)),
                "{name}"
            );
        }
    }
}
