//! Real mail of one tenant and real campaigns against it: scores and fingerprints by author.

use super::content::Voice;
use super::people::near;
use super::rng::Rng;

/// One message: its score in nats, and the fingerprint of its text.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct ScoredText {
    /// The log-likelihood ratio, nats.
    pub llr: f32,
    /// The fingerprint; 0 = too short to tell.
    pub template: u64,
}

impl ScoredText {
    /// A copy of it: scored a little otherwise, with a fingerprint that differs in so many bits.
    pub(super) fn copy(self, nats: f64, bits: u32, rng: &mut Rng) -> (f64, u64) {
        let llr = nats.mul_add(rng.normal(), self.llr.into());
        let template = if self.template == 0 {
            0
        } else {
            near(self.template, rng.bits(), bits)
        };
        (llr, template)
    }
}

/// A tenant's real mail as one state of a model scores it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ScoredMail {
    name: String,
    authors: Vec<Vec<ScoredText>>,
    /// Texts of applications.
    templates: Vec<ScoredText>,
    /// Mail by anybody.
    anybody: Vec<ScoredText>,
    newsletters: Vec<Vec<ScoredText>>,
    reports: Vec<ScoredText>,
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

    pub(super) fn add_reports(&mut self, reports: impl Iterator<Item = ScoredText>) {
        self.reports.extend(reports);
    }

    /// Adds the messages of one author: of the tenant's own corpus or not, who is a person, a
    /// newsletter, an application, or none of them.
    pub(super) fn add_author(
        &mut self,
        texts: Vec<ScoredText>,
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

    pub(super) fn an_author(&self, rng: &mut Rng) -> usize {
        rng.below(self.authors.len() as u64) as usize
    }

    pub(super) fn a_newsletter(&self, rng: &mut Rng) -> usize {
        rng.below(self.newsletters.len() as u64) as usize
    }

    pub(super) fn a_campaign(&self, rng: &mut Rng) -> usize {
        rng.below(self.campaigns.len() as u64) as usize
    }

    pub(super) fn a_template(&self, rng: &mut Rng) -> ScoredText {
        any(&self.templates, rng).unwrap_or_default()
    }

    /// One message in that voice.
    pub(super) fn text(&self, voice: Voice, rng: &mut Rng) -> ScoredText {
        let of = |list: &[Vec<ScoredText>], number: usize, rng: &mut Rng| {
            list.get(number).and_then(|l| any(l, rng))
        };
        let text = match voice {
            Voice::Author(number) => of(&self.authors, number, rng),
            Voice::Newsletter(number) => of(&self.newsletters, number, rng),
            Voice::Campaign(number) => of(&self.campaigns, number, rng),
            Voice::PaddedCampaign(number) => of(&self.padded, number, rng),
            Voice::Reports => any(&self.reports, rng),
            Voice::Anybody => any(&self.anybody, rng),
            Voice::Template(text) => Some(text),
            Voice::Flagged(_)
            | Voice::Padded(_)
            | Voice::Around { .. }
            | Voice::PaddedAround { .. } => None,
        };
        text.unwrap_or_default()
    }

    /// One line: authors, and what is flagged at even odds.
    pub(crate) fn summary(&self) -> String {
        let flagged = |texts: &mut dyn Iterator<Item = &ScoredText>| {
            let (all, hit) = texts.fold((0, 0), |(all, hit), text| {
                (all + 1, hit + usize::from(text.llr > 0.0))
            });
            100.0 * hit as f64 / all.max(1) as f64
        };
        let share = |lists: &[Vec<ScoredText>]| flagged(&mut lists.iter().flatten());
        format!(
            "{}: {} authors ({:.2} % of their mail flagged), {} texts of applications ({:.1} %), {} newsletters ({:.1} %), {} campaigns ({:.1} %; padded {:.1} %)",
            self.name,
            self.authors.len(),
            share(&self.authors),
            self.templates.len(),
            flagged(&mut self.templates.iter()),
            self.newsletters.len(),
            share(&self.newsletters),
            self.campaigns.len(),
            share(&self.campaigns),
            share(&self.padded),
        )
    }
}

#[cfg(test)]
impl ScoredMail {
    /// Mean score of the persons' mail, and how many messages they have.
    pub(super) fn mean_of_persons(&self) -> (f32, usize) {
        let all = || self.authors.iter().flatten();
        let sum: f32 = all().map(|text| text.llr).sum();
        (sum / all().count() as f32, all().count())
    }

    /// All copies of all campaigns.
    pub(super) fn copies(&self) -> Vec<ScoredText> {
        self.campaigns.iter().flatten().copied().collect()
    }
}
