//! The accept path with the real spool, queue and records; nothing is delivered.

use super::*;
use crate::api::QueueState;
use crate::blocks::rules;
use crate::detector::testing;
use crate::learn::{Labels, Learner};
use crate::mail::received::Trace;
use crate::moderation::Actor;
use crate::queue::Backlog;
use crate::queue::tests::Silent;
use crate::score::Scorer;
use crate::types::NewBlock;
use crate::types::{Block, Role, Time};
use crate::types::{
    BlockKind, BlockRef, BlockState, BodyType, Envelope, HoldReason, Reason, ReleaseVerdict,
    SenderScope, TenantId,
};
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A clock at which something happens between two readings, as another session would have it.
#[derive(Default)]
struct Meanwhile(Mutex<Option<Box<dyn FnMut() -> bool + Send>>>);

impl Clock for Meanwhile {
    fn now(&self) -> Time {
        // Out of its place meanwhile: what happens may read the clock itself.
        let event = self.0.lock().unwrap().take();
        if let Some(mut event) = event
            && !event()
        {
            *self.0.lock().unwrap() = Some(event);
        }
        Time::from_secs(1_795_356_000)
    }
}

struct Room {
    intake: Intake,
    clock: Arc<Meanwhile>,
    peer: Peer,
    _settings: watch::Sender<Arc<Settings>>,
    _dir: tempfile::TempDir,
}

fn room() -> Room {
    let dir = tempfile::tempdir().unwrap();
    let settings = Arc::new(testing::settings());
    let clock = Arc::new(Meanwhile::default());
    let (sender, receiver) = watch::channel(Arc::clone(&settings));
    let records = Records::open(&dir.path().join("records.db")).unwrap();
    let spool = Spool::open(&dir.path().join("spool"), &mut |_| ()).unwrap();
    let detector = Arc::new(Detector::new(Arc::clone(&settings)));
    // With a clock of its own: what happens between two readings is to happen in the session.
    let backlog = Backlog::new(Arc::clone(&settings), clock.now());
    let (queue, _) = Queue::start(
        Arc::new(Meanwhile::default()),
        spool.clone(),
        Silent,
        backlog,
    );
    let (notifier, _) = Notifier::new();
    let (judging, queueing) = (Arc::clone(&detector), queue.clone());
    let learner = Arc::new(Learner::new(
        Scorer::shipped().unwrap(),
        dir.path().join("learned"),
    ));
    let labels = Labels::new(Arc::clone(&learner), clock.clone(), spool.clone());
    let moderation = Moderation::start(
        receiver.clone(),
        clock.clone(),
        judging,
        records.clone(),
        queueing,
        notifier.clone(),
        labels,
    )
    .unwrap();
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    let client = identity::find_client(&settings, address);
    let intake = Intake {
        settings: receiver,
        clock: clock.clone(),
        learner,
        outside: Arc::new(ExternalChecks::new(Arc::clone(&settings)).unwrap()),
        detector,
        moderation: Arc::new(moderation),
        spool,
        queue,
        records,
        notifier,
        ids: Arc::new(IdSource::new(1)),
        reviews: Arc::default(),
        feedback_key: TokenKey::new([7; TokenKey::OCTETS]),
    };
    let peer = Peer {
        address,
        client,
        login: None,
        xclient_login: None,
        origin: None,
    };
    Room {
        intake,
        clock,
        peer,
        _settings: sender,
        _dir: dir,
    }
}

const ACCOUNT: &str = "X-Authenticated-Sender: alice@acme.example\r\n";

impl Room {
    /// One message of alice to each of `to`: the first refusal at RCPT, or the reply to the dot.
    async fn send(&self, n: u32, header: &str, to: &[&str]) -> Reply {
        self.send_from("alice@acme.example", n, header, to).await
    }

    /// The same under another envelope sender.
    async fn send_from(&self, from: &str, n: u32, header: &str, to: &[&str]) -> Reply {
        let from = ReversePath(Address::parse(from));
        let recipients: Vec<Recipient> = to
            .iter()
            .map(|to| Recipient::new(Address::parse(to).unwrap()))
            .collect();
        let mut transaction = self.intake.mail(&self.peer, &from).unwrap();
        for recipient in &recipients {
            let reply = self.intake.rcpt(&self.peer, &mut transaction, recipient);
            if !reply.is_positive() {
                self.intake.abandon(transaction);
                return reply;
            }
        }
        let envelope = Envelope {
            from,
            recipients,
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
        };
        let trace = Trace {
            helo: "mail.acme.example",
            address: self.peer.address,
            protocol: "ESMTP",
            submission: false,
        };
        let body = format!(
            "{header}Message-ID: <{n}@acme.example>\r\nSubject: minutes\r\n\r\nHi Bob, see you on Tuesday.\r\n"
        );
        self.intake
            .message(&self.peer, &trace, transaction, envelope, body.into_bytes())
            .await
    }

    /// Opens a block by hand.
    async fn block(&self, kind: BlockKind, subject: &str, scope: SenderScope) -> BlockRef {
        let new = NewBlock {
            kind,
            subject: subject.into(),
            scope,
            tenant: Some(TenantId::new("acme")),
            sender: None,
            reason: Reason::Admin,
            explanation: "test".into(),
            until: None,
            evidence: vec![],
        };
        self.intake
            .moderation
            .open(new, "olaf")
            .await
            .unwrap()
            .reference
    }

    async fn held(&self) -> usize {
        self.intake
            .queue
            .list(Some(QueueState::Held), None, 100)
            .await
            .len()
    }
}

fn operator() -> Actor {
    Actor {
        name: "olaf".into(),
        role: Role::Operator,
        tenant: None,
    }
}

fn block(scope: SenderScope) -> Block {
    let mut block = rules::tests::block(BlockKind::Sender, "alice@acme.example");
    block.reference = BlockRef::from_random(4711);
    block.scope = scope;
    block
}

#[tokio::test]
async fn mail_that_was_on_its_way_to_the_disk_when_its_sender_was_blocked_is_held() {
    let room = room();
    let detector = Arc::clone(&room.intake.detector);
    *room.clock.0.lock().unwrap() = Some(Box::new(move || {
        let judged = detector.tracked() > 0;
        if judged {
            detector.block(Arc::new(block(SenderScope::Any)));
        }
        judged
    }));
    assert_eq!(room.send(1, ACCOUNT, &["bob@far.example"]).await.code, 250);
    assert_eq!(room.held().await, 1, "it left after the block was in force");
}

#[tokio::test]
async fn internal_mail_on_its_way_to_the_disk_goes_on() {
    let room = room();
    let detector = Arc::clone(&room.intake.detector);
    *room.clock.0.lock().unwrap() = Some(Box::new(move || {
        detector.block(Arc::new(block(SenderScope::Any)));
        true
    }));
    assert_eq!(room.send(1, ACCOUNT, &["bob@acme.example"]).await.code, 250);
    assert_eq!(room.held().await, 0);
}

#[tokio::test]
async fn an_invented_envelope_that_got_blocked_does_not_stop_the_account_of_that_name() {
    let room = room();
    assert_eq!(room.send(1, ACCOUNT, &["bob@far.example"]).await.code, 250);
    room.intake
        .detector
        .block(Arc::new(block(SenderScope::Claimed(room.peer.address))));
    let reply = room.send(2, ACCOUNT, &["bob@far.example"]).await;
    assert_eq!(
        reply.code,
        250,
        "refused before the header could tell: {}",
        reply.one_line()
    );
    let reply = room.send(3, "", &["bob@far.example"]).await;
    assert!(
        reply.one_line().starts_with("550 5.1.8"),
        "{}",
        reply.one_line()
    );
}

#[tokio::test]
async fn mail_of_an_account_goes_under_any_envelope_although_mail_of_nobody_is_blocked() {
    for (envelope, subject) in [("bob@elsewhere.example", "forwarded"), ("", "<>")] {
        let room = room();
        let who = identity::at_mail(
            &room.intake.settings(),
            &room.peer,
            &ReversePath(Address::parse(envelope)),
        )
        .unwrap();
        let mut block = block(SenderScope::Claimed(room.peer.address));
        (block.subject, block.sender) = (subject.into(), Some(who.key));
        room.intake.detector.block(Arc::new(block));
        let reply = room
            .send_from(envelope, 1, ACCOUNT, &["bob@far.example"])
            .await;
        assert_eq!(
            reply.code,
            250,
            "refused before the header could tell: {}",
            reply.one_line()
        );
        let reply = room.send_from(envelope, 2, "", &["bob@far.example"]).await;
        assert!(
            reply.one_line().starts_with("550 5.1.8"),
            "{}",
            reply.one_line()
        );
    }
}

#[tokio::test]
async fn a_claimed_sender_without_account_is_refused_at_rcpt() {
    let room = room();
    room.intake
        .detector
        .block(Arc::new(block(SenderScope::Claimed(room.peer.address))));
    let from = ReversePath(Address::parse("alice@acme.example"));
    let mut transaction = room.intake.mail(&room.peer, &from).unwrap();
    let reply = room.intake.rcpt(
        &room.peer,
        &mut transaction,
        &Recipient::new(Address::parse("bob@far.example").unwrap()),
    );
    assert!(
        reply.one_line().starts_with("550 5.1.8"),
        "{}",
        reply.one_line()
    );
}

#[tokio::test]
async fn a_release_is_not_overwritten_by_the_end_of_its_time() {
    let room = room();
    let mut due = block(SenderScope::Any);
    due.until = Some(Time(1));
    let released = rules::released(&due, Time(1), ReleaseVerdict::Mistake, "wanted", "admin");
    // Somebody has released it; the round of expiry had seen it due just before.
    room.intake
        .records
        .put_block(Arc::new(released))
        .await
        .unwrap();
    room.intake.detector.block(Arc::new(due.clone()));
    room.intake.moderation.expire_due().await;
    let record = room.intake.records.block(due.reference).await.unwrap();
    assert_eq!(
        (record.state, record.released_by.as_deref()),
        (BlockState::Released, Some("admin"))
    );
}

#[tokio::test]
async fn mail_that_two_blocks_stop_is_not_sent_on_with_the_release_of_one() {
    // Alice's mail was held under her own block when an operator blocked her domain. Her block was
    // released as a mistake, and her mail left through the domain's block.
    let room = room();
    assert_eq!(room.send(1, ACCOUNT, &["bob@far.example"]).await.code, 250);
    let hers = room
        .block(BlockKind::Sender, "alice@acme.example", SenderScope::Any)
        .await;
    let domains = room
        .block(BlockKind::Domain, "acme.example", SenderScope::Any)
        .await;
    let moderation = &room.intake.moderation;
    moderation
        .release(hers, ReleaseVerdict::Mistake, "known", &operator())
        .await
        .unwrap();
    let held = room
        .intake
        .queue
        .list(Some(QueueState::Held), None, 100)
        .await;
    assert_eq!(
        held.iter().map(|m| m.hold.clone()).collect::<Vec<_>>(),
        [Some(HoldReason::Block(domains))]
    );
    moderation
        .release(domains, ReleaseVerdict::Mistake, "known", &operator())
        .await
        .unwrap();
    assert_eq!(room.held().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_was_on_its_way_to_the_disk_when_its_block_was_released_is_not_left_behind() {
    // The part for outside was written as held under the block, which was released before the queue
    // had that part: it stayed held, under a block that had ended, until it was given back.
    for (verdict, left) in [
        (ReleaseVerdict::Mistake, 0),
        (ReleaseVerdict::Compromised, 2),
    ] {
        let room = room();
        let reference = room
            .block(
                BlockKind::Sender,
                "alice@acme.example",
                SenderScope::Account,
            )
            .await;
        let moderation = Arc::clone(&room.intake.moderation);
        // The last readings of the clock are those of the two parts as they are written.
        let readings = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&readings);
        *room.clock.0.lock().unwrap() = Some(Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            false
        }));
        assert_eq!(
            room.send(1, ACCOUNT, &["bob@acme.example", "x@far.example"])
                .await
                .code,
            250
        );
        let mut left_to_read = readings.load(Ordering::Relaxed) - 1;
        *room.clock.0.lock().unwrap() = Some(Box::new(move || {
            left_to_read -= 1;
            if left_to_read == 0 {
                let release = async {
                    moderation
                        .release(reference, verdict, "known", &operator())
                        .await
                        .map(drop)
                };
                tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(release))
                    .unwrap();
            }
            left_to_read == 0
        }));
        assert_eq!(
            room.send(2, ACCOUNT, &["bob@acme.example", "x@far.example"])
                .await
                .code,
            250
        );
        assert!(
            room.clock.0.lock().unwrap().is_none(),
            "the release came in between"
        );
        assert_eq!(room.held().await, left, "{verdict:?}");
    }
}
