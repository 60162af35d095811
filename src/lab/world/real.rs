//! Real mail of one tenant and real campaigns against it: scores by author, and the fingerprints of
//! campaigns.

use super::content::Voice;
use super::rng::Rng;

/// A copy of a campaign: its score in nats, and the fingerprint of its text.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ScoredText {
    /// The log-likelihood ratio, nats.
    pub llr: f32,
    /// The fingerprint; 0 = too short to tell.
    pub template: u64,
}

/// A tenant's real mail as one state of a model scores it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ScoredMail {
    name: String,
    authors: Vec<Vec<f32>>,
    /// Texts of applications.
    templates: Vec<f32>,
    /// Mail by anybody.
    anybody: Vec<f32>,
    newsletters: Vec<Vec<f32>>,
    reports: Vec<f32>,
    campaigns: Vec<Vec<ScoredText>>,
    padded: Vec<Vec<ScoredText>>,
}

fn any<T: Copy>(of: &[T], rng: &mut Rng) -> Option<T> {
    of.get(rng.below(of.len() as u64) as usize).copied()
}

impl ScoredMail {
    /// The mail of a tenant of this name, empty as yet.
    pub(super) fn of(name: String) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// Adds whose spam it is sent.
    pub(super) fn note_spam(&mut self, name: &str) {
        let joint = if self.name.contains(" with spam of ") {
            ", "
        } else {
            " with spam of "
        };
        self.name.push_str(joint);
        self.name.push_str(name);
    }

    /// Adds a copy of a campaign; the first one begins a campaign.
    pub(super) fn add_copy(&mut self, text: ScoredText, padded: bool, first: bool) {
        let campaigns = if padded {
            &mut self.padded
        } else {
            &mut self.campaigns
        };
        match campaigns.last_mut().filter(|_| !first) {
            Some(copies) => copies.push(text),
            None => campaigns.push(vec![text]),
        }
    }

    pub(super) fn add_reports(&mut self, reports: impl Iterator<Item = f32>) {
        self.reports.extend(reports);
    }

    /// Adds the messages of one author: of the tenant's own corpus or not, who is a person, a
    /// newsletter, an application, or none of them.
    pub(super) fn add_author(
        &mut self,
        texts: Vec<f32>,
        own: bool,
        person: bool,
        newsletter: bool,
        application: bool,
    ) {
        if texts.is_empty() {
            return;
        }
        if own {
            self.anybody.extend(&texts);
        }
        if application {
            self.templates.extend(&texts);
        }
        if person {
            self.authors.push(texts);
        } else if newsletter {
            self.newsletters.push(texts);
        }
    }

    /// What is missing is taken from what is there.
    pub(super) fn fill_gaps(&mut self) {
        if self.newsletters.is_empty() {
            self.newsletters.clone_from(&self.authors);
        }
        if self.templates.is_empty() {
            self.templates.clone_from(&self.anybody);
        }
        if self.reports.is_empty() {
            self.reports.clone_from(&self.anybody);
        }
    }

    /// Whether persons and campaigns have mail.
    pub(super) const fn is_whole(&self) -> bool {
        !self.authors.is_empty() && !self.campaigns.is_empty()
    }

    /// An author, as often as they write: so the share of mail that is flagged is that of the real
    /// mail, though an author of a few texts sends them again and again.
    pub(super) fn an_author(&self, rng: &mut Rng) -> usize {
        let all: usize = self.authors.iter().map(Vec::len).sum();
        let mut left = rng.below(all as u64) as usize;
        for (author, texts) in self.authors.iter().enumerate() {
            match left.checked_sub(texts.len()) {
                Some(rest) => left = rest,
                None => return author,
            }
        }
        0
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

    /// Score in nats of one message in that voice, and its fingerprint if it is a campaign's. Of
    /// other mail it would tell nothing: here one author lends a voice to many persons, who in truth
    /// do not send the same texts.
    pub(super) fn text(&self, voice: Voice, rng: &mut Rng) -> (f64, Option<u64>) {
        let of = |list: &[Vec<f32>], number: usize, rng: &mut Rng| {
            list.get(number).and_then(|l| any(l, rng))
        };
        let copy = |list: &[Vec<ScoredText>], number: usize, rng: &mut Rng| {
            list.get(number).and_then(|l| any(l, rng))
        };
        let llr = match voice {
            Voice::Campaign(number) | Voice::PaddedCampaign(number) => {
                let padded = matches!(voice, Voice::PaddedCampaign(_));
                let list = if padded {
                    &self.padded
                } else {
                    &self.campaigns
                };
                let text = copy(list, number, rng).unwrap_or_default();
                return (text.llr.into(), Some(text.template));
            }
            Voice::Author(number) => of(&self.authors, number, rng),
            Voice::Newsletter(number) => of(&self.newsletters, number, rng),
            Voice::Reports => any(&self.reports, rng),
            Voice::Anybody => any(&self.anybody, rng),
            Voice::Template(llr) => Some(llr as f32),
            Voice::Flagged(_)
            | Voice::Padded(_)
            | Voice::Around { .. }
            | Voice::PaddedAround { .. } => None,
        };
        (llr.unwrap_or_default().into(), None)
    }

    /// One line: authors, and what is flagged at even odds.
    pub(crate) fn summary(&self) -> String {
        let flagged = |llrs: &mut dyn Iterator<Item = f32>| {
            let (all, hit) = llrs.fold((0, 0), |(all, hit), llr| {
                (all + 1, hit + usize::from(llr > 0.0))
            });
            100.0 * hit as f64 / all.max(1) as f64
        };
        let share = |lists: &[Vec<f32>]| flagged(&mut lists.iter().flatten().copied());
        let of_copies = |lists: &[Vec<ScoredText>]| {
            let copies = lists.iter().flatten();
            flagged(&mut copies.map(|text| text.llr))
        };
        format!(
            "{}: {} authors ({:.2} % of their mail flagged), {} texts of applications ({:.1} %), {} newsletters ({:.1} %), {} campaigns ({:.1} %; padded {:.1} %)",
            self.name,
            self.authors.len(),
            share(&self.authors),
            self.templates.len(),
            flagged(&mut self.templates.iter().copied()),
            self.newsletters.len(),
            share(&self.newsletters),
            self.campaigns.len(),
            of_copies(&self.campaigns),
            of_copies(&self.padded),
        )
    }
}

#[cfg(test)]
impl ScoredMail {
    /// Mean score of the persons' mail, and how many messages they have.
    pub(super) fn mean_of_persons(&self) -> (f32, usize) {
        let all = || self.authors.iter().flatten();
        let sum: f32 = all().sum();
        (sum / all().count() as f32, all().count())
    }

    /// All copies of all campaigns.
    pub(super) fn copies(&self) -> Vec<ScoredText> {
        self.campaigns.iter().flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authors_are_drawn_as_often_as_they_write() {
        let mut mail = ScoredMail::of("x".to_owned());
        mail.add_author(vec![5.0; 10], true, true, false, false);
        mail.add_author(vec![-5.0; 990], true, true, false, false);
        let rng = &mut Rng::new(1, 1);
        let drawn: Vec<usize> = (0..10_000).map(|_| mail.an_author(rng)).collect();
        let first = drawn.iter().filter(|author| **author == 0).count();
        assert!((60..140).contains(&first), "{first}");
        assert!(drawn.iter().all(|author| *author < 2));
    }

    #[test]
    fn only_campaigns_have_the_fingerprints_of_their_texts() {
        let mut mail = ScoredMail::of("x".to_owned());
        mail.add_author(vec![-3.0], true, true, false, false);
        let copy = |template| ScoredText { llr: 4.0, template };
        mail.add_copy(copy(7), false, true);
        mail.add_copy(copy(8), false, false);
        mail.add_copy(copy(9), true, true);
        mail.fill_gaps();
        assert!(mail.is_whole());
        let rng = &mut Rng::new(1, 1);
        let (llr, template) = mail.text(Voice::Campaign(0), rng);
        assert!((llr - 4.0).abs() < 1e-9 && matches!(template, Some(7 | 8)));
        assert_eq!(mail.text(Voice::PaddedCampaign(0), rng), (4.0, Some(9)));
        for voice in [Voice::Author(0), Voice::Anybody, Voice::Reports] {
            assert_eq!(mail.text(voice, rng), (-3.0, None), "{voice:?}");
        }
    }
}
