//! Real mail for the simulated world: corpora on disk, scored by the shipped model as it comes and
//! as it has adapted itself to one half of a tenant's mail. Only the other half is sent in the
//! world.

use super::content::{Voice, WorldContent};
use super::rng::Rng;
use crate::identity;
use crate::lab::corpus::{self, CorpusError};
use crate::score::Scorer;
use crate::score::adapt::{Delta, Label, LearnOutcome, Lesson, SenderShares};
use crate::score::features::Extractor;
use crate::types::stable_hash;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A corpus with so much ham is a tenant's; the ham of smaller ones only joins newsletters and
/// reports.
const TENANT_HAM: usize = 1000;
/// Messages that an author needs to lend a person a voice: half of them are learned, and a person
/// who only ever sends two texts is none.
const AUTHOR_MESSAGES: usize = 10;
/// Copies of a campaign that differ a little.
const VARIANTS: usize = 3;
/// Days over which the first half of a tenant's mail is learned.
const LEARNING_DAYS: usize = 30;
/// Words by which a variant differs, and words that are put behind a padded spam.
const CHANGED_WORDS: usize = 3;
const PADDING_WORDS: usize = 150;
/// Header fields that are read for the author.
const FIELDS: usize = 1000;

/// A tenant's real mail as one state of the model scores it: LLRs in nats.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ScoredMail {
    /// Whose mail it is.
    pub name: String,
    authors: Vec<Vec<f32>>,
    templates: Vec<f32>,
    newsletters: Vec<Vec<f32>>,
    reports: Vec<f32>,
    campaigns: Vec<Vec<f32>>,
    padded: Vec<Vec<f32>>,
}

fn any<T: Copy>(of: &[T], rng: &mut Rng) -> Option<T> {
    of.get(rng.below(of.len() as u64) as usize).copied()
}

impl ScoredMail {
    pub(super) fn an_author(&self, rng: &mut Rng) -> usize {
        rng.below(self.authors.len() as u64) as usize
    }

    pub(super) fn a_newsletter(&self, rng: &mut Rng) -> usize {
        rng.below(self.newsletters.len() as u64) as usize
    }

    pub(super) fn a_campaign(&self, rng: &mut Rng) -> usize {
        rng.below(self.campaigns.len() as u64) as usize
    }

    pub(super) fn a_template(&self, rng: &mut Rng) -> f64 {
        any(&self.templates, rng).unwrap_or_default().into()
    }

    /// One message in that voice.
    pub(super) fn llr(&self, voice: Voice, rng: &mut Rng) -> f64 {
        let of = |list: &[Vec<f32>], number: usize, rng: &mut Rng| {
            list.get(number).and_then(|l| any(l, rng))
        };
        let llr = match voice {
            Voice::Author(number) => of(&self.authors, number, rng),
            Voice::Newsletter(number) => of(&self.newsletters, number, rng),
            Voice::Campaign(number) => of(&self.campaigns, number, rng),
            Voice::PaddedCampaign(number) => of(&self.padded, number, rng),
            Voice::Reports => any(&self.reports, rng),
            Voice::Anybody => any(&self.templates, rng),
            Voice::Template(llr) => Some(llr as f32),
            Voice::Flagged(_)
            | Voice::Padded(_)
            | Voice::Around { .. }
            | Voice::PaddedAround { .. } => None,
        };
        llr.unwrap_or_default().into()
    }

    /// One line: authors, and what is flagged at even odds.
    pub(crate) fn summary(&self) -> String {
        let share = |lists: &[Vec<f32>]| {
            let all = || lists.iter().flatten();
            100.0 * all().filter(|l| **l > 0.0).count() as f64 / all().count().max(1) as f64
        };
        let (persons, letters) = (share(&self.authors), share(&self.newsletters));
        format!(
            "{}: {} authors ({persons:.2} % of their mail flagged), {} newsletters ({letters:.1} %), {} campaigns ({:.1} %; padded {:.1} %)",
            self.name,
            self.authors.len(),
            self.newsletters.len(),
            self.campaigns.len(),
            share(&self.campaigns),
            share(&self.padded),
        )
    }
}

/// A ham message with its author and its features.
struct Ham {
    author: u64,
    /// It tells how to unsubscribe. So do posts to lists, but their authors also answer others.
    bulk: bool,
    answer: bool,
    report: bool,
    /// Of the half that is learned.
    learned: bool,
    lesson: Lesson,
}

/// A corpus as read.
struct MailbagCorpus {
    name: String,
    ham: Vec<Ham>,
}

/// All that was read.
struct Mailbag {
    corpora: Vec<MailbagCorpus>,
    campaigns: Vec<Vec<Lesson>>,
    padded: Vec<Vec<Lesson>>,
}

/// Tenants' mail by the shipped model as it comes, and after it has adapted itself.
pub(crate) struct Scored {
    /// Scored by the shipped model alone.
    pub cold: Vec<WorldContent>,
    /// One half of each tenant's mail learned, unlabelled.
    pub adapted: Vec<WorldContent>,
}

/// Reads and scores the corpora below these folders (or these themselves): each with an `index` of
/// lines `spam|ham PATH`.
///
/// # Errors
/// A file cannot be read, or there is no spam, or no tenant's ham.
pub(crate) fn load(folders: &[PathBuf], scorer: &Scorer) -> Result<Scored, CorpusError> {
    let mut all = Vec::new();
    for folder in folders {
        all.extend(corpora(folder)?);
    }
    let bag = read(&all, scorer)?;
    let tenants = || bag.corpora.iter().filter(|c| c.ham.len() >= TENANT_HAM);
    if bag.campaigns.is_empty() || tenants().next().is_none() {
        return Err(CorpusError::TooLittle { ham: TENANT_HAM });
    }
    let pools = |learned: bool| {
        tenants()
            .map(|t| WorldContent::Real(Arc::new(pool(&bag, t, scorer, learned))))
            .collect()
    };
    Ok(Scored {
        cold: pools(false),
        adapted: pools(true),
    })
}

fn corpora(folder: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    if folder.join("index").exists() {
        return Ok(vec![folder.to_owned()]);
    }
    let entries = fs::read_dir(folder).map_err(CorpusError::unreadable(folder))?;
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.join("index").exists())
        .collect();
    found.sort();
    if found.is_empty() {
        Err(CorpusError::NoIndex(folder.to_owned()))
    } else {
        Ok(found)
    }
}

fn read(folders: &[PathBuf], scorer: &Scorer) -> Result<Mailbag, CorpusError> {
    let mut extractor = Extractor::default();
    let mut bag = Mailbag {
        corpora: Vec::new(),
        campaigns: Vec::new(),
        padded: Vec::new(),
    };
    let (mut spam, mut words) = (Vec::new(), Vec::new());
    for folder in folders {
        let name = folder
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let mut corpus = MailbagCorpus {
            name,
            ham: Vec::new(),
        };
        for (at, (is_spam, path)) in corpus::index(folder)?.into_iter().enumerate() {
            let raw = fs::read(&path).map_err(CorpusError::unreadable(&path))?;
            if is_spam {
                spam.push(raw);
                continue;
            }
            extractor.extract(&raw);
            if at % 37 == 0 {
                let some: Vec<String> = extractor.visible_words().take(PADDING_WORDS).collect();
                if some.len() == PADDING_WORDS {
                    words.push(some);
                }
            }
            corpus.ham.push(ham(&raw, &extractor, scorer));
        }
        halve(&mut corpus.ham);
        bag.corpora.push(corpus);
    }
    for (number, raw) in spam.iter().enumerate() {
        let mut variants = |count: usize| -> Vec<Lesson> {
            (0..VARIANTS)
                .map(|variant| {
                    varied(
                        raw,
                        &words,
                        number * VARIANTS + variant,
                        count,
                        &mut extractor,
                        scorer,
                    )
                })
                .collect()
        };
        let (plain, padded) = (variants(CHANGED_WORDS), variants(PADDING_WORDS));
        bag.campaigns.push(plain);
        bag.padded.push(padded);
    }
    Ok(bag)
}

fn ham(raw: &[u8], extractor: &Extractor, scorer: &Scorer) -> Ham {
    let header = identity::read_headers(raw, None, FIELDS);
    let author = header.from.map(|from| from.key()).unwrap_or_default();
    let has = |part: &[u8], words: &[u8]| {
        part.windows(words.len())
            .any(|w| w.eq_ignore_ascii_case(words))
    };
    let end = raw
        .windows(2)
        .position(|w| w == b"\n\n" || w == b"\n\r")
        .unwrap_or(raw.len());
    let fields = raw.get(..end).unwrap_or_default();
    Ham {
        author: stable_hash(&[author.as_bytes()]),
        bulk: has(raw, b"unsubscribe"),
        answer: [&b"\nIn-Reply-To:"[..], b"\nReferences:", b"\nSubject: Re:"]
            .iter()
            .any(|field| has(fields, field)),
        report: extractor.facts().is_report,
        learned: false,
        lesson: Lesson::new(scorer.model(), extractor.sample()),
    }
}

/// The first half of each author's mail, in the order of the index, is the one that is learned.
fn halve(ham: &mut [Ham]) {
    let mut left: HashMap<u64, usize> = HashMap::new();
    for message in ham.iter() {
        *left.entry(message.author).or_default() += 1;
    }
    for half in left.values_mut() {
        *half /= 2;
    }
    for message in ham {
        if let Some(half) = left.get_mut(&message.author).filter(|half| **half > 0) {
            *half -= 1;
            message.learned = true;
        }
    }
}

/// A spam with `count` words of somebody's ham behind its text.
fn varied(
    raw: &[u8],
    words: &[Vec<String>],
    number: usize,
    count: usize,
    extractor: &mut Extractor,
    scorer: &Scorer,
) -> Lesson {
    let some = words
        .get(number % words.len().max(1))
        .map(|w| w.get(..count).unwrap_or(w).join(" "))
        .unwrap_or_default();
    extractor.extract_padded(raw, &some);
    Lesson::new(scorer.model(), extractor.sample())
}

/// What the tenant's mail taught, as the relay learns it: unlabelled, each author no more than a
/// share.
fn learn(mail: &[&MailbagCorpus], scorer: &Scorer) -> Delta {
    let (mut delta, mut share) = (Delta::default(), SenderShares::default());
    // Each corpus in its order, evenly mixed.
    let mut lessons: Vec<(f64, &Ham)> = Vec::new();
    for corpus in mail {
        let learned: Vec<&Ham> = corpus.ham.iter().filter(|h| h.learned).collect();
        let all = learned.len().max(1) as f64;
        lessons.extend(
            learned
                .into_iter()
                .enumerate()
                .map(|(at, h)| (at as f64 / all, h)),
        );
    }
    lessons.sort_by(|a, b| a.0.total_cmp(&b.0));
    let a_day = lessons.len().div_ceil(LEARNING_DAYS).max(1);
    for (at, (_, message)) in lessons.into_iter().enumerate() {
        if at > 0 && at % a_day == 0 {
            delta.fade(1);
            share.halve();
        }
        if share.allows(message.author)
            && delta.learn(scorer.model(), &message.lesson, Label::Unlabelled)
                == LearnOutcome::Assumed
        {
            share.note(message.author);
        }
    }
    delta
}

fn pool(bag: &Mailbag, tenant: &MailbagCorpus, scorer: &Scorer, learned: bool) -> ScoredMail {
    // Small corpora belong to everybody.
    let mail: Vec<&MailbagCorpus> = bag
        .corpora
        .iter()
        .filter(|c| c.name == tenant.name || c.ham.len() < TENANT_HAM)
        .collect();
    let delta = learned.then(|| learn(&mail, scorer));
    let llr = |lesson: &Lesson| {
        let shipped = f64::from(lesson.shipped);
        delta
            .as_ref()
            .map_or(shipped, |delta| delta.llr(shipped, &lesson.sample)) as f32
    };
    let scored =
        |lists: &[Vec<Lesson>]| lists.iter().map(|l| l.iter().map(llr).collect()).collect();
    let mut pool = ScoredMail {
        name: tenant.name.clone(),
        campaigns: scored(&bag.campaigns),
        padded: scored(&bag.padded),
        ..ScoredMail::default()
    };
    for corpus in mail {
        let own = corpus.name == tenant.name;
        pool.reports.extend(
            corpus
                .ham
                .iter()
                .filter(|h| h.report && !h.learned)
                .map(|h| llr(&h.lesson)),
        );
        for messages in authors(&corpus.ham) {
            let judged: Vec<f32> = messages
                .iter()
                .filter(|h| !h.learned)
                .map(|h| llr(&h.lesson))
                .collect();
            let offers = messages.iter().filter(|h| h.bulk).count() * 2 > messages.len();
            let bulk = offers && !messages.iter().any(|h| h.answer);
            if own && !bulk && messages.len() >= AUTHOR_MESSAGES {
                pool.authors.push(judged.clone());
            }
            if own {
                pool.templates.extend(&judged);
            }
            if bulk {
                pool.newsletters.push(judged);
            }
        }
    }
    if pool.newsletters.is_empty() {
        pool.newsletters.clone_from(&pool.authors);
    }
    if pool.reports.is_empty() {
        pool.reports.clone_from(&pool.templates);
    }
    pool
}

/// Messages other than reports, by author, in the order in which authors first appear.
fn authors(ham: &[Ham]) -> Vec<Vec<&Ham>> {
    let mut places: HashMap<u64, usize> = HashMap::new();
    let mut authors: Vec<Vec<&Ham>> = Vec::new();
    for message in ham.iter().filter(|h| !h.report) {
        let place = *places.entry(message.author).or_insert(authors.len());
        match authors.get_mut(place) {
            Some(list) => list.push(message),
            None => authors.push(vec![message]),
        }
    }
    authors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus(dir: &Path, name: &str, mails: &[(&str, String)]) {
        let folder = dir.join(name);
        fs::create_dir(&folder).expect("made");
        let mut index = String::new();
        for (at, (label, text)) in mails.iter().enumerate() {
            fs::write(folder.join(at.to_string()), text).expect("written");
            index += &format!("{label} {at}\n");
        }
        fs::write(folder.join("index"), index).expect("written");
    }

    #[test]
    fn authors_lend_their_voices_and_the_learned_half_is_not_sent() {
        let dir = tempfile::tempdir().expect("directory");
        let letter = |n: usize, author: usize| {
            format!(
                "From: a{author}@acme.example\nSubject: Minutes {n}\n\nHello, the minutes of meeting {n} are in the folder. \
                 Please read the part on the roof of house {author} before Thursday.\n"
            )
        };
        let mut mails: Vec<(&str, String)> = (0..TENANT_HAM)
            .map(|n| ("ham", letter(n, n % 100)))
            .collect();
        for n in 0..40 {
            let text = format!(
                "From: news{}@shop.example\nSubject: Offers\n\nOffers of week {n}. Unsubscribe below.\n",
                n % 4
            );
            mails.push(("ham", text));
        }
        corpus(dir.path(), "house", &mails);
        let lure = "From: a@b.example\nSubject: WINNER\n\nYou have WON $1,000,000 in our lottery! Click here now and verify your bank password!\n";
        corpus(dir.path(), "lures", &[("spam", lure.to_owned())]);
        let scorer = Scorer::shipped().expect("the model");
        let scored = load(&[dir.path().to_owned()], &scorer).expect("read");
        let ([WorldContent::Real(cold)], [WorldContent::Real(adapted)]) =
            (&*scored.cold, &*scored.adapted)
        else {
            panic!("one tenant")
        };
        assert_eq!(
            (
                cold.authors.len(),
                cold.newsletters.len(),
                cold.campaigns.len()
            ),
            (100, 4, 1)
        );
        assert!(cold.authors.iter().all(|a| a.len() == 5), "half of ten");
        let mean =
            |pool: &ScoredMail| pool.templates.iter().sum::<f32>() / pool.templates.len() as f32;
        assert!(
            mean(adapted) < mean(cold) - 0.1,
            "{} {}",
            mean(adapted),
            mean(cold)
        );
        assert!(
            cold.campaigns[0].iter().all(|llr| *llr > 0.0),
            "{:?}",
            cold.campaigns
        );
        let error = load(&[dir.path().join("lures")], &scorer)
            .err()
            .expect("no tenant");
        assert!(error.to_string().contains("ham"), "{error}");
    }
}
