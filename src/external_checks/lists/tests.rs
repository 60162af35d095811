//! Lists against a real name server on loopback.

use super::*;
use crate::delivery::testing::loopback;
use crate::dns::testing::{Dns, serve};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const DEADLINE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(40);
const PAUSE: Duration = Duration::from_secs(60);
const NOW: Time = Time::from_secs(1_795_356_000);

const ZONES: &str = "evil.com.dbl.example. A 127.0.1.4
    refused.com.dbl.example. A 127.255.255.254
    elsewhere.com.dbl.example. A 198.51.100.1
    7.113.0.203.zen.example. A 127.0.0.4
    7.113.0.203.zen.example. A 127.0.0.10
    8.113.0.203.zen.example. A 127.0.0.10
    1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.example. A 127.0.0.2
    evil.com.k3y.paid.example. A 127.0.1.2
    dbltest.com.dbl.example. A 127.0.1.2
    2.0.0.127.zen.example. A 127.0.0.2
    test.all.example. A 127.0.0.2
    invalid.all.example. A 127.0.0.2
    test.own.example. A 127.0.0.9
    test.odd.example. A 198.51.100.1
    dbltest.com.shy.example. A 127.255.255.254";

/// Lists by the configuration's text; `NAME ZONE` each.
fn configured(lists: &[(&str, &str)], more: &str) -> Vec<Arc<ListSettings>> {
    let text: String = lists
        .iter()
        .map(|(name, zone)| format!("[[list]]\nname = \"{name}\"\nzone = \"{zone}\"\n{more}\n"))
        .collect();
    crate::config::parse(&text, "test", &|_| None)
        .unwrap()
        .0
        .outside
        .lists
        .clone()
}

fn lists(dns: SocketAddr, deadline: Duration) -> Lists {
    let both = configured(
        &[
            ("spamhaus_dbl", "dbl.example"),
            ("spamhaus_zen", "zen.example"),
        ],
        "",
    );
    Lists::new(&both, &[dns], deadline, PAUSE).unwrap()
}

fn subjects(hosts: &[&str], client: &str) -> Subjects {
    let hosts: Vec<Box<str>> = hosts.iter().map(|h| (*h).into()).collect();
    Subjects::new(&hosts, client.parse().ok(), |_| false)
}

/// Answers in one line each, sorted.
fn show(answers: &[CheckAnswer]) -> Vec<String> {
    let mut lines: Vec<String> = answers
        .iter()
        .map(|a| match &a.finding {
            CheckFinding::Listed { what, says, nats } => {
                format!("{what} on {} as {says}: {nats}", a.source)
            }
            CheckFinding::Absent(why) => format!("{} absent: {why}", a.source),
            CheckFinding::Opinion { .. } => "an opinion".to_owned(),
        })
        .collect();
    lines.sort();
    lines
}

async fn ask(dns: &Dns, hosts: &[&str], client: &str) -> Vec<String> {
    show(
        &lists(dns.address, DEADLINE)
            .ask(NOW, &subjects(hosts, client))
            .await,
    )
}

#[tokio::test]
async fn hits_misses_refusals_and_failures() {
    let dns = serve(ZONES).await;
    let none: Vec<String> = vec![];
    assert_eq!(
        ask(&dns, &["www.evil.com"], "").await,
        ["link host www.evil.com on Spamhaus DBL as phishing: 5"]
    );
    assert_eq!(ask(&dns, &["www.good.com"], "203.0.113.1").await, none);
    assert_eq!(
        ask(&dns, &[], "203.0.113.7").await,
        ["client address 203.0.113.7 on Spamhaus ZEN as XBL, infected machine: 3"]
    );
    assert_eq!(
        ask(&dns, &[], "203.0.113.8").await,
        none,
        "a dynamic address may submit mail"
    );
    assert_eq!(
        ask(&dns, &["2001:db8::1"], "").await,
        ["link address 2001:db8::1 on Spamhaus ZEN as SBL, spam source: 3"]
    );
    let through_public = "the question came through a public resolver: use your own";
    assert_eq!(
        ask(&dns, &["refused.com", "good.com"], "").await,
        [format!("Spamhaus DBL absent: {through_public}")]
    );
    assert_eq!(
        ask(&dns, &["elsewhere.com"], "").await,
        ["Spamhaus DBL absent: answered 198.51.100.1, which no list does"]
    );
    assert_eq!(
        ask(&dns, &["servfail.com"], "").await,
        ["Spamhaus DBL absent: the name server answered Server Failure"]
    );
    // What could be asked still counts beside what failed.
    assert_eq!(ask(&dns, &["servfail.com", "evil.com"], "").await.len(), 2);
}

#[tokio::test]
async fn answers_are_kept_by_their_ttl() {
    let dns = serve(ZONES).await;
    let lists = lists(dns.address, DEADLINE);
    for _ in 0..5 {
        assert_eq!(
            lists
                .ask(NOW, &subjects(&["evil.com", "good.com"], "203.0.113.1"))
                .await
                .len(),
            1
        );
    }
    assert_eq!(dns.questions.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_key_stands_in_front_of_the_zone() {
    let dns = serve(ZONES).await;
    let paid = configured(&[("spamhaus_dbl", "paid.example")], "key = \"k3y\"");
    let lists = Lists::new(&paid, &[dns.address], DEADLINE, PAUSE).unwrap();
    assert_eq!(lists.ask(NOW, &subjects(&["evil.com"], "")).await.len(), 1);
}

#[tokio::test]
async fn a_refusal_shuts_the_list_at_once() {
    let dns = serve(ZONES).await;
    let lists = lists(dns.address, DEADLINE);
    lists.ask(NOW, &subjects(&["refused.com"], "")).await;
    let asked = dns.questions.load(Ordering::SeqCst);
    let left = show(&lists.ask(NOW, &subjects(&["evil.com"], "")).await);
    assert_eq!(
        left,
        ["Spamhaus DBL absent: left alone for a while after failures"]
    );
    assert_eq!(dns.questions.load(Ordering::SeqCst), asked);
}

/// A name server that is silent until it is told to answer, which it then does with "no such name".
struct Moody {
    address: SocketAddr,
    questions: Arc<AtomicUsize>,
    answers: Arc<AtomicBool>,
    _task: tokio::task::JoinHandle<()>,
}

async fn moody() -> Moody {
    let socket = tokio::net::UdpSocket::bind(loopback(0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let (questions, answers) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let (count, on) = (Arc::clone(&questions), Arc::clone(&answers));
    let task = tokio::spawn(async move {
        let mut packet = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut packet).await {
            count.fetch_add(1, Ordering::SeqCst);
            if on.load(Ordering::SeqCst) {
                // The question itself, turned into an answer with NXDOMAIN (RFC 1035 section
                // 4.1.1).
                packet[2] |= 0x80;
                packet[3] = 0x83;
                socket.send_to(&packet[..len], from).await.unwrap();
            }
        }
    });
    Moody {
        address,
        questions,
        answers,
        _task: task,
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_soon_not_asked_any_more() {
    let dns = moody().await;
    let lists = lists(dns.address, SHORT);
    let mut late = 0;
    for n in 0..200 {
        // Another host each time, so that nothing comes from the cache.
        let said = show(
            &lists
                .ask(NOW, &subjects(&[&format!("host{n}.com")], ""))
                .await,
        );
        late += usize::from(said == ["Spamhaus DBL absent: no answer in time"]);
        assert_eq!(said.len(), 1, "absent is visible: {said:?}");
    }
    assert_eq!(late, 3, "so many messages waited for it");
    // Each of the three questions was sent at most twice (one retry).
    assert!(
        dns.questions.load(Ordering::SeqCst) <= 6,
        "{:?}",
        dns.questions
    );
}

#[tokio::test]
async fn a_list_that_is_back_is_asked_again_and_no_mail_waits_for_the_trial() {
    let dns = moody().await;
    let lists = lists(dns.address, SHORT);
    for n in 0..3 {
        lists
            .ask(NOW, &subjects(&[&format!("host{n}.com")], ""))
            .await;
    }
    let mut later = NOW.after(PAUSE);
    dns.answers.store(true, Ordering::SeqCst);
    let trial = show(&lists.ask(later, &subjects(&["a.com"], "")).await);
    assert_eq!(
        trial,
        ["Spamhaus DBL absent: left alone for a while after failures"]
    );
    // One whose answer came too late for it is followed by another, a pause later: with another
    // host each time, so that there is a question.
    let mut hosts = (0..).map(|n| format!("b{n}.com"));
    let back = async {
        while !show(
            &lists
                .ask(later, &subjects(&[&hosts.next().expect("endless")], ""))
                .await,
        )
        .is_empty()
        {
            tokio::task::yield_now().await;
            later = later.after(PAUSE);
        }
    };
    tokio::time::timeout(Duration::from_secs(120), back)
        .await
        .expect("asked again");
}

#[tokio::test]
async fn the_check_says_what_is_wrong() {
    let dns = serve(ZONES).await;
    let one = async |name: &str, zone: &str, more: &str| {
        let list = configured(&[(name, zone)], more).remove(0);
        check(&list, &[dns.address])
            .await
            .map_err(|e| e.to_string())
    };
    let said = |text: &str| Ok(text.to_owned());
    assert_eq!(
        one("spamhaus_dbl", "dbl.example", "").await,
        said("dbltest.com is listed (spam), invalid is not")
    );
    assert_eq!(
        one("spamhaus_zen", "zen.example", "").await,
        said("127.0.0.2 is listed (SBL, spam source), 127.0.0.1 is not")
    );
    let own = "asks = [\"link_domains\"]";
    assert_eq!(
        one("own", "own.example", own).await,
        said("test is listed (127.0.0.9), invalid is not")
    );
    for (name, zone, more, wanted) in [
        (
            "spamhaus_dbl",
            "dlb.example",
            "",
            "the test point dbltest.com is not listed: is the zone dlb.example right?",
        ),
        ("spamhaus_dbl", "shy.example", "", "use your own"),
        (
            "own",
            "odd.example",
            own,
            "answered 198.51.100.1, which no list does: is the zone odd.example right, does the resolver alter answers?",
        ),
        (
            "own",
            "all.example",
            own,
            "invalid is listed, which must never be: everything would be; the list may have been shut down",
        ),
    ] {
        let why = one(name, zone, more).await.unwrap_err();
        assert!(why.contains(wanted), "{why}");
    }
}
