//! The numbers of the detector that no operator sets.

use super::Tuning;

/// What a class of senders assumes of one of them before the sender's own mail has spoken: a mean
/// share, and its weight in messages, recipients or outcomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Prior {
    /// Share of flagged messages; weight in messages.
    pub flagged: (f64, f64),
    /// Share of new recipients; weight in recipients.
    pub new: (f64, f64),
    /// Share of unknown users; weight in outcomes.
    pub bounced: (f64, f64),
}

impl Tuning {
    /// Somebody without a history. Everybody is new to such a sender.
    pub(crate) const PRIOR_NEWCOMER: Prior = Prior {
        flagged: (0.003, 1.0),
        new: (0.9, 5.0),
        bounced: (0.01, 100.0),
    };
    /// A person.
    pub(crate) const PRIOR_PERSON: Prior = Prior {
        flagged: (0.001, 20.0),
        new: (0.2, 10.0),
        bounced: (0.01, 100.0),
    };
    /// An application: one recipient at a time.
    pub(crate) const PRIOR_APPLICATION: Prior = Prior {
        flagged: (0.003, 1.0),
        new: (0.5, 5.0),
        bounced: (0.02, 100.0),
    };
    /// A bulk sender: one recipient at a time, many in an hour.
    pub(crate) const PRIOR_BULK: Prior = Prior {
        flagged: (0.01, 1.0),
        new: (0.05, 5.0),
        bounced: (0.01, 100.0),
    };
    /// Anybody in a tenant that has too few senders to learn classes from.
    pub(crate) const PRIOR_SMALL_TENANT: Prior = Prior {
        flagged: (0.005, 200.0),
        new: (0.3, 50.0),
        bounced: (0.01, 100.0),
    };
    /// Anybody in a tenant whose mail the relay has just begun to see: there all recipients are new,
    /// which says nothing.
    pub(crate) const PRIOR_NEW_TENANT: Prior = Prior {
        new: Self::PRIOR_NEWCOMER.new,
        ..Self::PRIOR_SMALL_TENANT
    };
}

/// Declares the numbers that no operator sets, and lists them for the test of `docs/detector.md`.
macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $value:expr;)*) => {
        /// The numbers that no operator sets.
        impl Tuning {
            $($(#[$doc])* pub(crate) const $name: $type = $value;)*
        }

        /// All fixed numbers by name.
        #[cfg(test)]
        pub(super) const FIXED: &[(&str, f64)] = &[$((stringify!($name), $value as f64)),*];
    };
}

fixed! {
    /// A message is flagged, and its content speaks against its sender, only above this
    /// log-likelihood ratio (nats; a probability of 0.73). Below it a model that meets unfamiliar
    /// mail says nothing reliable.
    FLAG_NATS: f64 = 1.0;
    /// Share of flagged messages that is assumed of a campaign.
    CAMPAIGN_FLAGGED: f64 = 0.95;
    /// The same of a campaign that the model hardly sees.
    SPARSE_FLAGGED: f64 = 0.3;
    /// Share of new recipients that is assumed of a campaign.
    CAMPAIGN_NEW: f64 = 0.95;
    /// Share of unknown users that is assumed of a campaign.
    CAMPAIGN_BOUNCES: f64 = 0.12;
    /// Share of mail of a taken-over account that comes from a network unlike its owner's.
    CAMPAIGN_STRANGE: f64 = 0.8;
    /// New recipients of one message up to which they say at most `recipients_most`.
    FEW_NEW: f64 = 5.0;
    /// Most that one delivery says for its sender, in nats.
    DELIVERED_LEAST: f64 = -0.15;
    /// Flagged messages that it takes at least to block while a tenant is new and too little is
    /// known of its other mail.
    LEARNING_MESSAGES_TO_BLOCK: f64 = 10.0;
    /// Evidence by rank is `ln(RANK_SHARE) - RANK_SLOPE * ln(p)` nats: p is uniform for ordinary
    /// mail, and near 0 for a campaign.
    RANK_SHARE: f64 = 0.2;
    /// The slope in the formula of `RANK_SHARE`.
    RANK_SLOPE: f64 = 0.8;
    /// Weight of the tenant's mail beside the sender's own, in messages.
    RANK_OF_TENANT: f64 = 20.0;
    /// Nats above the flag from which on evidence by rank counts whole.
    RANK_WHOLE_ABOVE_FLAG: f64 = 0.25;
    /// A usual share of new recipients below this counts as this when a surprise is measured.
    SURPRISE_USUAL_LEAST: f64 = 0.05;
    /// A usual share above this counts as this.
    SURPRISE_USUAL_MOST: f64 = 0.99;
    /// Of a sender with a larger usual share of new recipients nothing is a surprise.
    SURPRISE_ENDS: f64 = 0.8;
    /// Evidence of its strangers, in nats, from which on a message of a person is held while other
    /// accounts of the client send a campaign.
    CAMPAIGN_STRANGERS_NATS: f64 = 1.2;
    /// Flags of a sender count for others where its share of flagged messages is below this.
    COUNTS_FOR_OTHERS_BELOW: f64 = 0.02;
    /// Suspicion of others counts for a sender whose share of flagged messages is below this.
    OTHERS_COUNT_BELOW: f64 = 0.04;
    /// Nats of the content sum for which one of the sender's own flags is still under judgement, and
    /// no past yet.
    NATS_PER_JUDGED_FLAG: f64 = 1.5;
    /// A score that at most this share of a new tenant's mail reaches is unlike it.
    RARE_SHARE: f64 = 0.02;
    /// Suspicion of a text, in nats, from which on mail of a newcomer with it is held: what four
    /// other accounts bring.
    TEXT_OF_SEVERAL_NATS: f64 = 5.0;
    /// The strangers of a bulk sender's single mails bring it at most so far over the line where it
    /// is watched, in nats, with the most its content may say: its mailing is held, not blocked.
    BULK_OVER_WATCH: f64 = 0.05;
    /// Messages of a tenant from which on it has senders enough to learn classes from.
    ESTABLISHED_MESSAGES: u64 = 500;
    /// Messages after which a tenant's share of flags of a class outweighs the general one.
    CLASS_STRENGTH: f32 = 2000.0;
    /// A tenant's share of flags of a class is at most so many times, and at least one part in so
    /// many of, the general one.
    CLASS_RANGE: f64 = 10.0;
    /// Recipients after which the older half of them counts half: the share of new ones follows
    /// within two hundred.
    RECIPIENTS_REMEMBERED: f32 = 128.0;
    /// Share of messages to several recipients from which on a sender is a person.
    PERSON_MULTI: f32 = 0.03;
    /// Messages in one hour that a bulk sender has sent at least once.
    BULK_PEAK: f32 = 30.0;
    /// A newcomer has a clean past after so many messages that were not flagged.
    CLEAN_MESSAGES: f32 = 10.0;
    /// A past is clean with at most one flagged message for so many others.
    CLEAN_RATIO: f32 = 2.0;
    /// A newcomer is often flagged if one message in so many is.
    OFTEN_FLAGGED_RATIO: f32 = 4.0;
    /// Different texts that were not flagged, within a day, after which a past is clean in a new
    /// tenant.
    ORDINARY_TEXTS: u32 = 3;
    /// The share of flagged messages is not taken for smaller.
    FLAGGED_LEAST: f64 = 1e-5;
    /// The share of flagged messages is not taken for larger.
    FLAGGED_MOST: f64 = 0.95;
    /// The share of new recipients is not taken for smaller.
    NEW_LEAST: f64 = 0.01;
    /// The share of new recipients is not taken for larger: of somebody who writes to new people
    /// only, another one says nothing.
    NEW_MOST: f64 = 0.95;
    /// The share of unknown users is not taken for smaller.
    BOUNCED_LEAST: f64 = 1e-4;
    /// The share of unknown users is not taken for larger.
    BOUNCED_MOST: f64 = 0.99;
    /// Hours that a campaign over several accounts is expected to go on after an account was blocked
    /// for it.
    CAMPAIGN_HOURS: u64 = 24;
    /// So many times longer its suspicion lasts in that time.
    CAMPAIGN_LASTS_LONGER: f64 = 8.0;
    /// Accounts of a client are a campaign from this many times `pool_hot` on, once an account was
    /// blocked for it.
    CAMPAIGN_CONFIRMED: f64 = 0.8;
    /// The same before: three accounts can come together by chance.
    CAMPAIGN_UNCONFIRMED: f64 = 1.6;
    /// A campaign with less than this left, in nats, begins anew.
    CAMPAIGN_OVER_NATS: f32 = 0.1;
    /// The more messages a client sends in an hour than these, the less evidence by the sender's
    /// past counts for its other accounts; the fewer, the more.
    POOL_BUSY_MESSAGES: f64 = 180.0;
    /// By so many nats it counts more at most.
    POOL_QUIET_MOST: f64 = 1.0;
    /// Suspicion of a text, in nats, from which on copies of it are held.
    TEXT_HELD_NATS: f64 = 8.0;
    /// What a copy that scores like ordinary mail takes off the suspicion of a text, in nats.
    TEXT_EASES: f64 = 1.0;
    /// In a campaign beyond chance others with the text add so many times `template_hot` at most.
    TEXT_CAMPAIGN_MORE: f64 = 1.3;
    /// Hours after which a text that was not flagged again is over.
    TEXT_OVER_HOURS: u64 = 24;
    /// Hours after which a text that several accounts are flagged with, day by day, and nobody is
    /// blocked with, says nothing: it is how people's mail looks.
    TEXT_FAMILIAR_HOURS: u64 = 72;
    /// Accounts that must use a text before it can become familiar.
    TEXT_FAMILIAR_ACCOUNTS: usize = 3;
    /// One merely claimed sender brings at most this part of the bound against its client.
    CLAIMED_SHARE: f64 = 0.25;
    /// The claimed senders of a client are blocked together at this many times the bound.
    CLAIMED_BOUND: f64 = 2.0;
    /// All merely claimed senders of a client together may write so many times as much within their
    /// tenant as one blocked sender.
    CLAIMED_INTERNAL: u64 = 10;
    /// Messages after which the networks and hours of a sender are known.
    HABITS_KNOWN: u32 = 20;
    /// Part by which the share of mail from new networks changes with each message.
    NETWORK_PACE: f64 = 1.0 / 16.0;
    /// The share of mail from new networks is not taken for smaller.
    NETWORK_STRANGE_LEAST: f64 = 0.02;
    /// Wrong passwords before a login that anybody may have typed.
    TYPING_ERRORS: u32 = 2;
    /// External recipients who have not had it that make a message a part of a letter to many.
    /// Postfix splits by 50.
    LETTER_PART: u32 = 20;
    /// Recipients of a letter from which on its content is evidence once more, and again at each
    /// fourfold of that.
    LETTER_LONG: u32 = 200;
    /// Hours after which the same text is another letter.
    LETTER_HOURS: u64 = 24;
    /// Hours for which a text of a sender is remembered after it was met last.
    TEXT_HOURS: u64 = 24;
    /// Share of a day's mail about which complaints are normal.
    COMPLAINTS_NORMAL: f64 = 0.005;
    /// Share of a day's mail about which returned delivery reports are normal.
    RETURNS_NORMAL: f64 = 0.02;
    /// A returned delivery report says this part of what a refusal in the dialog says: anybody can
    /// write one.
    RETURN_WEIGHT: f64 = 0.5;
    /// All returned delivery reports together say no more than so many refusals.
    RETURNS_MOST: f64 = 2.0;
    /// Reports that count in full of a sender of little mail.
    REPORTS_FEW: f64 = 3.0;
    /// Part that each complaint, or each refusal, beyond those counts.
    REPORTS_BEYOND_FEW: f64 = 1.0 / 3.0;
    /// Messages of the day for which one more report counts.
    MESSAGES_PER_REPORT: f64 = 40.0;
    /// Days after which the same reporter is heard again.
    REPORTER_DAYS: u32 = 30;
    /// Part of the reports about older mail that is left after a day.
    REPORTS_KEPT_PER_DAY: f32 = 0.97;
    /// Different texts of a sender's past from which on its content counts by rank.
    PAST_LEAST: f64 = 8.0;
    /// Texts of the past that count at most; more are counted in proportion.
    PAST_MOST: f64 = 40.0;
    /// Weight of the tenant's mail beside the sender's past, in messages.
    PAST_OF_TENANT: f64 = 2.0;
    /// Scores that differ by less, in nats, are copies where no text is known.
    PAST_COPY: f64 = 0.5;
    /// Bits of half a fingerprint in which copies differ at most.
    PAST_COPY_BITS: u32 = 6;
    /// Copies of one text that differ from the first by less, in nats, score alike.
    TEXT_ALIKE: f64 = 0.25;
    /// All copies of one text that score alike say at most so many times what their score says: its
    /// own nats, or the logarithm of its rank.
    TEXT_SAYS: f64 = 1.5;
    /// A text is unlike the past where it says no less than `content_most` without this, in nats.
    TEXT_UNLIKE: f64 = 0.1;
    /// Messages of a tenant up to which all of its scores are noted.
    SCORES_ALL_MESSAGES: u64 = 10_000;
    /// Later one in so many is.
    SCORES_ONE_IN: u64 = 8;
    /// Scores remembered of a tenant, the newest.
    SCORES: usize = 300;
    /// Scores of one sender among them at most.
    SCORES_OF_ONE: usize = 15;
    /// Scores above even odds of one sender at most.
    HIGH_SCORES_OF_ONE: usize = 2;
    /// Scores of one sender that differ by less, in nats, are copies of one text and count once.
    SCORE_COPY: f32 = 0.01;
    /// Scores of others that are needed to compare with.
    SCORES_LEAST: usize = 25;
    /// Other senders that are needed to compare with.
    SCORES_LEAST_SENDERS: usize = 4;
    /// Part of the scores, the highest, to which an exponential tail is fitted.
    SCORE_TAIL: f64 = 0.1;
    /// Least mean of that tail, in nats.
    SCORE_TAIL_LEAST: f64 = 0.3;
    /// No share is taken for smaller than this part of one message among those compared with.
    SCORE_SHARE_LEAST: f64 = 0.3;
    /// A sender with this sum, in nats, is given up by a full table only for one with more.
    KEEP_NATS: f64 = 1.0;
    /// Half-life, in hours, by which a full table compares sums that were last added to at
    /// different times.
    KEEP_HALF_LIFE_HOURS: u64 = 12;
    /// A sender with fewer messages is given up first by a full table.
    KEEP_MESSAGES: u32 = 5;
    /// Proof of a sender with this sum, in nats, is given up last by a full table.
    KEEP_PROOF_NATS: f64 = 5.0;
}
