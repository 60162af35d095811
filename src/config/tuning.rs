//! Every number of the detector in one place. The defaults come from `outgate simulate`, not from
//! taste; they stand, key by key, in `[detector]` of `config/outgate.toml`.

/// What the detector assumes and where it draws its lines. All evidence is in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tuning {
    /// Share of the block's bound from which on a sender is watched.
    pub watch_share: f64,
    /// Hours after which half of the evidence is forgotten.
    pub half_life_hours: f64,
    /// Most that the content of one message can say against its sender ...
    pub content_most: f64,
    /// ... and most it can say for it.
    pub content_least: f64,
    /// Most that the recipients of one message can say.
    pub recipients_most: f64,
    /// Most that one unknown user can say.
    pub bounce_most: f64,
    /// A spam refusal by a remote site, or a complaint.
    pub refusal: f64,
    /// Part of a baseline that is left after a day.
    pub decay_per_day: f64,
    /// A sender is a newcomer for so many messages.
    pub newcomer_messages: f64,
    /// Most that the content of a newcomer's single mails can say: its template may always look
    /// like that.
    pub newcomer_content: f64,
    /// Most that the content of one mailing of a bulk sender can say: it is one template.
    pub bulk_content: f64,
    /// New recipients within an hour from which on a mailing may be unusual.
    pub mailing_recipients: f64,
    /// Surprise from which on such a mailing is held.
    pub mailing_nats: f64,
    /// Suspicious messages of a newcomer within an hour that are let through.
    pub newcomer_mailing: f64,
    /// Messages a day from which on the bounds of a sender rise by the logarithm of how many more
    /// it sends: the false-block rate is one of senders and days, and each message is one more
    /// chance to be wrong.
    pub busy_messages: f64,
    /// Minutes after which half of a client's or a text's pool is forgotten.
    pub pool_half_life_minutes: f64,
    /// Evidence of one message below this does not join its client's pool.
    pub pool_floor: f64,
    /// Most that one sender brings into the pool.
    pub pool_share: f64,
    /// Most that the pool adds to one sender's evidence; from here on it is hot.
    pub pool_hot: f64,
    /// Evidence of one message below this does not count for other accounts with the same text.
    pub template_floor: f64,
    /// Most that other accounts with the same text add to one sender's evidence; 0 = texts are not
    /// compared.
    pub template_hot: f64,
    /// Most that a network unlike a person's past adds to flagged content ...
    pub place_most: f64,
    /// ... an hour of the day unlike it ...
    pub hour_most: f64,
    /// ... and several wrong passwords just before the login.
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
    pub fn without(mut self, kind: &str) -> Option<Self> {
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
    pub fn more_for_volume(&self, messages: u32) -> f64 {
        (f64::from(messages) / self.busy_messages).max(1.0).ln()
    }

    /// Every number with its key, its least and its greatest value.
    pub fn keys(&mut self) -> [(&'static str, &mut f64, f64, f64); 24] {
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
            pool_hot: 10.0,
            template_floor: 1.5,
            template_hot: 10.0,
            place_most: 1.0,
            hour_most: 0.5,
            failed_logins_most: 1.0,
        }
    }
}
