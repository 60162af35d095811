//! The networks and hours a sender sends from, in eight octets: the last networks, and the hours of
//! the day.

use crate::config::tuning::Tuning;
use crate::types::Time;
use crate::types::hash::mix;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The circumstances of one message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::detector) struct Setting {
    /// The network of its author's mail program or browser ([`network`]); 0 = not known.
    pub network: u8,
    /// Hour of the day in UTC, 0-23.
    pub hour: u8,
    /// Wrong passwords for this account shortly before it was logged in to.
    pub failed_logins: u32,
}

/// The circumstances of a message that comes now from this address.
pub(in crate::detector) fn setting(
    now: Time,
    origin: Option<IpAddr>,
    failed_logins: u32,
) -> Setting {
    let hour = now.as_secs().div_euclid(3600).rem_euclid(24);
    Setting {
        network: origin.map_or(0, network),
        hour: u8::try_from(hour).unwrap_or(0),
        failed_logins,
    }
}

/// Eight bits of the hash of an address's /24 or /48; never 0.
fn network(address: IpAddr) -> u8 {
    let (kind, prefix) = match address.to_canonical() {
        IpAddr::V4(v4) => (4, u64::from(u32::from(v4) >> 8)),
        IpAddr::V6(v6) => (6, (u128::from(v6) >> 80) as u64),
    };
    (mix(prefix, kind) % 255) as u8 + 1
}

/// What the circumstances say against a sender, in nats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::detector) struct Circumstances {
    /// From a network unlike its own.
    pub place: f64,
    /// At an hour unlike its own.
    pub hour: f64,
    pub logins: f64,
}

impl Circumstances {
    pub(in crate::detector) fn sum(&self) -> f64 {
        self.place + self.hour + self.logins
    }

    /// The same, limited by how far the content bears it out; content itself can say `most`.
    #[must_use]
    pub(in crate::detector) fn at_most(self, most: f64) -> Self {
        let part = if self.sum() > most {
            most.max(0.0) / self.sum()
        } else {
            1.0
        };
        Self {
            place: self.place * part,
            hour: self.hour * part,
            logins: self.logins * part,
        }
    }
}

/// What is usual for one sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detector) struct Habits {
    /// The newest first; 0 = none.
    networks: [u8; 4],
    /// Bit `n`: it has sent in hour `n`.
    hours: [u8; 3],
    /// Share of its mail that came from networks not listed here, in 255ths.
    strange: u8,
}

impl Habits {
    /// What the circumstances of a message say of a sender with so many learned messages.
    pub(in crate::detector) fn weigh(
        &self,
        messages: u32,
        setting: Setting,
        tuning: &Tuning,
    ) -> Circumstances {
        let logins = if setting.failed_logins > Tuning::TYPING_ERRORS {
            tuning.failed_logins_most
        } else {
            0.0
        };
        if messages < Tuning::HABITS_KNOWN {
            return Circumstances {
                logins,
                ..Circumstances::default()
            };
        }
        let somewhere = setting.network != 0 && self.networks != [0; 4];
        let place = if somewhere && !self.networks.contains(&setting.network) {
            let share = (f64::from(self.strange) / 255.0).max(Tuning::NETWORK_STRANGE_LEAST);
            (Tuning::CAMPAIGN_STRANGE / share)
                .ln()
                .clamp(0.0, tuning.place_most)
        } else {
            0.0
        };
        // One hour earlier or later is the same time of the day.
        let near = [23, 0, 1]
            .iter()
            .any(|by| self.has_hour((setting.hour + by) % 24));
        Circumstances {
            place,
            hour: if near { 0.0 } else { tuning.hour_most },
            logins,
        }
    }

    fn has_hour(&self, hour: u8) -> bool {
        self.hours
            .get(usize::from(hour / 8))
            .is_some_and(|bits| bits >> (hour % 8) & 1 == 1)
    }

    /// Learns from a message of a sender in good standing.
    pub(in crate::detector) fn learn(&mut self, setting: Setting) {
        if let Some(bits) = self.hours.get_mut(usize::from(setting.hour / 8)) {
            *bits |= 1 << (setting.hour % 8);
        }
        if setting.network == 0 {
            return;
        }
        let place = self.networks.iter().position(|n| *n == setting.network);
        let was = f64::from(self.strange);
        // The first place of all is not strange.
        let strange = place.is_none() && self.networks != [0; 4];
        let now = if strange {
            was + (255.0 - was) * Tuning::NETWORK_PACE
        } else {
            was - was * Tuning::NETWORK_PACE
        };
        // Rounded in the direction of the change, so that it reaches the end value.
        self.strange = if strange { now.ceil() } else { now.floor() } as u8;
        if let Some(newer) = self.networks.get_mut(..=place.unwrap_or(3)) {
            newer.rotate_right(1);
        }
        if let Some(newest) = self.networks.first_mut() {
            *newest = setting.network;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str, hour: i64) -> Setting {
        setting(
            Time::from_secs(1_795_305_600 + hour * 3600),
            Some(address.parse().expect("an address")),
            0,
        )
    }

    fn weigh(habits: &Habits, setting: Setting) -> Circumstances {
        habits.weigh(100, setting, &Tuning::default())
    }

    #[test]
    fn another_network_and_another_time_of_day_are_unlike_the_past() {
        let mut habits = Habits::default();
        (0..100).for_each(|n| {
            habits.learn(from(
                ["192.0.2.7", "2001:db8:1::9"][n % 2],
                8 + (n % 9) as i64,
            ))
        });
        let usual = Circumstances::default();
        assert_eq!(
            weigh(&habits, from("192.0.2.200", 17)),
            usual,
            "the same /24, an hour later"
        );
        assert_eq!(
            weigh(&habits, from("2001:db8:1:ffff::1", 7)),
            usual,
            "the same /48"
        );
        let strange = weigh(&habits, from("198.51.100.1", 3));
        let tuning = Tuning::default();
        assert_eq!(
            (strange.place, strange.hour, strange.logins),
            (tuning.place_most, tuning.hour_most, 0.0)
        );
        assert_eq!(
            habits.weigh(5, from("198.51.100.1", 3), &tuning),
            usual,
            "too little is known"
        );
        assert_eq!(
            weigh(
                &habits,
                Setting {
                    network: 0,
                    ..from("192.0.2.1", 9)
                }
            ),
            usual,
            "a place that is not told says nothing"
        );
    }

    #[test]
    fn who_is_everywhere_is_nowhere_strange() {
        let mut habits = Habits::default();
        (0..200).for_each(|n| habits.learn(from(&format!("198.51.{n}.1"), n)));
        assert_eq!(
            weigh(&habits, from("192.0.2.1", 3)),
            Circumstances {
                place: 0.0,
                hour: 0.0,
                logins: 0.0
            }
        );
        // Who stays from then on is known to stay.
        (0..100).for_each(|_| habits.learn(from("192.0.2.1", 9)));
        assert!(weigh(&habits, from("203.0.113.1", 9)).place > 0.9);
    }

    #[test]
    fn wrong_passwords_beyond_typing_errors_count_also_for_somebody_new() {
        let logins = |failed_logins| {
            Habits::default()
                .weigh(
                    0,
                    Setting {
                        failed_logins,
                        ..Setting::default()
                    },
                    &Tuning::default(),
                )
                .logins
        };
        assert_eq!(
            (logins(2), logins(3)),
            (0.0, Tuning::default().failed_logins_most)
        );
    }

    #[test]
    fn no_more_than_the_content_bears_out() {
        let all = Circumstances {
            place: 1.0,
            hour: 0.5,
            logins: 0.5,
        };
        assert_eq!(all.at_most(3.0), all);
        assert_eq!(
            all.at_most(1.0),
            Circumstances {
                place: 0.5,
                hour: 0.25,
                logins: 0.25
            }
        );
        assert_eq!(
            (
                all.at_most(-1.0).sum(),
                Circumstances::default().at_most(0.0).sum()
            ),
            (0.0, 0.0)
        );
    }
}
