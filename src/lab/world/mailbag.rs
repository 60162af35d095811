//! Real mail for the simulated world: corpora on disk, scored by a model as it comes and as it has
//! adapted itself to one half of a tenant's mail. Only the other half is sent in the world. Of every
//! message no more is kept than its scores and its fingerprint.

use super::content::WorldContent;
use super::left_out::{self, Seen};
use super::real::{ScoredMail, ScoredText};
use super::shelf::{self, MailError, Shelf, ShelvedText};
use crate::identity;
use crate::lab::corpus::CorpusError;
use crate::lab::sources;
use crate::lab::train::Recipe;
use crate::score::Scorer;
use crate::score::adapt::{Delta, Label, LearnOutcome, Lesson, SenderShares};
use crate::score::features::{Extractor, Sample};
use crate::types::stable_hash;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A corpus with so much ham is a tenant's; the ham of smaller ones only joins newsletters,
/// applications and reports.
const TENANT_HAM: usize = 1000;
/// Messages that an author needs to lend a person a voice: half of them are learned, and a person
/// who only ever sends two texts is none.
const AUTHOR_MESSAGES: usize = 10;
/// Campaigns taken from one corpus at most, evenly.
const CAMPAIGNS: usize = 400;
/// Copies of a campaign that differ a little.
const VARIANTS: usize = 4;
/// Days over which the first half of a tenant's mail is learned.
const LEARNING_DAYS: usize = 30;
/// Words by which a variant differs, and words that are put behind a padded spam.
const CHANGED_WORDS: usize = 3;
const PADDING_WORDS: usize = 150;
/// Header fields that are read for the author.
const FIELDS: usize = 1000;

/// A model, and which mail it judges; corpora by their place.
#[derive(Debug, Clone)]
pub(super) struct MailJudge {
    pub scorer: Arc<Scorer>,
    /// Corpora whose spam makes campaigns.
    pub spam: Vec<usize>,
    /// The corpus whose ham is the tenant's.
    pub ham: usize,
    /// Corpora whose ham joins it.
    pub others: Vec<usize>,
    /// What the model learned from, as far as it is known.
    pub seen: Seen,
}

impl MailJudge {
    /// Whether the model may be asked about this mail.
    fn may_judge(&self, source: usize, spam: bool) -> bool {
        !self.seen.contains(&(source, spam))
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
    template: u64,
    sample: Sample,
}

/// Tenants' mail as a model scores it as it comes, and after it has adapted itself.
pub(crate) struct Scored {
    /// Scored by the model alone.
    pub cold: Vec<WorldContent>,
    /// One half of each tenant's mail learned, unlabelled.
    pub adapted: Vec<WorldContent>,
}

/// One tenant's mail in the making.
struct MailPool {
    delta: Delta,
    cold: ScoredMail,
    adapted: ScoredMail,
}

/// Reads and scores the corpora among or below these folders, each with an `index` of lines
/// `spam|ham PATH`, by one model.
///
/// # Errors
/// A file cannot be read, or there is no spam, or no tenant's ham.
pub(crate) fn load(given: &[PathBuf], scorer: Scorer) -> Result<Scored, MailError> {
    let shelf = Shelf::of(&shelf::folders(given)?)?;
    let scorer = Arc::new(scorer);
    let places = || 0..shelf.names.len();
    let ham = |place: usize| shelf.texts_of(place, false).count();
    let spam: Vec<usize> = places()
        .filter(|place| shelf.texts_of(*place, true).next().is_some())
        .collect();
    let others: Vec<usize> = places()
        .filter(|place| (1..TENANT_HAM).contains(&ham(*place)))
        .collect();
    let judges: Vec<MailJudge> = places()
        .filter(|place| ham(*place) >= TENANT_HAM)
        .map(|ham| MailJudge {
            scorer: Arc::clone(&scorer),
            spam: spam.clone(),
            ham,
            others: others.clone(),
            seen: Seen::new(),
        })
        .collect();
    if spam.is_empty() || judges.is_empty() {
        return Err(CorpusError::TooLittle { ham: TENANT_HAM }.into());
    }
    Ok(score(&shelf, &judges)?)
}

/// The same by models that are trained here from these corpora and the seed grammar: each scores a
/// source of ham and one of spam that it did not see.
///
/// # Errors
/// A file cannot be read, or there are fewer than two known sources of spam or of ham.
pub(crate) fn load_left_out(
    given: &[PathBuf],
    seed_files: Option<&Path>,
    recipe: &Recipe,
) -> Result<Scored, MailError> {
    let folders = shelf::folders(given)?;
    let shelf = Shelf::of(&folders)?;
    let judges = left_out::judges(&folders, &shelf, seed_files, recipe)?;
    Ok(score(&shelf, &judges)?)
}

fn score(shelf: &Shelf, judges: &[MailJudge]) -> Result<Scored, CorpusError> {
    let mut reader = MailReader::default();
    let mut others: BTreeMap<usize, Vec<Ham>> = BTreeMap::new();
    for place in judges.iter().flat_map(|judge| &judge.others) {
        if !others.contains_key(place) {
            others.insert(*place, reader.ham(shelf, *place, judges)?);
        }
    }
    let mut pools: BTreeMap<usize, MailPool> = BTreeMap::new();
    let mut tenants: Vec<usize> = judges.iter().map(|judge| judge.ham).collect();
    tenants.sort_unstable();
    tenants.dedup();
    for tenant in tenants {
        let own = reader.ham(shelf, tenant, judges)?;
        for (number, judge) in judges.iter().enumerate().filter(|(_, j)| j.ham == tenant) {
            let others = judge
                .others
                .iter()
                .filter(|place| **place != tenant && judge.may_judge(**place, false))
                .filter_map(|place| others.get(place).map(|ham| (*place, ham.as_slice())));
            let mut mail = vec![(tenant, own.as_slice())];
            mail.extend(others);
            if judge.may_judge(tenant, false) {
                pools.insert(number, tenant_pool(shelf, judge, &mail));
            }
        }
    }
    reader.campaigns(shelf, judges, &mut pools)?;
    let with_mail = || pools.values().filter(|pool| pool.cold.is_whole());
    let real = |mail: &ScoredMail| WorldContent::Real(Arc::new(mail.clone()));
    Ok(Scored {
        cold: with_mail().map(|pool| real(&pool.cold)).collect(),
        adapted: with_mail().map(|pool| real(&pool.adapted)).collect(),
    })
}

/// Reads messages, and collects words of ham on the way.
#[derive(Default)]
struct MailReader {
    extractor: Extractor,
    words: Vec<Vec<String>>,
}

impl MailReader {
    /// The ham of a corpus. Any of the models may read the fingerprints: they do not depend on it.
    fn ham(
        &mut self,
        shelf: &Shelf,
        place: usize,
        judges: &[MailJudge],
    ) -> Result<Vec<Ham>, CorpusError> {
        let mut all = Vec::new();
        for (at, text) in shelf.texts_of(place, false).enumerate() {
            let raw = shelf::text(&text.path)?;
            self.extractor.extract(&raw);
            if at % 37 == 0 {
                let words = self.extractor.visible_words();
                let some: Vec<String> = words.take(PADDING_WORDS).collect();
                if some.len() == PADDING_WORDS {
                    self.words.push(some);
                }
            }
            let template = fingerprint(&self.extractor, judges);
            all.push(ham(&raw, &self.extractor, template));
        }
        halve(&mut all);
        Ok(all)
    }

    /// Scores the spam of each corpus by the models that may judge it.
    fn campaigns(
        &mut self,
        shelf: &Shelf,
        judges: &[MailJudge],
        pools: &mut BTreeMap<usize, MailPool>,
    ) -> Result<(), CorpusError> {
        for place in 0..shelf.names.len() {
            let asked: Vec<usize> = judges
                .iter()
                .enumerate()
                .filter(|(_, j)| j.spam.contains(&place) && j.may_judge(place, true))
                .map(|(number, _)| number)
                .collect();
            let spam: Vec<&ShelvedText> = shelf.texts_of(place, true).collect();
            if asked.is_empty() {
                continue;
            }
            for number in &asked {
                if let Some(pool) = pools.get_mut(number) {
                    pool.note_spam(&shelf.names, place);
                }
            }
            let step = spam.len().div_ceil(CAMPAIGNS).max(1);
            for (number, text) in spam.into_iter().step_by(step).enumerate() {
                let raw = shelf::text(&text.path)?;
                self.campaign(&raw, number, judges, &asked, pools);
            }
        }
        Ok(())
    }

    /// Scores the copies of one spam, and the copies with words of ham behind them.
    fn campaign(
        &mut self,
        raw: &[u8],
        number: usize,
        judges: &[MailJudge],
        asked: &[usize],
        pools: &mut BTreeMap<usize, MailPool>,
    ) {
        for (padded, count) in [(false, CHANGED_WORDS), (true, PADDING_WORDS)] {
            for variant in 0..VARIANTS {
                let place = (number * VARIANTS + variant) % self.words.len().max(1);
                let words = self.words.get(place).map(Vec::as_slice).unwrap_or_default();
                let some = words.get(..count).unwrap_or(words).join(" ");
                self.extractor.extract_padded(raw, &some);
                let template = fingerprint(&self.extractor, judges);
                let sample = self.extractor.sample();
                for number in asked {
                    if let (Some(judge), Some(pool)) = (judges.get(*number), pools.get_mut(number))
                    {
                        pool.add_copy(judge, &sample, template, padded, variant == 0);
                    }
                }
            }
        }
    }
}

/// The fingerprint of the message that was read last.
fn fingerprint(extractor: &Extractor, judges: &[MailJudge]) -> u64 {
    let any = judges.first();
    any.map_or(0, |judge| judge.scorer.judge(extractor, None).template)
}

fn ham(raw: &[u8], extractor: &Extractor, template: u64) -> Ham {
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
        template,
        sample: extractor.sample(),
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

/// What the tenant's mail taught, as the relay learns it: unlabelled, each author no more than a
/// share.
fn learn(mail: &[(usize, &[Ham])], scorer: &Scorer) -> Delta {
    let (mut delta, mut share) = (Delta::default(), SenderShares::default());
    // Each corpus in its order, evenly mixed.
    let mut lessons: Vec<(f64, &Ham)> = Vec::new();
    for (_, corpus) in mail {
        let learned: Vec<&Ham> = corpus.iter().filter(|h| h.learned).collect();
        let all = learned.len().max(1) as f64;
        let placed = learned.into_iter().enumerate();
        lessons.extend(placed.map(|(at, h)| (at as f64 / all, h)));
    }
    lessons.sort_by(|a, b| a.0.total_cmp(&b.0));
    let a_day = lessons.len().div_ceil(LEARNING_DAYS).max(1);
    for (at, (_, message)) in lessons.into_iter().enumerate() {
        if at > 0 && at % a_day == 0 {
            delta.fade(1);
            share.halve();
        }
        if share.allows(message.author) {
            let lesson = Lesson::new(scorer.model(), message.sample.clone());
            let outcome = delta.learn(scorer.model(), &lesson, Label::Unlabelled);
            if outcome == LearnOutcome::Assumed {
                share.note(message.author);
            }
        }
    }
    delta
}

impl MailPool {
    /// What the model says of a message, alone and with what was learned.
    fn scores(&self, judge: &MailJudge, sample: &Sample, template: u64) -> [ScoredText; 2] {
        let model = judge.scorer.model();
        let shipped = model.llr(model.margin_of(sample).total());
        let of = |llr: f64| ScoredText {
            llr: llr as f32,
            template,
        };
        [of(shipped), of(self.delta.llr(shipped, sample))]
    }

    fn both(&mut self) -> [&mut ScoredMail; 2] {
        [&mut self.cold, &mut self.adapted]
    }

    fn note_spam(&mut self, names: &[String], place: usize) {
        for mail in self.both() {
            mail.note_spam(names.get(place).map_or("", String::as_str));
        }
    }

    /// Adds a copy of a campaign; the first one begins a new campaign.
    fn add_copy(
        &mut self,
        judge: &MailJudge,
        sample: &Sample,
        template: u64,
        padded: bool,
        first: bool,
    ) {
        let scores = self.scores(judge, sample, template);
        for (mail, text) in self.both().into_iter().zip(scores) {
            mail.add_copy(text, padded, first);
        }
    }
}

/// The mail of one tenant: its own corpus first, then those that join it.
fn tenant_pool(shelf: &Shelf, judge: &MailJudge, mail: &[(usize, &[Ham])]) -> MailPool {
    let name = shelf.names.get(judge.ham).cloned().unwrap_or_default();
    let mut pool = MailPool {
        delta: learn(mail, &judge.scorer),
        cold: ScoredMail::of(name.clone()),
        adapted: ScoredMail::of(name),
    };
    for (place, ham) in mail {
        let own = *place == judge.ham;
        let application = shelf
            .names
            .get(*place)
            .is_some_and(|name| sources::is_application(name));
        let judged: Vec<&Ham> = ham.iter().filter(|h| !h.learned).collect();
        let scored: Vec<[ScoredText; 2]> = judged
            .iter()
            .map(|h| pool.scores(judge, &h.sample, h.template))
            .collect();
        let authors = authors(ham);
        for (state, mail) in pool.both().into_iter().enumerate() {
            let text = |at: &usize| scored.get(*at).and_then(|both| both.get(state)).copied();
            let reports = judged.iter().enumerate().filter(|(_, h)| h.report);
            mail.add_reports(reports.filter_map(|(at, _)| text(&at)));
            for messages in &authors {
                let texts: Vec<ScoredText> = judged
                    .iter()
                    .enumerate()
                    .filter(|(_, h)| !h.report && h.author == messages.author)
                    .filter_map(|(at, _)| text(&at))
                    .collect();
                let bulk = messages.bulk;
                let person = own && !bulk && messages.count >= AUTHOR_MESSAGES;
                mail.add_author(texts, own, person, bulk && !application, application);
            }
        }
    }
    pool.both().into_iter().for_each(ScoredMail::fill_gaps);
    pool
}

/// What is known of an author.
struct MailAuthor {
    author: u64,
    count: usize,
    /// Most of it tells how to unsubscribe, and nothing of it answers.
    bulk: bool,
}

/// The authors of messages other than reports, in the order in which they first appear.
fn authors(ham: &[Ham]) -> Vec<MailAuthor> {
    let mut places: HashMap<u64, usize> = HashMap::new();
    let mut lists: Vec<Vec<&Ham>> = Vec::new();
    for message in ham.iter().filter(|h| !h.report) {
        let place = *places.entry(message.author).or_insert(lists.len());
        match lists.get_mut(place) {
            Some(list) => list.push(message),
            None => lists.push(vec![message]),
        }
    }
    let of = |list: &Vec<&Ham>| {
        let offers = list.iter().filter(|h| h.bulk).count() * 2 > list.len();
        MailAuthor {
            author: list.first().map_or(0, |h| h.author),
            count: list.len(),
            bulk: offers && !list.iter().any(|h| h.answer),
        }
    };
    lists.iter().map(of).collect()
}

#[cfg(test)]
mod tests;
