//! Whom a refusal blames: the message, our own address, missing authentication, or the recipient's
//! side. The words are those that large receivers and common filters publish or use in their
//! replies. Pure.
//!
//! The difference matters twice: a sender must not be blocked because our address is on a list, and
//! such a list must not excuse a spammer. A site that has not seen the message yet can never blame
//! its content, and can blame its sender only by name.

/// Whom a refusal blames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// The content or links of the message, or its sender by name.
    Sender,
    /// Our address or network, or the reputation of a whole domain: it affects the relay and all
    /// its senders alike.
    Reputation,
    /// SPF, DKIM, DMARC, reverse DNS, HELO: the operators of domain and relay must repair it.
    Authentication,
}

/// Codes that a receiver defines itself, and whom they blame. Lower case, as in the text.
const CODES: &[(&str, Blame)] = &[
    // Yahoo and AOL (postmaster.yahooinc.com/error-codes): TS/TSS are about the address, PH about
    // the content, BL about lists.
    ("[ts0", Blame::Reputation),
    ("[tss", Blame::Reputation),
    ("[ph01]", Blame::Sender),
    ("[bl21]", Blame::Reputation),
    ("[bl23]", Blame::Reputation),
    // Outlook.com (postmaster.live.com): S3140 and S3150 are network blocks, S775 and S77719 are
    // rate limits by reputation.
    ("(s3140)", Blame::Reputation),
    ("(s3150)", Blame::Reputation),
    ("(s775)", Blame::Reputation),
    ("(s77719)", Blame::Reputation),
    // Outlook.com: content filter.
    ("sc-001", Blame::Sender),
    ("sc-002", Blame::Sender),
    ("oldy-", Blame::Sender),
    ("dy-001", Blame::Reputation),
    ("dy-002", Blame::Reputation),
    ("ou-00", Blame::Reputation),
    // iCloud: HM08 and CS01 are its content filter and local policy, HME1 is authentication.
    ("[hm08]", Blame::Sender),
    ("[cs01]", Blame::Sender),
    ("[hme1]", Blame::Authentication),
    // Orange and Laposte: 102 and 103 are lists of addresses, 506 is the content filter, 517 is
    // DMARC.
    ("_102", Blame::Reputation),
    ("_103", Blame::Reputation),
    ("ofr_506", Blame::Sender),
    ("_517", Blame::Authentication),
    // Comcast (postmaster.comcast.net): BL... lists, RL... rate limits by reputation, PTR...
    // reverse DNS.
    ("bl000", Blame::Reputation),
    ("bl001", Blame::Reputation),
    ("rl000", Blame::Reputation),
    ("ptr000", Blame::Authentication),
    // Cox and Spectrum: lists of links, then lists of addresses and their own blocks.
    ("aup#urlbl", Blame::Sender),
    ("aup#ipbl", Blame::Reputation),
    ("aup#cdrbl", Blame::Reputation),
    ("aup#cxbl", Blame::Reputation),
    ("aup#cxdns", Blame::Authentication),
    ("aup#cxsndr", Blame::Authentication),
    ("aup#in-1000", Blame::Reputation),
    ("aup#in-12", Blame::Reputation),
];

/// Words that blame the recipient's account or the form of the message. They contain words of the
/// lists below, so they are checked first.
const NEITHER: &[&str] = &[
    "recipient account is",
    "compte du destinataire",
    "mailbox is blocked",
    "user is blocked",
    "rfc 5322 compliant",
    "not rfc compliant",
    "duplicate header",
];

/// Words for missing or failed proof of the sender.
const AUTHENTICATION: &[&str] = &[
    "spf",
    "dkim",
    "dmarc",
    "unauthenticated",
    "authentication information",
    "authentication check",
    "sender policy framework",
    "reverse dns",
    "rdns",
    "ptr record",
    "ptr resource record",
    "pointer record",
    "reverse hostname",
    "reverse lookup",
    "name lookup failed",
    "cannot find your",
    "bad helo",
    "helo command rejected",
];

/// Words that blame the content or the sender by name, even if the text has words of other lists;
/// lists of links come first.
const SENDER: &[&str] = &[
    "spamhaus dbl",
    "dbl.spamhaus",
    "surbl",
    "uribl",
    "blacklisted url",
    "url in message",
    "url listed",
    "url domains",
    "domains in the message",
    "nature of the content",
    "unsolicited mail. to reduce",
    "likely unsolicited",
    "spam classification",
    "bad outbound sender",
    "bad sender",
    "sender address blocked",
    "sender address blacklisted",
    "sender blacklisted",
    "sender is blacklisted",
    "sender denied as",
    "you are sending spam",
    "message content rejected",
    "content restrictions",
    "security policies",
];

/// Words that blame an address, a network or a domain's reputation.
const REPUTATION: &[&str] = &[
    "reputation",
    "block list",
    "blocklist",
    "blacklist",
    "black list",
    "denylist",
    "blocked using",
    "blocked by zen",
    "dnsbl",
    "rbl",
    "spamhaus",
    "barracudacentral",
    "barracudanetworks",
    "sorbs",
    "spamcop",
    "senderscore",
    "sender score",
    "abuseat",
    "uceprotect",
    "cloudmark",
    "invaluement",
    "mail-abuse",
    "abusix",
    "proofpoint.com/dnsbl",
    "ipcheck.proofpoint",
    "banned sending ip",
    "banned sender",
    "listed at",
    "listed in",
    "listed on",
    "unusual rate",
    "unexpected volume",
    "user complaints",
    "from your ip",
    "your ip address",
    "sender ip",
    "sending ip",
    "blocked ip",
    "frequency limited",
    "source ip",
    "bad ip",
    "mail server ip",
    "ip blocked",
    "ip is blocked",
    "client host",
    "your network",
    "your host",
    "adresse ip",
    "dynamic ip",
    "no access from mail server",
    "permanently deferred",
    "policy violations",
    "reject due to policy",
    "poor sender",
    "suspicious activity",
];

/// Words for a message that counts as spam or worse.
const CONTENT: &[&str] = &[
    "spam",
    "unsolicited",
    "bulk mail",
    "bulk e-mail",
    "junk",
    "abuse",
    "phish",
    "virus",
    "malware",
    "malicious",
    "blocked",
    "content rejected",
    "message content",
    "content filter",
    "banned content",
    "unacceptable content",
    "suspicious content",
    "potential security issue",
    "looks like",
    "not accepted for policy reasons",
    "message filtered",
    "mail rejete",
    "nachricht als spam",
];

/// Whom a refusal blames; `None` = it has another cause. `text` is in lower case. `seen`: the site
/// had received the message before.
pub(super) fn blame(text: &str, seen: bool) -> Option<Blame> {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if let Some((_, blame)) = CODES.iter().find(|(code, _)| text.contains(code)) {
        return Some(*blame);
    }
    if has(NEITHER) {
        return None;
    }
    if has(SENDER) {
        return Some(Blame::Sender);
    }
    // Sites that require authentication often say that they do so against spam.
    if has(AUTHENTICATION) {
        return Some(Blame::Authentication);
    }
    if has(REPUTATION) {
        return Some(Blame::Reputation);
    }
    has(CONTENT).then_some(if seen {
        Blame::Sender
    } else {
        Blame::Reputation
    })
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
