//! What each corpus may be used for.

/// How much the messages of a corpus teach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Weight {
    /// In what is learned about named features: regression and trees.
    pub named: f64,
    /// In what is learned about hashed text.
    pub text: f64,
}

/// Corpora of real mail that may train a shipped model.
const REAL: [&str; 6] = [
    "spamassassin",
    "cwl_email_corpus",
    "glitchy_spam_archive",
    "foff_milter_old",
    "bounces",
    "enron_business",
];
/// Corpora written for training.
const WRITTEN: [&str; 2] = ["authored_scams", "authored_honest"];

/// Corpora of spam that are left out in turn to judge a recipe.
pub(crate) const JUDGED_SPAM: [&str; 4] = [
    "spamassassin",
    "cwl_email_corpus",
    "glitchy_spam_archive",
    "foff_milter_old",
];
/// Corpora of ham that are left out in turn: those large enough.
pub(crate) const JUDGED_HAM: [&str; 3] = ["spamassassin", "enron_business", "developer_list"];

/// Who sends, to judge what a tenant's own mail teaches: a name, and the corpora of its ham.
pub(crate) type Tenant = (&'static str, &'static [&'static str]);

/// Tenants of several kinds.
pub(crate) const TENANTS: [Tenant; 5] = [
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
pub(crate) fn is_application(name: &str) -> bool {
    name.ends_with("_mails") || name == "html_templates"
}

/// Newsletters that are posted in public.
pub(crate) fn is_newsletter(name: &str) -> bool {
    name.starts_with("news_")
}

pub(crate) static OVER: std::sync::Mutex<std::collections::BTreeMap<String, [f64; 2]>> =
    std::sync::Mutex::new(std::collections::BTreeMap::new());
/// What a corpus teaches a shipped model; `None` if it may only judge.
pub(crate) fn weight(name: &str) -> Option<Weight> {
    for (key, [named, text]) in OVER.lock().unwrap().iter() {
        if name == key
            || key == "APP" && is_application(name)
            || key == "NEWS" && is_newsletter(name)
        {
            return (named + text > 0.0).then_some(Weight {
                named: *named,
                text: *text,
            });
        }
    }
    let of = |named, text| Some(Weight { named, text });
    if REAL.contains(&name) {
        of(1.0, 1.0)
    } else if WRITTEN.contains(&name) {
        of(0.4, 0.4)
    } else if is_application(name) || is_newsletter(name) {
        // Corpora of one class: what names they have in common would be taken for the class.
        of(0.0, 0.3)
    } else {
        None
    }
}
