//! What each corpus may be used for.

/// How much the messages of a corpus teach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TeachingWeight {
    /// In what is learned about named features: regression and trees.
    pub named: f64,
    /// In what is learned about hashed text.
    pub text: f64,
}

/// Where the messages of a corpus come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CorpusOrigin {
    /// People and programs sent them.
    Received,
    /// They were written for training, from sentences with choices.
    Written,
    /// Programs' own templates, filled with drawn values. Each corpus is of one class.
    Rendered,
}

/// Corpora of received mail that train whole.
const RECEIVED: [&str; 6] = [
    "spamassassin",
    "cwl_email_corpus",
    "glitchy_spam_archive",
    "foff_milter_old",
    "bounces",
    "enron_business",
];
/// The corpus that the seed grammar makes.
pub(in crate::lab) const SEED: &str = "seed";
/// Corpora written for training.
const WRITTEN: [&str; 3] = ["authored_scams", "authored_honest", SEED];

/// Corpora of spam that are left out in turn to judge a recipe.
pub(in crate::lab) const JUDGED_SPAM: [&str; 4] = [
    "spamassassin",
    "cwl_email_corpus",
    "glitchy_spam_archive",
    "foff_milter_old",
];
/// Corpora of ham that are left out in turn: those large enough.
pub(in crate::lab) const JUDGED_HAM: [&str; 3] =
    ["spamassassin", "enron_business", "developer_list"];

/// Who sends, to judge what a tenant's own mail teaches: a name, and the corpora of its ham.
pub(crate) type Tenant = (&'static str, &'static [&'static str]);

/// Tenants of several kinds.
pub(in crate::lab) const TENANTS: [Tenant; 5] = [
    ("personal and list mail", &["spamassassin"]),
    ("business people", &["enron_business"]),
    ("developer list", &["developer_list"]),
    (
        "newsletter house",
        &["news_bitcoin", "news_haskell", "news_rust", "news_swift"],
    ),
    (
        "shops",
        &[
            "bagisto_mails",
            "magento_mails",
            "prestashop_mails",
            "shopware_mails",
        ],
    ),
];

/// The rendered mail of applications, a project each.
pub(in crate::lab) fn is_application(name: &str) -> bool {
    name.ends_with("_mails") || name == "html_templates"
}

/// Newsletters that are posted in public.
pub(in crate::lab) fn is_newsletter(name: &str) -> bool {
    name.starts_with("news_")
}

/// What a corpus teaches a shipped model, and where it comes from; `None` if it may only judge.
pub(crate) fn weight(name: &str) -> Option<(TeachingWeight, CorpusOrigin)> {
    let of = |origin, named, text| Some((TeachingWeight { named, text }, origin));
    match name {
        "sefinek_spam" => of(CorpusOrigin::Received, 0.5, 1.0),
        // Without the layout of mail: named features would learn that it lacks.
        "turkish_v01" => of(CorpusOrigin::Received, 0.0, 0.5),
        "sms_uci" | "tg_messages" => of(CorpusOrigin::Received, 0.0, 1.0),
        _ if RECEIVED.contains(&name) => of(CorpusOrigin::Received, 1.0, 1.0),
        _ if WRITTEN.contains(&name) => of(CorpusOrigin::Written, 0.4, 0.4),
        // What the templates of one class have in common would be taken for the class.
        _ if is_application(name) || is_newsletter(name) => of(CorpusOrigin::Rendered, 0.0, 0.3),
        _ => None,
    }
}
