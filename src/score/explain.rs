//! Symbols in words, for admins. Never for the sender: a sender who knows the reasons can avoid
//! them.

use super::dense;
use super::features::Source;
use super::finding::Finding;

/// A sentence for a symbol of a score.
pub(crate) fn sentence(symbol: &str) -> String {
    let (name, detail) = symbol.split_once(':').unwrap_or((symbol, ""));
    match name {
        "word" => format!("The word \"{detail}\"."),
        "text_resembles_spam" => "Words and phrases resemble known spam.".into(),
        "text_resembles_ordinary_mail" => "Words and phrases resemble ordinary mail.".into(),
        "like_own_mail" => "Resembles what this tenant sends.".into(),
        "unlike_own_mail" => "Unlike what this tenant sends.".into(),
        "read_in" => match Source::ALL.iter().find(|source| source.name() == detail) {
            Some(source) => format!("The worst of it stands {}.", source.words()),
            None => symbol.into(),
        },
        _ if Finding::ALL.iter().any(|f| f.name() == name) => Finding::ALL
            .iter()
            .find(|f| f.name() == name)
            .map(|f| f.sentence().into())
            .unwrap_or_default(),
        _ => match (
            dense::ALL.iter().find(|f| f.name() == name),
            detail.split_once('>'),
        ) {
            (Some(dense::Dense::LinkTextOtherHost), Some((said, went))) => {
                format!("The text of a link says {said}, the link goes to {went}.")
            }
            (Some(feature), _) => feature.sentence().into(),
            (None, _) => symbol.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_read_as_sentences() {
        assert_eq!(
            sentence("link_text_names_other_host:bank.example>evil.example"),
            "The text of a link says bank.example, the link goes to evil.example."
        );
        assert_eq!(sentence("word:viagra"), "The word \"viagra\".");
        assert_eq!(sentence("something_else"), "something_else");
        assert!(
            Finding::ALL
                .iter()
                .all(|f| sentence(f.name()) == f.sentence() && f.sentence().ends_with('.'))
        );
        assert!(Source::ALL.iter().all(|s| {
            sentence(&format!("read_in:{}", s.name())).ends_with(&format!("{}.", s.words()))
        }));
        assert!(
            dense::ALL
                .iter()
                .all(|f| sentence(f.name()).ends_with('.') && sentence(f.name()) != f.name())
        );
    }
}
