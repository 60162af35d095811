//! The named features: what headers, page, words and characters say.

use super::attached::Attachments;
use super::{Extractor, SCARCE, Shown, letter, lines, set};
use crate::score::dense::{self, Dense, Direction};
use crate::score::headers::Headers;
use crate::score::links::base_domain;
use crate::score::phrases::{self, ROLES};
use crate::score::text::{Cut, SEGMENT_WORDS};
use std::sync::LazyLock;

/// How much the strongest stretch decides about lures, against the whole text. With this value 150
/// good words after a spam hide little, while the score of long letters hardly changes.
const LURE_STRETCH: f32 = 0.7;
/// How much the weakest stretch decides about everyday words.
const EVERYDAY_STRETCH: f32 = 0.8;

impl Extractor {
    pub(super) fn name_headers(&mut self, headers: &Headers) {
        let flags = [
            (Dense::NameIsOtherAddress, headers.name_is_other_address),
            (Dense::NameImitatesBrand, headers.name_imitates_brand),
            (Dense::ReplyElsewhere, headers.reply_elsewhere),
            (Dense::ReplyFreeMail, headers.reply_free_mail),
            (Dense::SenderRandom, headers.sender_random),
            (
                Dense::FakeReply,
                headers.subject_is_reply && !headers.answers,
            ),
            (Dense::AnswersMessage, headers.answers),
            (
                Dense::NoRecipientShown,
                headers.hides_recipients && headers.recipients == 0,
            ),
            (
                Dense::SeveralRecipients,
                (2..=20).contains(&headers.recipients),
            ),
            (Dense::SubjectCapitals, headers.subject_in_capitals),
            (Dense::SubjectShouts, headers.subject_shouts),
        ];
        self.raise(&flags);
        self.raise(
            &headers
                .bulk
                .name(&headers.from_domain, headers.sender_free_mail),
        );
    }

    /// How sender and recipient relate to each other and to the text.
    pub(super) fn name_correspondents(&mut self, headers: &Headers) {
        let head = self.gathered.trim_start();
        let head = head
            .get(..head.floor_char_boundary(160))
            .unwrap_or_default()
            .to_lowercase();
        let (to_name, to) = (&headers.to.0, headers.to.1.as_str());
        let to_local = to.split('@').next().unwrap_or_default();
        let subject = headers.subject.to_lowercase();
        let greeted = name_pieces(to_name, to)
            .iter()
            .any(|piece| lines::words(&head).any(|word| word == piece));
        // A name that can be read out of the address is no sign of acquaintance.
        let address = to.len() >= 6 && (head.contains(to) || subject.contains(to));
        let local = to_local.len() >= 5
            && to_local.bytes().any(|b| !b.is_ascii_alphabetic())
            && subject.contains(to_local);
        let domain = to.rsplit('@').next().unwrap_or_default();
        let names_domain = domain.len() >= 6
            && (subject.contains(domain) || head.contains(domain) && !head.contains("wrote"));
        let brand = borrowed_brand(&subject, &head);
        let own = base_domain(&headers.from_domain);
        let borrowed = brand
            .is_some_and(|b| !own.starts_with(b) && self.links.any() && !self.links.belongs_to(b));
        let flags = [
            (Dense::GreetsByName, greeted && !address),
            (Dense::GreetsAddress, address || local || names_domain),
            (Dense::SubjectBorrowsBrand, borrowed),
            (Dense::WritesToItself, headers.writes_to_itself),
            (Dense::RecipientOwnDomain, headers.recipient_own_domain),
            (Dense::SenderFreeMail, headers.sender_free_mail),
            (Dense::SenderCheapTld, headers.sender_cheap_tld),
            (Dense::SenderRole, headers.sender_role),
            (Dense::NameDecorated, headers.name_decorated),
            (Dense::SubjectPictographs, headers.subject_pictographs),
            (Dense::SubjectRandomTail, headers.subject_random),
            (Dense::SubjectEmpty, headers.subject.is_empty()),
        ];
        self.raise(&flags);
    }

    pub(super) fn name_content(&mut self, shown: &Shown, attachments: &Attachments) {
        let scarce = self.text.stats.words < SCARCE && self.main.is_none_or(|main| main.scarce);
        self.raise(&[
            (Dense::OnlyImage, shown.images > 0 && scarce),
            (Dense::ScarceText, scarce),
            (Dense::AttachOnly, attachments.any && scarce),
            (Dense::AttachHtml, attachments.html),
            (Dense::AttachExecutable, attachments.executable),
            (Dense::AttachDoubleExtension, attachments.double_extension),
            (Dense::AttachEncrypted, attachments.encrypted),
            (Dense::AttachArchive, attachments.archive),
            (Dense::AttachDiskImage, attachments.disk_image),
            (Dense::AttachMacros, attachments.macros),
            (Dense::AttachDocument, attachments.document),
            (Dense::AttachWorkFile, attachments.work_file),
            (Dense::AttachPicture, shown.images > 0),
            (Dense::CalendarLure, attachments.calendar_link),
        ]);
    }

    /// How the HTML was written.
    pub(super) fn name_page(&mut self, shown: &Shown) {
        let html = shown.html_octets > 0;
        let words = self.text.stats.words.max(20) as f32;
        self.raise(&[
            (Dense::Form, shown.forms > 0),
            (Dense::ScriptInMail, shown.scripts > 0),
            // A preview line of up to 200 octets is customary and hidden in honest newsletters,
            // too.
            (Dense::HiddenText, shown.hidden > 200),
            (Dense::HtmlOnly, html && !shown.plain),
            (Dense::TrackingPicture, shown.tiny_images > 0),
            (Dense::LinkAroundPicture, shown.picture_links > 0),
        ]);
        let dense = &mut self.dense;
        let ratio = shown.html_octets as f32 / shown.text_octets.max(100) as f32;
        set(
            dense,
            Dense::MuchMarkup,
            if html {
                ((ratio - 6.0) / 30.0).clamp(0.0, 1.0)
            } else {
                0.0
            },
        );
        set(
            dense,
            Dense::FontTricks,
            (shown.fonts as f32 / words * 4.0).min(1.0),
        );
        set(
            dense,
            Dense::SplitByComments,
            (shown.split_words as f32 / 5.0).min(1.0),
        );
        set(
            dense,
            Dense::CodedLetters,
            (shown.coded_letters.saturating_sub(3) as f32 / 40.0).min(1.0),
        );
        set(
            dense,
            Dense::ImageShare,
            (shown.images as f32 / words * 5.0).min(1.0),
        );
    }

    pub(super) fn name_words(&mut self) {
        let words = self.text.stats.words;
        self.name_phrases();
        self.name_shares();
        let articles = self
            .text
            .hits
            .get(Dense::ShareArticles as usize)
            .copied()
            .unwrap_or_default();
        set(
            &mut self.dense,
            Dense::ShareArticles,
            (articles as f32 / words.max(30) as f32 / 0.6).min(1.0),
        );
        let bait = self
            .dense
            .get(Dense::CallbackBait as usize)
            .copied()
            .unwrap_or_default();
        set(
            &mut self.dense,
            Dense::PhoneBait,
            if self.text.stats.phones > 0 {
                bait
            } else {
                0.0
            },
        );
    }

    /// Shares of the words, by stretches as phrases are.
    pub(super) fn name_shares(&mut self) {
        // The feature, the share that is a full value, and the fewest words a share is taken of.
        const SHARES: [(Dense, f32, u32); 7] = [
            (Dense::ShareYou, 0.12, 30),
            (Dense::ShareThirdPerson, 0.08, 30),
            (Dense::SharePast, 0.12, 30),
            (Dense::MoneyShare, 0.03, 20),
            (Dense::Exclamations, 0.05, 40),
            (Dense::Capitals, 0.3, 20),
            (Dense::RandomWords, 0.2, 20),
        ];
        let last = self.text.cuts.last().copied().unwrap_or_default();
        for (at, (feature, full, fewest)) in SHARES.into_iter().enumerate() {
            let count = |counts: [u32; 7]| counts.get(at).copied().unwrap_or_default();
            let value = |n: u32, words: u32| (n as f32 / words.max(fewest) as f32 / full).min(1.0);
            let (mut high, mut low, mut before) = (0.0_f32, 1.0_f32, Cut::default());
            for cut in &self.text.cuts {
                let here = value(
                    count(cut.counts) - count(before.counts),
                    cut.words - before.words,
                );
                (high, low, before) = (high.max(here), low.min(here), *cut);
            }
            let average = value(count(last.counts), last.words);
            let value = match feature.direction() {
                Direction::Spam => LURE_STRETCH * high + (1.0 - LURE_STRETCH) * average,
                _ => EVERYDAY_STRETCH * low + (1.0 - EVERYDAY_STRETCH) * average,
            };
            set(&mut self.dense, feature, value);
        }
    }

    /// Phrases, by stretches of the text: a lure counts by its own stretch, no matter how much
    /// other text there is; everyday words must occur throughout.
    fn name_phrases(&mut self) {
        let mut tallies = [Tally::default(); dense::COUNT];
        let mut before = Cut::default();
        for cut in &self.text.cuts {
            let found = self
                .text
                .phrases
                .get(before.phrases as usize..cut.phrases as usize)
                .unwrap_or_default();
            for (feature, _) in found {
                if let Some(tally) = tallies.get_mut(*feature as usize) {
                    tally.here += 1;
                }
            }
            let length = cut.words - before.words;
            for (feature, _) in found {
                if let Some(tally) = tallies.get_mut(*feature as usize) {
                    tally.end_stretch(length);
                }
            }
            before = *cut;
        }
        let stretches = self.text.cuts.len() as u32;
        for ((feature, slot), tally) in dense::ALL
            .iter()
            .zip(&mut self.dense)
            .zip(tallies)
            .filter(|(_, t)| t.whole > 0)
        {
            let average = weight(tally.whole, before.words);
            // If a stretch has none, that stretch is the weakest.
            let low = if tally.stretches < stretches {
                0.0
            } else {
                tally.low
            };
            *slot = match feature.direction() {
                Direction::Spam => LURE_STRETCH * tally.high + (1.0 - LURE_STRETCH) * average,
                _ => EVERYDAY_STRETCH * low + (1.0 - EVERYDAY_STRETCH) * average,
            };
        }
    }

    /// Features of the characters of the text.
    pub(super) fn name_characters(&mut self) {
        let stats = self.text.stats;
        let share = |n: u32, full: f32| (n as f32 / (stats.words.max(20) as f32 * full)).min(1.0);
        let few = |n: u32, full: f32| (n as f32 / full).min(1.0);
        let flag = |on: bool| if on { 1.0 } else { 0.0 };
        let letters = self.text.folded.len().max(1) as f32;
        let variety = self.text.words().len() as f32 / stats.words.max(1) as f32;
        let dense = &mut self.dense;
        for (feature, value) in [
            (
                Dense::InvisibleCharacters,
                few(stats.invisible.saturating_sub(2), 20.0),
            ),
            // Scripts of wide characters write Latin letters wide, too.
            (
                Dense::LookAlikes,
                if stats.other_scripts > 40 {
                    0.0
                } else {
                    few(stats.lookalikes, 4.0)
                },
            ),
            (Dense::CryptoAddress, flag(stats.crypto > 0)),
            (Dense::LargeMoney, flag(stats.millions > 0)),
            (Dense::PhoneNumber, flag(stats.phones > 0)),
            (Dense::SpacedLetters, few(stats.spaced, 2.0)),
            (
                Dense::DigitsInWords,
                share(stats.digits_inside.saturating_sub(1), 0.05),
            ),
            (Dense::Pictographs, share(stats.pictographs, 0.03)),
            (
                Dense::OtherScripts,
                (stats.other_scripts as f32 * 3.0 / letters).min(1.0),
            ),
            (
                Dense::Questions,
                (stats.questions as f32 / stats.sentences.max(4) as f32 * 2.0).min(1.0),
            ),
            (Dense::TextLength, (1.0 + stats.words as f32).log2() / 12.0),
            (Dense::Variety, variety.min(1.0)),
        ] {
            set(dense, feature, value);
        }
    }
}

/// How often the phrases of one feature were found.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    /// How often it occurs in this stretch of the text.
    here: u32,
    /// How often it occurs in the whole text.
    whole: u32,
    /// Stretches that hold one.
    stretches: u32,
    /// The strongest and the weakest stretch of those.
    high: f32,
    low: f32,
}

impl Tally {
    /// Ends a stretch of so many words. A second call does nothing.
    fn end_stretch(&mut self, words: u32) {
        if self.here == 0 {
            return;
        }
        let value = weight(self.here, words);
        self.high = self.high.max(value);
        self.low = if self.stretches == 0 {
            value
        } else {
            self.low.min(value)
        };
        self.whole += self.here;
        self.stretches += 1;
        self.here = 0;
    }
}

/// How strong so many phrases are among so many words, 0-1. In a long text a few hits are chance.
fn weight(phrases: u32, words: u32) -> f32 {
    /// Most stretches have the same length, and few phrases.
    static USUAL: LazyLock<[f32; 32]> =
        LazyLock::new(|| std::array::from_fn(|n| reckon(n as u32, SEGMENT_WORDS)));
    let reckoned = if words == SEGMENT_WORDS {
        USUAL.get(phrases as usize).copied()
    } else {
        None
    };
    reckoned.unwrap_or_else(|| reckon(phrases, words))
}

fn reckon(phrases: u32, words: u32) -> f32 {
    let dilution = (words.max(60) as f32 / 60.0).sqrt();
    1.0 - (-0.5 * phrases as f32 / dilution).exp()
}

/// Pieces of a display name and of a local part that may be a person's name, lower case.
pub(super) fn name_pieces(name: &str, address: &str) -> Vec<String> {
    let local = address.split('@').next().unwrap_or_default();
    let text = format!("{} {}", name.split('@').next().unwrap_or_default(), local).to_lowercase();
    text.split(|c: char| !c.is_alphabetic())
        .filter(|p| {
            p.len() >= 3
                && !ROLES.contains(p)
                && ![
                    "the", "and", "mrs", "der", "von", "van", "via", "redacted", "removed",
                ]
                .contains(p)
        })
        .take(6)
        .map(str::to_owned)
        .collect()
}

/// A brand whose name stands in the subject or the first line.
fn borrowed_brand(subject: &str, head: &str) -> Option<&'static str> {
    let whole = |text: &str, start: usize, end: usize| {
        let text = text.as_bytes();
        let inside = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|b| letter(*b));
        !inside(start.checked_sub(1)) && !inside(Some(end))
    };
    let found = |text| {
        phrases::brands(text)
            .filter(move |b| whole(text, b.start, b.end))
            .map(|b| b.number)
            .min()
    };
    found(subject)
        .into_iter()
        .chain(found(head))
        .min()
        .and_then(|number| phrases::BRANDS.get(number).copied())
}
