//! Every number of the detector in one place. The defaults come from `outgate simulate`, not from
//! taste. Operators set those of [`Tuning::keys`], in `[detector]` of `config/outgate.toml`; the
//! others are fixed. `docs/detector.md` lists all of them and is tested against this room.

mod fixed;

pub(crate) use fixed::Prior;

/// What the detector assumes and where it draws its lines. All evidence is in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tuning {
    /// Share of the block's bound from which on a sender is watched.
    pub watch_share: f64,
    /// Hours after which half of the evidence is forgotten.
    pub half_life_hours: f64,
    /// Most that the content of one message can say against its sender, in nats.
    pub content_most: f64,
    /// Most that the content of one message can say for its sender, in nats.
    pub content_least: f64,
    /// Most that a few recipients of one message can say, in nats.
    pub recipients_most: f64,
    /// Most that one unknown user can say, in nats.
    pub bounce_most: f64,
    /// What a spam refusal by a remote site, or a complaint, says, in nats.
    pub refusal: f64,
    /// Part of a baseline that is left after a day.
    pub decay_per_day: f64,
    /// Learned messages for which a sender is a newcomer.
    pub newcomer_messages: f64,
    /// Most that the content of a newcomer's single mails can say, in nats: its template may always
    /// look bad.
    pub newcomer_content: f64,
    /// Most that the content of one mailing of a bulk sender can say, in nats: it is one template.
    pub bulk_content: f64,
    /// New recipients within an hour from which on a mailing may be unusual.
    pub mailing_recipients: f64,
    /// Surprise, in nats, from which on such a mailing is held.
    pub mailing_nats: f64,
    /// Suspicious messages of a newcomer within an hour that are let through.
    pub newcomer_mailing: f64,
    /// Messages a day from which on the bounds of a sender rise by the logarithm of how many more
    /// it sends: the false-block rate is one of senders and days, and each message is one more
    /// chance to be wrong.
    pub busy_messages: f64,
    /// Minutes after which half of what accounts brought to their client or text is forgotten.
    pub pool_half_life_minutes: f64,
    /// Evidence of one message below this, in nats, does not count for other accounts of the client.
    pub pool_floor: f64,
    /// Most that one account brings to its client or text, in nats.
    pub pool_share: f64,
    /// Most that other accounts of the client add to one sender's evidence, in nats.
    pub pool_hot: f64,
    /// Evidence of one message below this, in nats, does not count for other accounts with the same
    /// text.
    pub template_floor: f64,
    /// Most that other accounts with the same text add to one sender's evidence, in nats; 0 = texts
    /// are not compared.
    pub template_hot: f64,
    /// Most that a network unlike a person's past adds to flagged content, in nats.
    pub place_most: f64,
    /// What an hour of the day unlike a person's past adds to flagged content, in nats.
    pub hour_most: f64,
    /// What several wrong passwords just before the login add to flagged content, in nats.
    pub failed_logins_most: f64,
}

/// Kinds of evidence and rules that the detector can be measured without.
pub(crate) const KINDS: [&str; 13] = [
    "content",
    "recipients",
    "bounces",
    "mailing",
    "pool",
    "templates",
    "place",
    "hour",
    "failed_logins",
    "newcomer_bound",
    "bulk_bound",
    "volume",
    "fading",
];

impl Tuning {
    /// The same numbers with one of [`KINDS`] taken out; `None` for another name.
    pub(crate) fn without(mut self, kind: &str) -> Option<Self> {
        match kind {
            "content" => self.content_most = 0.0,
            "recipients" => self.recipients_most = 0.0,
            "bounces" => self.bounce_most = 0.0,
            "mailing" => self.mailing_recipients = 0.0,
            "pool" => self.pool_hot = 0.0,
            "templates" => self.template_hot = 0.0,
            "place" => self.place_most = 0.0,
            "hour" => self.hour_most = 0.0,
            "failed_logins" => self.failed_logins_most = 0.0,
            "newcomer_bound" => self.newcomer_content = f64::INFINITY,
            "bulk_bound" => self.bulk_content = f64::INFINITY,
            "volume" => self.busy_messages = f64::INFINITY,
            "fading" => self.half_life_hours = f64::INFINITY,
            _ => return None,
        }
        Some(self)
    }

    /// By how many nats the bounds of a sender of so many messages in the last day are higher.
    pub(crate) fn more_for_volume(&self, messages: u32) -> f64 {
        (f64::from(messages) / self.busy_messages).max(1.0).ln()
    }

    /// Every number with its key, its least and its greatest value.
    pub(crate) fn keys(&mut self) -> [(&'static str, &mut f64, f64, f64); 24] {
        [
            ("watch_share", &mut self.watch_share, 0.1, 1.0),
            ("half_life_hours", &mut self.half_life_hours, 0.1, 10_000.0),
            ("content_most", &mut self.content_most, 0.0, 100.0),
            ("content_least", &mut self.content_least, -100.0, 0.0),
            ("recipients_most", &mut self.recipients_most, 0.0, 100.0),
            ("bounce_most", &mut self.bounce_most, 0.0, 100.0),
            ("refusal", &mut self.refusal, 0.0, 100.0),
            ("decay_per_day", &mut self.decay_per_day, 0.0, 1.0),
            ("newcomer_messages", &mut self.newcomer_messages, 0.0, 1e6),
            ("newcomer_content", &mut self.newcomer_content, 0.0, 1000.0),
            ("bulk_content", &mut self.bulk_content, 0.0, 1000.0),
            ("mailing_recipients", &mut self.mailing_recipients, 0.0, 1e9),
            ("mailing_nats", &mut self.mailing_nats, 0.0, 1e6),
            ("newcomer_mailing", &mut self.newcomer_mailing, 0.0, 1e9),
            ("busy_messages", &mut self.busy_messages, 1.0, 1e9),
            (
                "pool_half_life_minutes",
                &mut self.pool_half_life_minutes,
                0.1,
                1e6,
            ),
            ("pool_floor", &mut self.pool_floor, 0.0, 1000.0),
            ("pool_share", &mut self.pool_share, 0.0, 1000.0),
            ("pool_hot", &mut self.pool_hot, 0.0, 1000.0),
            ("template_floor", &mut self.template_floor, 0.0, 1000.0),
            ("template_hot", &mut self.template_hot, 0.0, 1000.0),
            ("place_most", &mut self.place_most, 0.0, 100.0),
            ("hour_most", &mut self.hour_most, 0.0, 100.0),
            (
                "failed_logins_most",
                &mut self.failed_logins_most,
                0.0,
                100.0,
            ),
        ]
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            watch_share: 0.8,
            half_life_hours: 12.0,
            content_most: 3.0,
            content_least: -1.7,
            recipients_most: 3.0,
            bounce_most: 2.5,
            refusal: 2.5,
            decay_per_day: 0.97,
            newcomer_messages: 50.0,
            newcomer_content: 6.5,
            bulk_content: 4.6,
            mailing_recipients: 60.0,
            mailing_nats: 20.0,
            newcomer_mailing: 10.0,
            busy_messages: 40.0,
            pool_half_life_minutes: 60.0,
            pool_floor: 2.4,
            pool_share: 5.0,
            pool_hot: 12.0,
            template_floor: 1.0,
            template_hot: 12.0,
            place_most: 1.0,
            hour_most: 0.5,
            failed_logins_most: 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// The rows of the page's tables: the name and the cells after it.
    fn rows() -> HashMap<String, Vec<String>> {
        include_str!("../../docs/detector.md")
            .lines()
            .filter_map(|line| {
                line.strip_prefix("| `")?
                    .strip_suffix(" |")?
                    .split_once("` | ")
            })
            .map(|(name, cells)| {
                let cells = cells.split(" | ").map(str::to_owned).collect();
                (name.to_owned(), cells)
            })
            .collect()
    }

    /// Numbers that are kept in single precision are compared so.
    fn same(cell: Option<&String>, value: f64) -> bool {
        cell.and_then(|cell| cell.parse::<f64>().ok())
            .is_some_and(|told| told as f32 == value as f32)
    }

    #[test]
    fn the_page_tells_every_number() {
        let rows = rows();
        let mut tuning = Tuning::default();
        let keys = tuning
            .keys()
            .map(|(name, value, ..)| (name, *value))
            .into_iter();
        for (name, value) in keys.chain(fixed::FIXED.iter().copied()) {
            let cell = rows.get(name).and_then(|cells| cells.first());
            assert!(
                same(cell, value),
                "docs/detector.md must have the row `{name}` with {value}, not {cell:?}"
            );
        }
    }

    #[test]
    fn the_page_tells_every_prior() {
        let rows = rows();
        let priors = [
            ("PRIOR_NEWCOMER", Tuning::PRIOR_NEWCOMER),
            ("PRIOR_PERSON", Tuning::PRIOR_PERSON),
            ("PRIOR_APPLICATION", Tuning::PRIOR_APPLICATION),
            ("PRIOR_BULK", Tuning::PRIOR_BULK),
            ("PRIOR_SMALL_TENANT", Tuning::PRIOR_SMALL_TENANT),
            ("PRIOR_NEW_TENANT", Tuning::PRIOR_NEW_TENANT),
        ];
        for (name, prior) in priors {
            let cells = [prior.flagged, prior.new, prior.bounced]
                .map(|(mean, weight)| format!("{mean} / {weight}"));
            assert_eq!(
                rows.get(name).map(Vec::as_slice),
                Some(&cells[..]),
                "docs/detector.md, row `{name}`"
            );
        }
    }
}
