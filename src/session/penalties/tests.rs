//! What guessing costs, and whom.

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(second: i64) -> Time {
    Time::from_secs(1_795_356_000 + second)
}

/// One wrong password; what it had to wait in seconds.
fn wrong(penalties: &mut Penalties, second: i64, client: &str, user: &str) -> Option<u64> {
    let who = penalties.attempt(ip(client), user);
    penalties
        .admit(at(second), who)
        .map(|admission| admission.wait.as_secs())
}

/// The right password; what it had to wait in seconds, and the failures before it.
fn right(penalties: &mut Penalties, second: i64, client: &str, user: &str) -> Option<(u64, u32)> {
    let who = penalties.attempt(ip(client), user);
    let admission = penalties.admit(at(second), who)?;
    Some((
        admission.wait.as_secs(),
        penalties.succeeded(at(second), who, admission),
    ))
}

#[test]
fn guessing_costs_more_and_more_up_to_a_bound() {
    let pauses = [0, 2, 3, 4, 5, 8, u32::MAX].map(|n| pause_after(n).as_secs());
    assert_eq!(pauses, [0, 0, 1, 2, 4, 30, 30]);
}

#[test]
fn one_wrong_password_from_each_of_twelve_addresses_does_not_delay_the_owner() {
    let mut penalties = Penalties::default();
    for n in 0..12 {
        assert_eq!(
            wrong(&mut penalties, n, &format!("198.51.{n}.7"), "alice"),
            Some(0)
        );
    }
    assert_eq!(
        right(&mut penalties, 12, "192.0.2.1", "Alice").map(|(wait, _)| wait),
        Some(0)
    );
}

#[test]
fn a_thousand_networks_cost_the_owner_a_second_and_at_home_nothing() {
    let mut penalties = Penalties::default();
    assert_eq!(right(&mut penalties, 0, "192.0.2.1", "alice"), Some((0, 0)));
    for n in 0..1000 {
        let client = format!("198.{}.{}.7", n / 250, n % 250);
        assert!((0..3).all(|_| wrong(&mut penalties, 1, &client, "alice").is_some()));
    }
    assert_eq!(
        right(&mut penalties, 2, "192.0.2.99", "alice"),
        Some((0, 0)),
        "in the same /24 at home"
    );
    assert_eq!(
        right(&mut penalties, 2, "203.0.113.1", "alice").map(|(wait, _)| wait),
        Some(1),
        "on a journey"
    );
    assert_eq!(
        right(&mut penalties, 3, "203.0.113.1", "alice").map(|(wait, _)| wait),
        Some(0),
        "and known there now"
    );
}

#[test]
fn guesses_of_one_network_are_spaced_however_many_come_at_once() {
    let mut penalties = Penalties::default();
    let waits: Vec<_> = (0..200)
        .map(|n| wrong(&mut penalties, 0, &format!("198.51.100.{n}"), "alice"))
        .collect();
    assert_eq!(
        waits[..8],
        [
            Some(0),
            Some(0),
            Some(0),
            Some(1),
            Some(3),
            Some(7),
            Some(15),
            None
        ]
    );
    assert!(
        waits[8..].iter().all(Option::is_none),
        "the rest is put off unseen"
    );
    // One guess per half a minute from then on.
    let seen = (1..600)
        .filter(|second| wrong(&mut penalties, *second, "198.51.100.1", "alice").is_some())
        .count();
    assert!((19..=21).contains(&seen), "{seen}");
    let (six, other) = ("2001:db8:0:1::1", "2001:db8:0:1:2:3:4:5");
    assert!((0..7).all(|n| {
        wrong(
            &mut penalties,
            0,
            if n % 2 == 0 { six } else { other },
            "alice",
        )
        .is_some()
    }));
    assert_eq!(
        wrong(&mut penalties, 0, six, "alice"),
        None,
        "a /64 is one network"
    );
    assert_eq!(
        wrong(&mut penalties, 0, "2001:db8:0:2::1", "alice"),
        Some(1),
        "the next is another"
    );
}

#[test]
fn a_success_clears_nothing_that_the_network_did_to_others() {
    let mut penalties = Penalties::default();
    for _ in 0..5 {
        wrong(&mut penalties, 0, "198.51.100.1", "alice");
    }
    assert_eq!(
        right(&mut penalties, 5, "198.51.100.1", "mallory"),
        Some((0, 0))
    );
    assert_eq!(
        wrong(&mut penalties, 5, "198.51.100.1", "alice"),
        Some(2),
        "four seconds behind the fifth, as before"
    );
    assert_eq!(
        right(&mut penalties, 60, "198.51.100.1", "alice").map(|(_, failed)| failed),
        Some(6)
    );
    assert_eq!(
        right(&mut penalties, 60, "198.51.100.1", "alice"),
        Some((0, 0))
    );
}

#[test]
fn a_network_that_tries_many_accounts_waits_with_all_but_those_known_there() {
    let mut penalties = Penalties::default();
    assert!(right(&mut penalties, 0, "198.51.100.1", "colleague").is_some());
    let tried = (0..1000)
        .filter(|n| wrong(&mut penalties, 1, "198.51.100.1", &format!("user{n}")).is_some())
        .count();
    assert!((45..=60).contains(&tried), "{tried} guesses in one go");
    let later = (2..902)
        .filter(|s| wrong(&mut penalties, *s, "198.51.100.1", &format!("later{s}")).is_some())
        .count();
    assert!(later <= 900 / 2, "{later} in a quarter of an hour");
    assert_eq!(
        right(&mut penalties, 902, "198.51.100.1", "colleague").map(|(wait, _)| wait),
        Some(0)
    );
    assert_eq!(
        right(&mut penalties, 902, "192.0.2.1", "user1").map(|(wait, _)| wait),
        Some(0),
        "elsewhere nobody waits"
    );
}

#[test]
fn a_program_with_an_old_password_does_not_make_its_network_wait() {
    let mut penalties = Penalties::default();
    for second in (0..850).step_by(10) {
        wrong(&mut penalties, second, "192.0.2.1", "printer");
    }
    assert_eq!(
        right(&mut penalties, 851, "192.0.2.2", "alice").map(|(wait, _)| wait),
        Some(0)
    );
}

#[test]
fn guessing_at_home_is_bounded_too() {
    let mut penalties = Penalties::default();
    assert!(right(&mut penalties, 0, "192.0.2.1", "alice").is_some());
    let waits: Vec<_> = (0..110)
        .map(|_| wrong(&mut penalties, 1, "192.0.2.9", "alice"))
        .collect();
    assert_eq!(
        (waits[9], waits[10], waits[99]),
        (Some(0), Some(2), Some(2))
    );
    assert!(
        waits[102] > Some(2) || waits[102].is_none(),
        "known no longer: {:?}",
        &waits[95..]
    );
}

#[test]
fn a_flood_of_invented_names_takes_nothing_from_those_who_really_guess() {
    let mut penalties = Penalties::default();
    for _ in 0..7 {
        wrong(&mut penalties, 0, "198.51.100.1", "alice");
    }
    for n in 0..u32::try_from(RECORDS).unwrap() + 1000 {
        let client = IpAddr::from(Ipv4Addr::from_bits(n << 8));
        let who = penalties.attempt(client, &"x".repeat(9 + n as usize % 7));
        penalties.admit(at(0), who);
    }
    assert!(penalties.attempts.len() <= RECORDS && penalties.networks.len() <= RECORDS);
    assert_eq!(
        wrong(&mut penalties, 0, "198.51.100.1", "alice"),
        None,
        "still far from its next guess"
    );
}

#[test]
fn failures_are_forgotten_and_what_was_never_looked_at_counts_nothing() {
    let mut penalties = Penalties::default();
    for _ in 0..7 {
        wrong(&mut penalties, 0, "192.0.2.1", "alice");
    }
    assert_eq!(
        right(&mut penalties, 16 + 900, "192.0.2.1", "alice"),
        Some((0, 0))
    );
    let who = penalties.attempt(ip("203.0.113.1"), "bob");
    for _ in 0..100 {
        let admission = penalties.admit(at(0), who).unwrap();
        penalties.taken_back(who, admission);
    }
    assert_eq!(
        penalties.admit(at(0), who).map(|a| a.wait),
        Some(Duration::ZERO)
    );
}
