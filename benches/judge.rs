//! What judging costs: time of one message, octets of a sender and its recipients with a million
//! senders, events that a replay takes in a second, and whether the watched stay when ten million
//! senders are invented.
#![allow(clippy::print_stdout, reason = "the report")]

use outgate::exports as reader;
use outgate::exports::mix;
use outgate::exports::{Detector, Reservation};
use outgate::exports::{Domain, Identity, MessageId, SenderKey, Strength, TenantId, Time};
use outgate::exports::{MessageFacts, RecipientFacts};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// That of the relay.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time of this thread on a processor, so that a busy machine measures the same; since some start
/// where there is no such clock.
struct Stopwatch(Instant, Option<u64>);

fn on_processor() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

impl Stopwatch {
    fn start() -> Self {
        Self(Instant::now(), on_processor())
    }

    fn elapsed(&self) -> Duration {
        match (self.1, on_processor()) {
            (Some(before), Some(now)) => Duration::from_nanos(now - before),
            _ => self.0.elapsed(),
        }
    }
}

const START: i64 = 1_795_356_000;

fn identity(tenant: &TenantId, name: &str, strength: Strength) -> Identity {
    let address = format!("{name}@acme.example");
    let client = IpAddr::from([192, 0, 2, 7]);
    let key = match strength {
        Strength::Claimed => SenderKey::claimed(tenant, &address, client),
        _ => SenderKey::account(tenant, &address),
    };
    let domain = Domain::parse("acme.example");
    Identity {
        tenant: tenant.clone(),
        key,
        address: address.into(),
        domain,
        strength,
        client,
        foreign: false,
    }
}

fn send(detector: &Detector, who: &Identity, n: u64, seconds: u64, llr: f64, to: u64) {
    let now = Time::from_secs(START + i64::try_from(seconds).unwrap_or(0));
    let facts = MessageFacts {
        id: MessageId::from_parts(now, n as u32),
        identity: who,
        recipients: &[RecipientFacts {
            hash: mix(to, 9),
            internal: false,
        }],
        octets: 1000,
        fingerprint: mix(n, 5),
        origin: None,
        failed_logins: 0,
        template: 0,
        llr,
        listed: 0.0,
        probability: 1.0 / (1.0 + (-llr).exp()),
        symbols: &[],
        link_hosts: &[],
        is_report: false,
    };
    std::hint::black_box(detector.decide(now, &facts, who, Reservation::default()));
}

fn detector() -> Detector {
    Detector::new(Arc::new(reader::detector_alone()))
}

/// Two million messages of 20,000 senders at random, ten a second, one in a thousand flagged.
fn time_of_a_message() {
    const MESSAGES: u64 = 2_000_000;
    let (detector, tenant) = (detector(), TenantId::new("acme"));
    let who: Vec<Identity> = (0..20_000)
        .map(|n| identity(&tenant, &format!("u{n}"), Strength::Authenticated))
        .collect();
    let started = Stopwatch::start();
    for n in 0..MESSAGES {
        let Some(who) = who.get((mix(n, 3) % 20_000) as usize) else {
            continue;
        };
        send(
            &detector,
            who,
            n,
            n / 10,
            if n % 1000 == 0 { 6.0 } else { -3.5 },
            n % 1000,
        );
    }
    println!(
        "judging: {} ns a message",
        started.elapsed().as_nanos() / u128::from(MESSAGES)
    );
}

/// A million senders with ten days of mail each: a message a day, three in four to one of eight
/// people.
fn memory_of_a_sender() {
    const SENDERS: u64 = 1_000_000;
    let (detector, tenant) = (detector(), TenantId::new("acme"));
    let started = Stopwatch::start();
    for day in 0..10 {
        for n in 0..SENDERS {
            let who = identity(&tenant, &format!("user{n}"), Strength::Authenticated);
            let to = if mix(n, day).is_multiple_of(4) {
                day + 100
            } else {
                mix(day, n) % 8
            };
            send(
                &detector,
                &who,
                day * SENDERS + n,
                day * 86_400 + n * 86_400 / SENDERS,
                -3.5,
                n * 1000 + to,
            );
        }
    }
    let (records, all) = detector.memory();
    let tracked = detector.tracked();
    println!(
        "memory: {tracked} senders, {} octets each and {} more for recipients; {} ns a message",
        records / tracked,
        (all - records) / tracked,
        started.elapsed().as_nanos() / u128::from(SENDERS * 10)
    );
}

/// Ten million invented senders after a hundred with a history, half of them watched.
fn flood() {
    const INVENTED: u64 = 10_000_000;
    let (detector, tenant) = (detector(), TenantId::new("acme"));
    let known = |n: u64| identity(&tenant, &format!("user{n}"), Strength::Authenticated);
    // Three days of people who write to fifteen others; then a half of them sends what is flagged,
    // until the judge itself says that it watches them.
    const PEOPLE: u64 = 100;
    let mut number = 0;
    for n in 0..200 * PEOPLE {
        number += 1;
        send(
            &detector,
            &known(n % PEOPLE),
            number,
            n * 30,
            -3.5,
            n % PEOPLE * 100 + n / PEOPLE % 15,
        );
    }
    let seconds = 200 * PEOPLE * 30;
    let standing = |n: u64, seconds: u64| {
        let now = Time::from_secs(START + i64::try_from(seconds).unwrap_or(0));
        detector
            .sender(now, known(n).key.as_str())
            .map(|sender| sender.standing)
    };
    for n in 0..PEOPLE / 2 {
        for _ in 0..20 {
            if standing(n, seconds).as_deref() == Some("good") {
                number += 1;
                send(
                    &detector,
                    &known(n),
                    number,
                    seconds,
                    6.0,
                    1_000_000 + number,
                );
            }
        }
    }
    let watched: Vec<u64> = (0..PEOPLE)
        .filter(|n| standing(*n, seconds).as_deref() == Some("watched"))
        .collect();
    let started = Stopwatch::start();
    for n in 0..INVENTED {
        let who = identity(&tenant, &format!("x{:x}", mix(n, 77)), Strength::Claimed);
        send(&detector, &who, number + n, seconds + n / 10_000, -3.5, n);
    }
    let (tracked, after) = (detector.tracked(), seconds + INVENTED / 10_000);
    let stay = (0..PEOPLE)
        .filter(|n| standing(*n, after).is_some())
        .count();
    let still = watched
        .iter()
        .filter(|n| standing(**n, after).as_deref() == Some("watched"))
        .count();
    println!(
        "flood of {INVENTED}: {tracked} tracked, {} MB, {still} of {} still watched, {stay} of {PEOPLE} people known; {} ns a message",
        detector.memory().1 / 1_000_000,
        watched.len(),
        started.elapsed().as_nanos() / u128::from(INVENTED)
    );
}

/// Events with an LLR as `outgate replay` reads them.
fn replay_rate() {
    const EVENTS: u64 = 500_000;
    let mut lines = String::new();
    for n in 0..EVENTS {
        let _infallible = writeln!(
            lines,
            r#"{{"type":"message","time":{},"id":"m{n}","tenant":"acme","sender":"u{}@acme.example","client_ip":"192.0.2.7","recipients":["r{}@there.example"],"llr":{}}}"#,
            START + i64::try_from(n / 10).unwrap_or(0),
            mix(n, 3) % 20_000,
            mix(n, 4) % 5000,
            if n % 1000 == 0 { 6.0 } else { -3.5 }
        );
    }
    let started = Stopwatch::start();
    let done = reader::replay(
        reader::detector_alone(),
        &mut lines.as_bytes(),
        &mut std::io::sink(),
        &mut std::io::sink(),
    );
    let errors = done.map_or(u64::MAX, |summary| summary.errors);
    println!(
        "replay: {:.0} events a second, {errors} errors",
        EVENTS as f64 / started.elapsed().as_secs_f64()
    );
}

fn main() {
    // Cargo passes `--bench`; a word beside it chooses one of the parts.
    let chosen = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let parts: [(&str, fn()); 4] = [
        ("time", time_of_a_message),
        ("memory", memory_of_a_sender),
        ("flood", flood),
        ("replay", replay_rate),
    ];
    for (name, part) in parts {
        if chosen.as_deref().is_none_or(|chosen| chosen == name) {
            part();
        }
    }
}
