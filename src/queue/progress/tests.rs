use super::*;
use crate::types::{BlockRef, Reason};
use proptest::prelude::*;

fn track() -> impl Strategy<Value = Track> {
    let last = (
        200u16..600,
        prop::option::of((2u8..6, 0u16..999, 0u16..999)),
        ".{0,300}",
        ".{0,200}",
    );
    (0u8..5, any::<u16>(), any::<i64>(), prop::option::of(last)).prop_map(
        |(stage, attempts, next, last)| Track {
            stage: [
                Stage::Pending,
                Stage::Delivered,
                Stage::Failed,
                Stage::Reporting,
                Stage::Relaying,
            ][usize::from(stage)],
            attempts,
            next: Time(next),
            last: last.map(|(code, enhanced, text, remote)| {
                let enhanced = enhanced.map(|(a, b, c)| Enhanced(a, b, c));
                Arc::new(Last::new(
                    &Reply {
                        code,
                        enhanced,
                        lines: vec![text],
                    },
                    &remote,
                ))
            }),
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        hold in 0u8..4, since: i64, notice_sent: bool, action in prop::option::of(0u8..5),
        recipients in prop::collection::vec((track(), 1usize..4), 0..6),
    ) {
        let progress = MessageProgress {
            hold: [None, Some(HoldReason::Admin), Some(HoldReason::Policy(Reason::Watched)),
                Some(HoldReason::Block(BlockRef::from_random(77)))][usize::from(hold)].clone(),
            since: Time(since), notice_sent, final_action: action.and_then(final_action_of),
            recipients: recipients.into_iter().flat_map(|(t, n)| vec![t; n]).collect(),
        };
        let bytes = progress.encode();
        prop_assert_eq!(MessageProgress::decode(&bytes), Some(progress));
        for end in 0..bytes.len() {
            prop_assert_eq!(MessageProgress::decode(&bytes[..end]), None, "cut at {}", end);
        }
    }

    #[test]
    fn no_bytes_do_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = MessageProgress::decode(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = VERSION;
        }
        let _ = MessageProgress::decode(&bytes);
    }
}

#[test]
fn a_thousand_recipients_in_one_state_take_one_run() {
    assert!(MessageProgress::fresh(Time(5), None, 1000).encode().len() < 30);
}

#[test]
fn texts_are_cut_between_characters() {
    let last = Last::new(&Reply::plain(450, "ä".repeat(500)), &"x".repeat(500));
    assert_eq!(last.reply.lines[0], "ä".repeat(TEXT_MAX / 2));
    assert_eq!(last.remote.len(), REMOTE_MAX);
}

#[test]
fn a_report_under_way_is_pending_after_a_crash() {
    let mut progress = MessageProgress::fresh(Time(5), None, 2);
    progress.recipients[1] = Track {
        stage: Stage::Reporting,
        attempts: 3,
        next: Time(9),
        last: None,
    };
    progress.recover(2, Time(i64::MAX), Duration::ZERO);
    assert_eq!(
        progress.pending().map(|(i, _)| i).collect::<Vec<_>>(),
        [0, 1]
    );
    assert_eq!(progress.recipients[1].next, Time(0));
}
