use super::*;
use crate::score::model::Model;

fn scorer() -> Scorer {
    Scorer::shipped().expect("the shipped model is sound")
}

fn at(day: i64) -> Time {
    Time::from_secs(86_400 * (20_000 + day))
}

fn memo(n: usize) -> Vec<u8> {
    let topics = [
        "budget", "garden", "printer", "holiday", "invoice", "meeting", "contract",
    ];
    let (a, b) = (topics[n % 7], topics[(n / 7) % 7]);
    format!(
        "From: Carol <carol@acme.example>\r\nTo: Bob <bob@acme.example>\r\nSubject: Notes on the {a}\r\n\r\nHi Bob,\r\n\r\nthe {a} is settled, \
         number {n}; we look at the {b} on Tuesday. Thanks for your comments.\r\n\r\nCarol\r\n"
    )
    .into_bytes()
}

/// What the shipped model is less sure of.
fn reminder(n: usize) -> Vec<u8> {
    let goods = ["printer", "garden hose", "bicycle", "kettle", "lamp"];
    format!(
        "From: Carol <carol@acme.example>\r\nTo: Bob <bob@partner.example>\r\nSubject: Our {} of the week, number {n}\r\n\r\nDear customer,\r\n\r\n\
         this week our {} is 20% off. Order it at http://acme.example/order/{n} or call us.\r\n\r\nCarol\r\n",
        goods[n % 5], goods[n % 5]
    )
    .into_bytes()
}

const OFFER: &[u8] =
    b"From: Sales <sales@acme.example>\r\nTo: bob@partner.example\r\nSubject: Limited time offer\r\n\r\nDear customer, \
    act now and save 70% on all watches. Click here to order: http://watches.example/order Unsubscribe here.\r\n";

fn acme() -> TenantId {
    TenantId::new("acme")
}

fn warm(learner: &Learner, messages: usize) {
    warm_with(learner, messages, memo);
}

fn warm_with(learner: &Learner, messages: usize, mail: fn(usize) -> Vec<u8>) {
    for n in 0..messages {
        let (_, lesson) = learner.score(&acme(), &mail(n));
        learner.assume(at(0), &acme(), n as u64 % 40, &lesson);
    }
}

fn learned(learner: &Learner, name: &str) -> u64 {
    learner.store.get(name).read().delta.learned()
}

#[test]
fn what_was_learned_survives_a_restart() {
    let dir = tempfile::tempdir().expect("folder");
    let folder = dir.path().join("learned");
    let learner = Learner::new(scorer(), folder.clone());
    warm(&learner, 120);
    let (before, _) = learner.score(&acme(), &memo(500));
    assert!(
        before.llr < scorer().score(&memo(500)).llr,
        "own mail lies lower than by the shipped model"
    );
    learner.save();
    assert_eq!(
        std::fs::read_dir(&folder).expect("folder").count(),
        2,
        "the tenant's and the node's"
    );
    let again = Learner::new(scorer(), folder);
    assert_eq!(again.score(&acme(), &memo(500)).0, before);
    assert_eq!(learned(&again, "acme"), 120);
}

#[test]
fn a_damaged_file_is_set_aside_and_learning_starts_anew() {
    let dir = tempfile::tempdir().expect("folder");
    let learner = Learner::new(scorer(), dir.path().into());
    warm(&learner, 10);
    learner.save();
    for entry in std::fs::read_dir(dir.path()).expect("folder") {
        let path = entry.expect("entry").path();
        let mut octets = std::fs::read(&path).expect("file");
        octets[1000] ^= 1;
        std::fs::write(&path, octets).expect("written");
    }
    let again = Learner::new(scorer(), dir.path().into());
    assert_eq!(learned(&again, "acme"), 0);
    assert_eq!(
        again.score(&TenantId::new("acme"), OFFER).0,
        scorer().score(OFFER)
    );
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .expect("folder")
        .map(|e| e.expect("entry").path())
        .collect();
    assert!(
        names
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "damaged"))
            .count()
            >= 1,
        "{names:?}"
    );
}

#[test]
fn one_sender_teaches_no_more_than_its_share_but_labels_always_teach() {
    let dir = tempfile::tempdir().expect("folder");
    let learner = Learner::new(scorer(), dir.path().into());
    for n in 0..200 {
        let (_, lesson) = learner.score(&acme(), &memo(n));
        learner.assume(at(0), &acme(), 7, &lesson);
    }
    assert_eq!(learned(&learner, "acme"), 50);
    let (_, lesson) = learner.score(&acme(), &memo(1));
    learner.assume(at(1), &acme(), 7, &lesson);
    assert_eq!(
        learned(&learner, "acme"),
        51,
        "the next day there is room again"
    );
    let id = MessageId(5);
    learner.remember(id, &acme(), &lesson);
    assert_eq!(learner.label(at(1), id, &acme(), false, None), Ok(()));
    assert_eq!(learned(&learner, "acme"), 52);
}

#[test]
fn a_label_teaches_at_once_and_only_its_own_tenant_may_give_it() {
    let dir = tempfile::tempdir().expect("folder");
    let learner = Learner::new(scorer(), dir.path().into());
    warm(&learner, 60);
    let (before, lesson) = learner.score(&acme(), OFFER);
    let id = MessageId(77);
    learner.remember(id, &acme(), &lesson);
    assert_eq!(
        learner.label(at(0), id, &TenantId::new("other"), true, None),
        Err(Forgotten)
    );
    assert_eq!(
        learner.label(at(0), MessageId(78), &acme(), true, None),
        Err(Forgotten)
    );
    assert_eq!(learner.label(at(0), id, &acme(), true, None), Ok(()));
    let after = learner.score(&acme(), OFFER).0;
    assert!(after.llr > before.llr + 0.3, "{} {}", before.llr, after.llr);
    assert_eq!(
        learner.label(at(0), MessageId(78), &acme(), false, Some(OFFER)),
        Ok(()),
        "found in the spool"
    );
    assert!(learner.score(&acme(), OFFER).0.llr < after.llr);
}

#[test]
fn a_new_tenant_profits_from_the_node_until_its_own_mail_is_known() {
    let dir = tempfile::tempdir().expect("folder");
    let learner = Learner::new(scorer(), dir.path().into());
    warm_with(&learner, 60, reminder);
    let new = TenantId::new("new");
    let shipped = scorer().score(&reminder(900)).llr;
    let adapted = learner.score(&new, &reminder(900)).0.llr;
    assert!(adapted < shipped, "{adapted} {shipped}");
    assert_eq!(
        (learned(&learner, "new"), learned(&learner, NODE)),
        (0, 50),
        "one tenant teaches the node its share"
    );
}

#[test]
fn spam_is_never_assumed_to_be_ordinary() {
    let dir = tempfile::tempdir().expect("folder");
    let learner = Learner::new(scorer(), dir.path().into());
    let spam = b"From: x@y.example\r\nReply-To: claims@gmail.com\r\nSubject: CONGRATULATIONS YOU HAVE WON!!!\r\n\r\nYour email address has won the \
        sum of $2,500,000.00. Contact our claims agent with your full name, address and telephone number. Reply immediately.\r\n";
    let (score, lesson) = learner.score(&acme(), spam);
    assert!(score.llr > 1.0, "{}", score.llr);
    learner.assume(at(0), &acme(), 1, &lesson);
    assert_eq!(learned(&learner, "acme"), 0);
    learner.save();
    assert!(learner.store.get("acme").read().delta.disagreement() > 0.0);
}

#[test]
fn hostile_files_are_refused_not_obeyed() {
    let model = Model::clone(scorer().model());
    let mut delta = Delta::default();
    delta.learn(&model, &adapt::Lesson::default(), Label::Ham);
    let good = delta.to_bytes(&SenderShares::default(), 3);
    assert!(Delta::from_bytes(&good).is_ok_and(|(d, _, day)| d.learned() == 1 && day == 3));
    for cut in (0..good.len()).step_by(4099) {
        assert!(Delta::from_bytes(&good[..cut]).is_err());
    }
    // A right checksum over wrong content.
    let seal = |mut octets: Vec<u8>| {
        octets.truncate(octets.len() - 4);
        let sum = crc32c::crc32c(&octets).to_le_bytes();
        octets.extend(sum);
        octets
    };
    let mut endless = good.clone();
    let at = endless.len() - 8;
    endless[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(Delta::from_bytes(&seal(endless)).is_err());
    // Weights, and of the floats before them the last two: a tail, and a share.
    for (at, wrong) in [
        (200, f32::NAN),
        (84, -0.1),
        (88, 1.5),
        (88, -0.1),
        (88, f32::NAN),
    ] {
        let mut wild = good.clone();
        wild[at..at + 4].copy_from_slice(&wrong.to_le_bytes());
        assert!(Delta::from_bytes(&seal(wild)).is_err(), "{wrong} at {at}");
    }
}

/// The file of a tenant that was not in memory was read under the lock of all tenants: while the
/// disk was slow, every session stood still.
#[test]
fn a_tenant_whose_file_is_slow_to_read_holds_up_nobody_else() {
    use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
    let dir = tempfile::tempdir().expect("folder");
    let learner = Arc::new(Learner::new(scorer(), dir.path().into()));
    learner.score(&acme(), OFFER);
    let path = dir
        .path()
        .join(format!("{:016x}.delta", stable_hash(&[b"slow"])));
    mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).expect("a pipe");
    let slow = {
        let learner = Arc::clone(&learner);
        std::thread::spawn(move || learner.score(&TenantId::new("slow"), OFFER).0)
    };
    // It can be opened for writing without a wait only once somebody has it open for reading, who
    // then waits for its end.
    let writing = loop {
        match open(&path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()) {
            Ok(pipe) => break pipe,
            Err(_) => std::thread::yield_now(),
        }
    };
    let (done, others) = std::sync::mpsc::channel();
    let other = {
        let learner = Arc::clone(&learner);
        std::thread::spawn(move || {
            for tenant in ["acme", "new"] {
                learner.score(&TenantId::new(tenant), OFFER);
            }
            let _ = done.send(());
        })
    };
    assert!(
        others
            .recv_timeout(std::time::Duration::from_secs(30))
            .is_ok(),
        "others wait for the disk of one tenant"
    );
    drop(writing);
    let first = slow.join().expect("read in the end");
    other.join().expect("done");
    assert_eq!(first, learner.score(&TenantId::new("new"), OFFER).0);
}

#[test]
fn tenants_beyond_what_memory_holds_are_put_back_and_read_again() {
    let dir = tempfile::tempdir().expect("folder");
    let store = LearnStore::new(Some(dir.path().join("learned")));
    for n in 0..4 {
        let slot = store.get(&n.to_string());
        let mut entry = slot.write();
        (entry.day, entry.changed) = (100 + n, true);
    }
    (4..500).for_each(|n| drop(store.get(&n.to_string())));
    assert!(store.len() <= 384, "{}", store.len());
    assert_eq!(
        (0..4)
            .map(|n| store.get(&n.to_string()).read().day)
            .collect::<Vec<_>>(),
        [100, 101, 102, 103]
    );
}

/// The page is what people trust; its numbers are those of the code, all of them.
#[test]
fn the_page_states_the_numbers_of_the_code() {
    let own = [
        ("IN_MEMORY", store::IN_MEMORY as f64),
        ("OCTETS", recent::OCTETS as f64),
    ];
    let known = adapt::numbers::NUMBERS.iter().chain(&own);
    let mut wanted: Vec<(String, String)> = known
        .map(|(path, value)| {
            let name = path.rsplit("::").next().unwrap_or(path).trim();
            // A number that is kept in 32 bits is printed as such.
            (name.to_owned(), (*value as f32).to_string())
        })
        .collect();
    let page = include_str!("../../docs/learning.md");
    let (_, table) = page.split_once("## Numbers").expect("the table");
    let mut stated: Vec<(String, String)> = table
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let name = cells.next()?.trim_end_matches('`');
            Some((name.to_owned(), cells.next()?.to_owned()))
        })
        .collect();
    wanted.sort();
    stated.sort();
    assert_eq!(stated, wanted);
}
