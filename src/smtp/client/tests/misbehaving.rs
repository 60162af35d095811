//! Servers that break the protocol.

use super::*;

#[test]
fn nonsense_and_unasked_replies_end_the_connection() {
    check(
        &options(),
        &["HTTP/1.0 400 no\r\n"],
        &[],
        &["failed Banner 451 4.5.0 not an SMTP reply from the next hop (lost)"],
    );
    // One whole reply more than asked for: the verdict stands, the connection is not used again.
    let mut client = Client::new(options());
    client.feed(b"220 mx\r\n");
    client.feed(PIPE.as_bytes());
    client.begin(&envelope(1), &[0], OutgoingContent::default());
    client.feed(b"250 a\r\n250 b\r\n354 c\r\n");
    client.body_sent();
    client.feed(b"250 ok\r\n421 bye\r\n");
    assert_eq!(client.action(), ClientAction::Done);
    assert_eq!(client.take_verdicts()[0].1.reply.one_line(), "250 ok");
    assert!(!client.is_open());
}

#[test]
fn an_answer_before_the_message_is_out_is_never_a_delivery() {
    for (said, expected) in [
        (
            "250 ok\r\n",
            "Dot 451 4.5.0 the next hop answered before the end of the message",
        ),
        ("552 5.3.4 too big\r\n", "Dot 552 5.3.4 too big"),
    ] {
        let mut client = Client::new(options());
        client.feed(b"220 mx\r\n");
        client.feed(PIPE.as_bytes());
        client.begin(&envelope(1), &[0], OutgoingContent::default());
        client.feed(b"250 a\r\n250 b\r\n354 c\r\n");
        client.feed(said.as_bytes());
        assert_eq!(client.action(), ClientAction::Done);
        assert_eq!(show(&client.take_verdicts()[0].1), expected);
        assert!(!client.is_open());
    }
}

proptest::proptest! {
    #[test]
    fn any_server_is_survived(parts in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60), 0..12)) {
        let parts: Vec<String> = parts.iter().map(|p| String::from_utf8_lossy(p).into_owned()).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        run(options(), &parts, &[2, 1], None);
    }

    #[test]
    fn any_codes_in_any_order_are_survived(codes in proptest::collection::vec(proptest::sample::select(vec![220, 221, 235, 250, 334, 354, 421, 450, 500, 503, 550]), 0..20)) {
        let parts: Vec<String> = codes.iter().map(|c| format!("{c} x\r\n")).collect();
        let mut parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        parts.splice(0..0, ["220 mx\r\n", PIPE]);
        let log = run(options(), &parts, &[2, 1, 3], None);
        proptest::prop_assert!(log.len() < 60);
    }
}
