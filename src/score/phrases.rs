//! How phrases of the lexicon are found, and short lists that are valid for any corpus: brands,
//! services, providers.

use super::dense::Dense;
use super::lexicon::LISTS;
use super::text::{chain, word_hash};
use aho_corasick::AhoCorasick;
use std::sync::LazyLock;

/// Longest phrase, in words.
pub(super) const MAX_WORDS: usize = 5;

/// A phrase found: its symbol and its own number.
pub(super) type Hit = (Dense, u16);

/// No phrase has this number.
const FREE: u16 = u16::MAX;

/// Hash of the word chain → phrase, behind small filters that reject nearly every word.
pub(super) struct Phrases {
    /// Open addressing with steps of one: the lower half of the hash and the number of the phrase;
    /// a free place has the number [`FREE`].
    table: Vec<(u32, u16)>,
    symbols: Vec<Dense>,
    filter: Vec<u64>,
    /// The same filter over the last words alone.
    ends: Vec<u64>,
}

impl Phrases {
    const FILTER_BITS: u32 = 16;
    const TABLE_BITS: u32 = 13;

    fn new() -> Self {
        let empty = || vec![0; 1 << (Self::FILTER_BITS - 6)];
        let table = vec![(0, FREE); 1 << Self::TABLE_BITS];
        let mut phrases = Self {
            table,
            symbols: Vec::new(),
            filter: empty(),
            ends: empty(),
        };
        let all = LISTS
            .iter()
            .flat_map(|(symbol, list)| list.split('|').map(|p| (*symbol, p)));
        for (number, (symbol, phrase)) in all.enumerate().take(1 << (Self::TABLE_BITS - 1)) {
            let words: Vec<u64> = cut(phrase)
                .take(MAX_WORDS)
                .map(|word| word_hash(word.as_bytes()))
                .collect();
            let hash = words.iter().fold(0, |hash, word| chain(hash, *word));
            phrases.place(hash, number as u16);
            phrases.symbols.push(symbol);
            for (filter, hash) in [
                (&mut phrases.filter, hash),
                (&mut phrases.ends, words.last().copied().unwrap_or_default()),
            ] {
                if let Some(word) = filter.get_mut(Self::slot(hash)) {
                    *word |= 1 << (hash & 63);
                }
            }
        }
        phrases
    }

    /// Puts a phrase into the table, which is never more than half full.
    fn place(&mut self, hash: u64, number: u16) {
        let mut at = Self::home(hash);
        while let Some(place) = self.table.get_mut(at) {
            if place.1 == FREE || place.0 == hash as u32 {
                *place = (hash as u32, number);
                return;
            }
            at = (at + 1) % (1 << Self::TABLE_BITS);
        }
    }

    const fn home(hash: u64) -> usize {
        (hash >> (64 - Self::TABLE_BITS)) as usize
    }

    const fn slot(hash: u64) -> usize {
        (hash >> (64 - Self::FILTER_BITS + 6)) as usize
    }

    /// How many phrases there are; all their numbers are smaller.
    pub(super) const fn count(&self) -> usize {
        self.symbols.len()
    }

    /// No phrase ends with a word for which this is false.
    #[inline]
    pub(super) fn may_end(&self, word: u64) -> bool {
        self.ends
            .get(Self::slot(word))
            .is_some_and(|w| w >> (word & 63) & 1 == 1)
    }

    /// Which of these chains may be phrases, one bit for each.
    #[inline]
    pub(super) fn possible(&self, chains: &[u64; MAX_WORDS]) -> u32 {
        let bit = |hash: u64| {
            self.filter
                .get(Self::slot(hash))
                .map_or(0, |w| (w >> (hash & 63) & 1) as u32)
        };
        chains
            .iter()
            .rev()
            .fold(0, |bits, hash| bits << 1 | bit(*hash))
    }

    /// The phrase with this chain of words.
    #[inline]
    pub(super) fn find(&self, hash: u64) -> Option<Hit> {
        let mut at = Self::home(hash);
        loop {
            match self.table.get(at)? {
                (_, FREE) => return None,
                (found, number) if *found == hash as u32 => {
                    return self
                        .symbols
                        .get(usize::from(*number))
                        .map(|symbol| (*symbol, *number));
                }
                _ => at = (at + 1) % (1 << Self::TABLE_BITS),
            }
        }
    }
}

/// The words of a phrase, cut and folded as text is.
fn cut(phrase: &str) -> impl Iterator<Item = String> {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '\'' | '$' | '%' | '-');
    phrase
        .split(move |c| !inside(c))
        .filter(|w| !w.is_empty())
        .map(fold_digits)
}

fn fold_digits(word: &str) -> String {
    word.chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect()
}

/// The phrases, built once.
pub(super) static ALL: LazyLock<Phrases> = LazyLock::new(Phrases::new);

/// A brand in a text.
pub(super) struct Brand {
    /// Its place in [`BRANDS`].
    pub number: usize,
    /// Where its name stands.
    pub start: usize,
    pub end: usize,
}

/// All brands named in a lower-case text, also within longer words.
pub(super) fn brands(text: &str) -> impl Iterator<Item = Brand> {
    // Without memory for the patterns nothing could be found; these few patterns always fit.
    static FINDER: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| AhoCorasick::new(BRANDS).ok());
    let found = FINDER
        .as_ref()
        .into_iter()
        .flat_map(move |finder| finder.find_overlapping_iter(text));
    found.map(|m| Brand {
        number: m.pattern().as_usize(),
        start: m.start(),
        end: m.end(),
    })
}

/// Names that senders like to imitate, and the domain label of the real owner.
pub(super) const BRANDS: &[&str] = &[
    "paypal",
    "amazon",
    "microsoft",
    "apple",
    "netflix",
    "dhl",
    "fedex",
    "usps",
    "docusign",
    "facebook",
    "instagram",
    "linkedin",
    "google",
    "costco",
    "walmart",
    "norton",
    "mcafee",
    "coinbase",
    "binance",
    "metamask",
    "americanexpress",
    "wellsfargo",
    "citibank",
    "hsbc",
    "mastercard",
    "dropbox",
    "adobe",
    "spotify",
    "whatsapp",
    "verizon",
    "comcast",
    "xfinity",
    "homedepot",
    "santander",
    "bradesco",
    "ebay",
    "aliexpress",
    "airbnb",
    "dpd",
    "bankofamerica",
    "geeksquad",
    "harborfreight",
    "statefarm",
    "starbucks",
    "tmobile",
    "icloud",
    "office365",
    "outlook",
    "sharepoint",
    "roundcube",
    "zimbra",
    "cpanel",
];

/// Local parts, and pieces of them, that name a function and not a person.
pub(super) const ROLES: &[&str] = &[
    "info",
    "noreply",
    "no",
    "reply",
    "donotreply",
    "support",
    "sales",
    "contact",
    "admin",
    "administrator",
    "postmaster",
    "webmaster",
    "newsletter",
    "news",
    "service",
    "services",
    "customer",
    "customerservice",
    "billing",
    "accounts",
    "office",
    "hello",
    "team",
    "mail",
    "mailer",
    "notification",
    "notifications",
    "notify",
    "alert",
    "alerts",
    "security",
    "help",
    "helpdesk",
    "marketing",
    "offers",
    "promo",
    "root",
    "daemon",
    "cron",
    "nobody",
    "list",
    "lists",
    "owner",
    "bounces",
    "bounce",
];

/// Hosts that only point elsewhere.
pub(super) const SHORTENERS: &[&str] = &[
    "bit.ly",
    "tinyurl.com",
    "t.co",
    "goo.gl",
    "ow.ly",
    "is.gd",
    "buff.ly",
    "cutt.ly",
    "rebrand.ly",
    "rb.gy",
    "shorturl.at",
    "t.ly",
    "tiny.cc",
    "bl.ink",
    "s.id",
    "v.gd",
    "qr.ae",
    "lnkd.in",
    "urlz.fr",
    "t.me",
    "surl.li",
    "soo.gd",
    "x.gd",
    "bit.do",
    "adf.ly",
    "short.gy",
    "u.to",
];

/// Sites where anybody can publish a page for free.
pub(super) const FREE_HOSTING: &[&str] = &[
    "web.app",
    "firebaseapp.com",
    "blogspot.com",
    "r2.dev",
    "github.io",
    "weebly.com",
    "wixsite.com",
    "pages.dev",
    "workers.dev",
    "glitch.me",
    "netlify.app",
    "vercel.app",
    "storage.googleapis.com",
    "s3.amazonaws.com",
    "amazonaws.com",
    "sites.google.com",
    "docs.google.com",
    "forms.gle",
    "forms.office.com",
    "azurewebsites.net",
    "windows.net",
    "cloudfront.net",
    "herokuapp.com",
    "webflow.io",
    "godaddysites.com",
    "square.site",
    "duckdns.org",
    "ngrok.io",
    "ngrok-free.app",
    "ipfs.io",
    "myshopify.com",
    "000webhostapp.com",
    "geocities.com",
    "tripod.com",
    "translate.goog",
    "appspot.com",
    "notion.site",
    "typedream.app",
    "carrd.co",
    "wordpress.com",
    "repl.co",
    "surge.sh",
    "jimdosite.com",
];

/// Top-level domains in which throw-away names are cheap.
pub(super) const CHEAP_TLDS: &[&str] = &[
    "top", "xyz", "shop", "click", "icu", "cyou", "buzz", "rest", "monster", "live", "store",
    "online", "site", "club", "vip", "work", "loan", "win", "bid", "tk", "ml", "ga", "cf", "gq",
    "sbs", "cfd", "quest", "lol", "fun", "space", "website", "link", "biz", "info", "bond",
    "beauty", "autos", "boats", "hair", "makeup", "mom", "skin", "zip", "mov",
];

/// Sites that all kinds of people quote.
pub(super) const WELL_KNOWN: &[&str] = &[
    "github.com",
    "gitlab.com",
    "kernel.org",
    "gnu.org",
    "apache.org",
    "debian.org",
    "python.org",
    "mozilla.org",
    "sourceforge.net",
    "wikipedia.org",
    "wikimedia.org",
    "archive.org",
    "w3.org",
    "ietf.org",
    "stackoverflow.com",
    "arxiv.org",
    "ieee.org",
    "acm.org",
    "nytimes.com",
    "washingtonpost.com",
    "bbc.co.uk",
    "bbc.com",
    "cnn.com",
    "theguardian.com",
    "reuters.com",
    "bloomberg.com",
    "wsj.com",
    "spiegel.de",
    "lemonde.fr",
    "elpais.com",
    "wired.com",
    "slashdot.org",
    "salon.com",
    "zdnet.com",
    "nature.com",
    "openstreetmap.org",
    "zoom.us",
    "webex.com",
    "teams.microsoft.com",
    "meet.google.com",
    "launchpad.net",
    "ubuntu.com",
    "redhat.com",
    "perl.org",
    "php.net",
    "microsoft.com",
    "ibm.com",
    "intel.com",
    "freedesktop.org",
    "nasa.gov",
    "mit.edu",
    "stanford.edu",
    "harvard.edu",
    "berkeley.edu",
];

/// Mail providers where anybody gets an address.
pub(super) const FREE_MAIL: &[&str] = &[
    "gmail.com",
    "hotmail.com",
    "outlook.com",
    "yahoo.com",
    "aol.com",
    "live.com",
    "msn.com",
    "gmx.de",
    "gmx.net",
    "gmx.com",
    "web.de",
    "mail.ru",
    "yandex.ru",
    "yandex.com",
    "proton.me",
    "protonmail.com",
    "icloud.com",
    "zoho.com",
    "mail.com",
    "163.com",
    "126.com",
    "qq.com",
    "aim.com",
    "yahoo.co.uk",
    "yahoo.co.jp",
    "yahoo.fr",
    "hotmail.fr",
    "libero.it",
    "inbox.ru",
    "rediffmail.com",
    "tutanota.com",
    "email.com",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::text::{TextFeatures, TextSegment};

    #[test]
    fn every_phrase_is_found_in_a_text() {
        let mut missed = Vec::new();
        for (symbol, phrase) in LISTS
            .iter()
            .flat_map(|(symbol, list)| list.split('|').map(|p| (*symbol, p)))
        {
            let mut text = TextFeatures::default();
            // German sharp s has no capital that people use.
            let written = if phrase.is_ascii() {
                phrase.to_uppercase()
            } else {
                phrase.to_owned()
            };
            text.read(&format!("so {written} then"), TextSegment::Body, |_| {});
            text.finish();
            if !text.phrases.iter().any(|(found, _)| *found == symbol) {
                missed.push((symbol, phrase));
            }
        }
        assert!(missed.is_empty(), "{missed:?}");
    }

    #[test]
    fn brands_are_single_words_and_are_found_within_others() {
        // Links compare them with labels of hosts, texts with words.
        assert!(BRANDS.iter().all(|b| {
            b.len() > 2
                && b.bytes()
                    .all(|o| o.is_ascii_lowercase() || o.is_ascii_digit())
        }));
        let found: Vec<_> = brands("my-paypal.example, dhl")
            .map(|b| (BRANDS[b.number], b.start, b.end))
            .collect();
        assert_eq!(found, [("paypal", 3, 9), ("dhl", 19, 22)]);
    }
}
