//! The simple detectors that ours is measured beside, on the same stream.

/// Names, in the order of [`References::message`].
pub(crate) const NAMES: [&str; COUNT] = [
    "10,000 a day",
    "1,000 a day + 500 an hour",
    "30 spam an hour",
    "6 messages, 50 %",
    "SPOT",
    "SPOT 1e-6",
    "pilot CUSUM",
    "pilot CUSUM at 25",
    "pilot CUSUM at 50",
];
pub(crate) const COUNT: usize = 9;

/// From here on a message counts as spam for them, in nats.
const FLAG_NATS: f64 = 1.0;
const PILOT_BOUNDS: [f64; 3] = [13.815_510_557_964_274, 25.0, 50.0];
/// Bounds of SPOT: ln((1 - beta) / alpha) of two error rates, and what is added per flag and per
/// other message (theta .2 / .9; Duan et al. 2012).
const SPOT: [f64; 2] = [4.595, 13.8155];
const SPOT_STEP: (f64, f64) = (1.504_077, -2.079_442);

/// The state of all of them for one sender.
#[derive(Debug, Clone, Default)]
pub(crate) struct References {
    hour: i64,
    day: i64,
    hour_recipients: u32,
    hour_spam: u32,
    day_recipients: u32,
    day_messages: u32,
    day_spam: u32,
    spot: [f64; 2],
    sums: [f64; 3],
    // The pilot's baselines: messages, flags, recipients, new, outcomes, bounces.
    base: [f64; 6],
}

impl References {
    fn age(&mut self, time: i64) {
        let (hour, day) = (time.div_euclid(3_600_000), time.div_euclid(86_400_000));
        if hour != self.hour {
            (self.hour, self.hour_recipients, self.hour_spam) = (hour, 0, 0);
        }
        if day != self.day {
            let keep = 0.97_f64.powi((day - self.day).clamp(0, 1000) as i32);
            self.base.iter_mut().for_each(|b| *b *= keep);
            (
                self.day,
                self.day_recipients,
                self.day_messages,
                self.day_spam,
            ) = (day, 0, 0, 0);
        }
    }

    /// Which of them block at this message; bit by place.
    pub(crate) fn message(&mut self, time: i64, recipients: u32, new: u32, llr: f64) -> u32 {
        self.age(time);
        let spam = llr > FLAG_NATS;
        self.hour_recipients += recipients;
        self.day_recipients += recipients;
        self.day_messages += 1;
        self.hour_spam += u32::from(spam);
        self.day_spam += u32::from(spam);
        let mut hits = 0;
        let mut hit = |place: u32, when: bool| hits |= u32::from(when) << place;
        hit(0, self.day_recipients > 10_000);
        hit(1, self.day_recipients > 1000 || self.hour_recipients > 500);
        hit(2, self.hour_spam > 30);
        hit(
            3,
            self.day_messages >= 6 && self.day_spam * 2 >= self.day_messages,
        );
        for (place, (sum, bound)) in (4..).zip(self.spot.iter_mut().zip(SPOT)) {
            *sum += if spam { SPOT_STEP.0 } else { SPOT_STEP.1 };
            hit(place, *sum >= bound);
            if *sum <= -bound {
                *sum = 0.0;
            }
        }
        let evidence = self.pilot(recipients, new, llr, spam);
        for (place, (sum, bound)) in (6..).zip(self.sums.iter_mut().zip(PILOT_BOUNDS)) {
            *sum = (*sum + evidence).max(0.0);
            hit(place, *sum >= bound);
        }
        if self.sums.first().is_some_and(|s| *s < 6.9) {
            let [messages, flags, seen, fresh, ..] = &mut self.base;
            *messages += 1.0;
            *flags += f64::from(u8::from(spam));
            *seen += f64::from(recipients);
            *fresh += f64::from(new);
        }
        hits
    }

    fn pilot(&self, recipients: u32, new: u32, llr: f64, spam: bool) -> f64 {
        let [messages, flags, seen, fresh, ..] = self.base;
        let share = (flags + 1.0) / (messages + 200.0);
        let content = if spam {
            llr.min(3.0).min((0.95 / share).ln())
        } else {
            llr.max(-2.4).max((0.05 / (1.0 - share)).ln())
        };
        let w = ((fresh + 15.0) / (seen + 50.0)).clamp(0.01, 0.99);
        let known = f64::from(recipients - new.min(recipients));
        let strangers = f64::from(new) * (0.95 / w).ln() + known * (0.05 / (1.0 - w)).ln();
        content + strangers.clamp(-3.0, 3.0)
    }

    /// The same for an outcome.
    pub(crate) fn outcome(&mut self, time: i64, bounced: bool) -> u32 {
        self.age(time);
        let [.., outcomes, bounces] = self.base;
        let b = ((bounces + 1.0) / (outcomes + 100.0)).clamp(1e-4, 0.99);
        let evidence = if bounced {
            (0.12 / b).ln()
        } else {
            (0.88 / (1.0 - b)).ln()
        }
        .clamp(-0.15, 2.5);
        let mut hits = 0;
        for (place, (sum, bound)) in (6_u32..).zip(self.sums.iter_mut().zip(PILOT_BOUNDS)) {
            *sum = (*sum + evidence).max(0.0);
            hits |= u32::from(*sum >= bound) << place;
        }
        if self.sums.first().is_some_and(|s| *s < 6.9) {
            let [.., outcomes, bounces] = &mut self.base;
            *outcomes += 1.0;
            *bounces += f64::from(u8::from(bounced));
        }
        hits
    }

    /// A block of the detector at `place` ended: its evidence begins anew.
    pub(crate) fn forgive(&mut self, place: u32) {
        match place {
            0 | 1 => (self.hour_recipients, self.day_recipients) = (0, 0),
            2 => self.hour_spam = 0,
            3 => (self.day_messages, self.day_spam) = (0, 0),
            4 | 5 => self.spot = self.spot.map(|s| s.min(0.0)),
            _ => {
                if let Some(sum) = self.sums.get_mut(place as usize - 6) {
                    *sum = 0.0;
                }
            }
        }
    }
}
