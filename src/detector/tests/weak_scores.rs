//! A classifier that tells spam and ordinary mail only roughly apart: both score by normal laws that
//! overlap. Its level blocks nobody in time; how unusual a score is for sender and tenant does.

use super::*;
use crate::types::hash::mix;

/// A normal law by mean and standard deviation. Scores are cut at eight nats.
type Law = (f64, f64);

/// Ordinary mail.
const HAM: Law = (-4.0, 2.0);
/// Spam that the classifier sees well, and spam that it hardly sees.
const SPAM: Law = (2.5, 2.0);
const HARD_SPAM: Law = (1.5, 1.5);
/// Messages of a person on a day, on average.
const A_DAY: u64 = 38;
const DAY_SECS: i64 = 86_400;
/// Days of history before an attack.
const HISTORY: i64 = 4;

/// Numbers without end, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0, 0x6469_6365)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn score(&mut self, (mean, deviation): Law) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        deviation.mul_add(normal, mean).clamp(-8.0, 8.0)
    }
}

/// What a message is like, apart from its score.
#[derive(Clone, Copy)]
struct Mail {
    at: i64,
    text: u64,
    to: u64,
    /// Recipients, numbered from `to` on.
    count: u64,
}

/// One tenant of people behind one client.
struct House {
    detector: Detector,
    people: Vec<Identity>,
    dice: Dice,
    days: i64,
    turn: u64,
}

impl House {
    fn new(seed: u64, people: u64, change: impl FnOnce(&mut Settings)) -> Self {
        let people =
            (0..people).map(|n| identity(&format!("p{n}@acme.example"), Strength::Authenticated));
        Self {
            detector: detector_with(change),
            people: people.collect(),
            dice: Dice(seed << 32),
            days: 0,
            turn: 0,
        }
    }

    /// Sends a message; whether it left, and whether it opened a block.
    fn send(&mut self, who: usize, mail: Mail, llr: f64) -> (bool, bool) {
        self.turn += 1;
        let identity = self.people[who].clone();
        let to: Vec<RecipientFacts> = (mail.to..mail.to + mail.count).map(external).collect();
        let now = at(mail.at);
        let message = MessageFacts {
            id: MessageId::from_parts(now, u32::try_from(self.turn).expect("small")),
            template: mail.text,
            ..facts(&identity, self.turn, llr, &to)
        };
        let verdict = self
            .detector
            .decide(now, &message, &identity, Reservation::default());
        let left = matches!(verdict.action, Action::Accept | Action::HighRisk);
        (left, verdict.open.is_some())
    }

    /// A day of ordinary mail of everybody; how many people were blocked.
    fn day(&mut self, law: Law) -> usize {
        let mut mails: Vec<(i64, usize)> = Vec::new();
        for who in 0..self.people.len() {
            // A few write much, many write little.
            let count = (A_DAY as f64 * 1.6 * self.dice.unit().powi(2) * 1.9) as u64;
            mails.extend((0..count).map(|_| {
                let second = DAY_SECS / 3 + self.dice.below(36_000) as i64;
                (self.days * DAY_SECS + second, who)
            }));
        }
        mails.sort_unstable();
        self.days += 1;
        let mut blocked = vec![false; self.people.len()];
        for (at, who) in mails {
            let mail = self.own(at, who);
            let llr = self.dice.score(law);
            let (_, blocks) = self.send(who, mail, llr);
            blocked[who] |= blocks;
        }
        blocked.into_iter().filter(|blocked| *blocked).count()
    }

    /// What a person writes: one in ten letters to several, one recipient in ten new.
    fn own(&mut self, at: i64, who: usize) -> Mail {
        let contact = if self.dice.below(10) == 0 {
            1000 + self.dice.below(1 << 40)
        } else {
            self.dice.below(40)
        };
        Mail {
            at,
            text: self.dice.next(),
            to: ((who as u64) << 44) + contact,
            count: if self.dice.below(10) == 0 { 3 } else { 1 },
        }
    }

    /// A campaign from these accounts, one message every so many seconds, while they go on as
    /// before; how many messages left. What it changed is put back.
    fn campaign(
        &mut self,
        accounts: &[usize],
        every: i64,
        messages: u64,
        strangers: bool,
        law: Law,
    ) -> u64 {
        let fork = self
            .detector
            .fork(accounts.iter().map(|who| &self.people[*who]));
        let begin = self.days * DAY_SECS + DAY_SECS / 3;
        let text = self.dice.next();
        let mut stopped = vec![false; accounts.len()];
        let mut left = 0;
        for n in 0..messages {
            let place = self.dice.below(accounts.len() as u64) as usize;
            let who = accounts[place];
            let to = if strangers {
                self.dice.below(1 << 40) + (1 << 60)
            } else {
                ((who as u64) << 44) + n % 40
            };
            let near = text ^ (1 << self.dice.below(64)) ^ (1 << self.dice.below(64));
            let mail = Mail {
                at: begin + n as i64 * every,
                text: near,
                to,
                count: 1,
            };
            let llr = self.dice.score(law);
            if stopped[place] {
                continue;
            }
            let (goes, blocks) = self.send(who, mail, llr);
            left += u64::from(goes);
            stopped[place] |= blocks;
        }
        self.detector.put_back(&fork);
        left
    }
}

/// A house with its days of history.
fn house(seed: u64, people: u64) -> House {
    let mut house = House::new(seed, people, |s| s.scoring.learning_messages = 500);
    for _ in 0..HISTORY {
        assert_eq!(house.day(HAM), 0, "seed {seed}");
    }
    house
}

/// Median and ninety-ninth percentile.
fn percentiles(mut left: Vec<u64>) -> (u64, u64) {
    left.sort_unstable();
    (left[left.len() / 2], left[(left.len() - 1) * 99 / 100])
}

/// How many messages of such a campaign leave, over many accounts.
fn leaks(
    seed: u64,
    accounts: usize,
    every: i64,
    messages: u64,
    strangers: bool,
    law: Law,
) -> (u64, u64) {
    let mut house = house(seed, 60);
    let runs = 100_u64.div_ceil(accounts as u64 / 4 + 1);
    let left = (0..runs).map(|n| {
        let chosen: Vec<usize> = (0..accounts).map(|a| (n as usize * 7 + a) % 60).collect();
        house.campaign(&chosen, every, messages, strangers, law)
    });
    percentiles(left.collect())
}

#[test]
fn a_change_is_news_however_weak_the_scores_are() {
    for (law, most) in [(SPAM, (5, 10)), (HARD_SPAM, (6, 13))] {
        for (name, every, messages, strangers) in [
            ("blast", 2, 600, true),
            ("medium", 12, 300, true),
            ("slow", 288, 300, true),
            ("lateral", 72, 50, false),
        ] {
            let left = leaks(1, 1, every, messages, strangers, law);
            assert!(
                left.0 <= most.0 && left.1 <= most.1,
                "{name} {law:?}: {left:?}"
            );
        }
    }
}

#[test]
fn nobody_is_blocked_for_ordinary_mail_with_weak_scores() {
    let mut house = house(2, 60);
    let wrong: usize = (0..50).map(|_| house.day(HAM)).sum();
    assert_eq!(wrong, 0, "of 3,000 sender-days");
}

#[test]
fn a_campaign_over_many_accounts_is_counted_together() {
    for (law, most) in [(SPAM, (15, 60)), (HARD_SPAM, (20, 60))] {
        let left = leaks(1, 50, 86, 1000, true, law);
        assert!(left.0 <= most.0 && left.1 <= most.1, "{law:?}: {left:?}");
    }
}

/// Copies of one text from one account to these recipients, a minute apart, with scores within a
/// tenth of a nat: how many left, how many were held or refused without a block, and whether the
/// account was blocked.
fn copies(
    house: &mut House,
    who: usize,
    llr: f64,
    count: u64,
    strangers: bool,
) -> (u64, u64, bool) {
    let (text, begin) = (house.dice.next(), house.days * DAY_SECS + DAY_SECS / 3);
    let (mut left, mut stopped) = (0, 0);
    // All of its contacts are known.
    for contact in 0..40 {
        let mail = Mail {
            at: begin - 7200 + contact as i64 * 60,
            text: house.dice.next(),
            to: ((who as u64) << 44) + contact,
            count: 1,
        };
        assert!(house.send(who, mail, -4.0).0);
    }
    for n in 0..count {
        let to = if strangers {
            house.dice.below(1 << 40) + (1 << 60)
        } else {
            ((who as u64) << 44) + n % 40
        };
        let near = text ^ (1 << house.dice.below(64));
        let mail = Mail {
            at: begin + n as i64 * 60,
            text: near,
            to,
            count: 1,
        };
        let llr = llr + house.dice.unit() / 10.0;
        let (goes, blocks) = house.send(who, mail, llr);
        if blocks {
            return (left, stopped, true);
        }
        left += u64::from(goes);
        stopped += u64::from(!goes);
    }
    (left, stopped, false)
}

#[test]
fn a_letter_to_many_with_an_odd_score_is_held_and_blocks_nobody() {
    for (who, llr) in [(55, 0.5), (56, 1.2), (57, 1.8), (58, 2.4)] {
        let mut house = house(3, 60);
        let (left, stopped, blocked) = copies(&mut house, who, llr, 100, false);
        assert!(!blocked, "{llr} {who}: after {left} and {stopped}");
    }
    // The spam of a taken-over account goes to strangers.
    let mut house = house(3, 60);
    for (who, llr) in [(55, 2.4), (56, 3.5), (57, 5.0)] {
        let (left, _, blocked) = copies(&mut house, who, llr, 100, true);
        assert!(blocked && left <= 6, "{llr}: {left} left, {blocked}");
    }
    // To people whom its owner knows, most of it is stopped all the same.
    for (who, llr) in [(50, 2.4), (51, 3.5), (52, 5.0)] {
        let (left, ..) = copies(&mut house, who, llr, 50, false);
        assert!(left <= 10, "{llr}: {left} left");
    }
}

#[test]
fn a_program_is_not_blocked_for_a_new_template_however_often_it_sends_it() {
    let mut house = house(4, 40);
    house
        .people
        .push(identity("shop@acme.example", Strength::Authenticated));
    let shop = house.people.len() - 1;
    let old = house.dice.next();
    let send = |house: &mut House, n: u64, text: u64, llr: f64| {
        let mail = Mail {
            at: house.days * DAY_SECS + n as i64 * 300,
            text: text ^ (1 << house.dice.below(64)),
            to: n * 77 + (1 << 59),
            count: 1,
        };
        house.send(shop, mail, llr)
    };
    for n in 0..200 {
        let llr = -3.0 + house.dice.unit();
        assert!(send(&mut house, n, old, llr).0);
    }
    for llr in [0.7, 2.0, 3.0, 4.0] {
        let new = house.dice.next();
        for n in 0..1000 {
            let (_, blocks) = send(&mut house, 200 + n, new, llr + house_noise(n));
            assert!(!blocks, "{llr}: copy {n}");
        }
        house.days += 5;
    }
}

/// Up to two tenths of a nat.
fn house_noise(n: u64) -> f64 {
    (n % 5) as f64 / 25.0
}

#[test]
fn the_past_of_a_sender_outlives_a_restart() {
    let measured = |house: &mut House| {
        let chosen: Vec<usize> = vec![30];
        house.campaign(&chosen, 2, 600, true, SPAM)
    };
    let mut before = house(5, 60);
    before.detector.watch_changes();
    let (mut snapshot, mut journal) = (Vec::new(), Vec::new());
    before.detector.snapshot(&mut snapshot).expect("written");
    before.day(HAM);
    before.detector.journal(&mut journal).expect("written");
    let after = detector_with(|s| s.scoring.learning_messages = 500);
    after.restore(&mut snapshot.as_slice()).expect("read");
    assert!(after.restore_journal(&mut journal.as_slice()) > 0);
    let past = |detector: &Detector| {
        let key = &before.people[30].key;
        detector.senders.read(key, |s| s.past).expect("known")
    };
    assert_eq!(past(&after), past(&before.detector));
    assert!(past(&after).texts() > 20.0);
    let dice = before.dice.0;
    let left = measured(&mut before);
    (before.detector, before.dice.0) = (after, dice);
    assert_eq!(measured(&mut before), left);
    assert!(left <= 10, "{left}");
}
