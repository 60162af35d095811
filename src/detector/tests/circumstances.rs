//! Place, hour and failed logins: they count with flagged content only.

use super::detector::established;
use super::*;

/// A message of `who` so many hours after the day, from there, after so many wrong passwords.
fn send_from(
    detector: &Detector,
    who: &Identity,
    hour: i64,
    llr: f64,
    origin: &str,
    failed_logins: u32,
) -> Decision {
    let to = [external(8)];
    let seconds = 86_400 + hour * 3600;
    let n = u64::try_from(seconds).expect("small");
    let origin = Some(origin.parse().expect("an address"));
    let facts = MessageFacts {
        origin,
        failed_logins,
        ..facts(who, n, llr, &to)
    };
    detector.decide(at(seconds), &facts, who, Reservation::default())
}

fn named(decision: &Decision) -> Vec<&str> {
    let names = decision.signals.iter().map(|s| &*s.name);
    names
        .filter(|n| n.starts_with("unusual") || n.starts_with("failed"))
        .collect()
}

#[test]
fn flagged_mail_says_more_from_elsewhere_at_night_after_wrong_passwords() {
    let detector = detector_with(|_| ());
    // More than 500 messages: there is a tenant to compare with, and those who write to several at
    // once are persons.
    let people = established(&detector, 10);
    for hour in 0..4 {
        for who in &people {
            assert_eq!(
                send_from(&detector, who, hour, -4.0, "198.51.100.7", 0).action,
                Action::Accept
            );
        }
    }
    let alike = send_from(&detector, &people[0], 4, 7.0, "198.51.100.9", 1);
    let unlike = send_from(&detector, &people[1], 12, 7.0, "203.0.113.9", 9);
    assert_eq!(named(&alike), Vec::<&str>::new(), "{alike:?}");
    assert_eq!(
        named(&unlike),
        ["unusual network", "unusual hour", "failed logins before"]
    );
    let sum = |j: &Decision| j.signals.iter().map(|s| s.weight).sum::<f32>();
    assert!(
        (2.0..=3.0).contains(&(sum(&unlike) - sum(&alike))),
        "{unlike:?}"
    );
    // Ordinary mail is ordinary mail wherever somebody travels.
    let travels = send_from(&detector, &people[2], 12, -4.0, "203.0.113.9", 9);
    assert_eq!(
        (named(&travels), travels.action),
        (Vec::new(), Action::Accept)
    );
    for kind in ["place", "hour", "failed_logins"] {
        let detector = detector_with(|s| s.detector = s.detector.without(kind).expect("a kind"));
        let who = &established(&detector, 10)[0];
        (0..4).for_each(|hour| drop(send_from(&detector, who, hour, -4.0, "198.51.100.7", 0)));
        assert_eq!(
            named(&send_from(&detector, who, 12, 7.0, "203.0.113.9", 9)).len(),
            2,
            "{kind}"
        );
    }
}
