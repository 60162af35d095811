//! What the header says of the sender, and what of it is believed.

use super::*;

#[test]
fn only_the_own_topmost_received_names_the_user() {
    let s = settings();
    let postfix = "Received: from pc (pc.acme.example [198.51.100.7])\r\n\t(using TLSv1.3)\r\n\t\
                   (Authenticated sender: Alice@acme.example)\r\n\tby mx.acme.example (Postfix) with ESMTPSA id 4X\r\n\
                   \tfor <bob@x.example>; Sun, 22 Nov 2026 14:00:00 +0000\r\n\r\nhi";
    let id = judge_mail(&s, "bob@acme.example", postfix).expect("identity");
    assert_eq!(
        (id.key.as_str(), id.strength),
        ("acme:alice@acme.example", Strength::Asserted)
    );

    // Behind another Received it is the sender's own invention.
    let inner = format!("Received: from a by b; date\r\n{postfix}");
    let id = judge_mail(&s, "bob@acme.example", &inner).expect("identity");
    assert_eq!(
        (id.key.as_str(), id.strength),
        ("acme:bob@acme.example;192.0.2.7", Strength::Claimed)
    );

    // From a client that is not trusted with it.
    let mut untrusting = s.clone();
    let mut c = client(&["192.0.2.0/24"], &["acme"]);
    c.trust_received = false;
    untrusting.clients = vec![Arc::new(c)];
    assert_eq!(
        judge_mail(&untrusting, "bob@acme.example", postfix)
            .expect("identity")
            .strength,
        Strength::Claimed
    );
}

#[test]
fn received_comments_are_read_with_care() {
    let s = settings();
    for (received, wanted) in [
        // HELO names stand before the server's own comment.
        (
            "from x (Authenticated sender: eve) (h [1.2.3.4]) (Authenticated sender: alice) by mx",
            Some("acme:alice"),
        ),
        (
            "from h (h [1.2.3.4] (Authenticated sender: eve)) by mx",
            None,
        ),
        (
            "from h by mx for <\"(Authenticated sender: eve)\"@x.example>; date",
            None,
        ),
        (
            "from h by mx for \"(Authenticated sender: eve)\"@x.example; date",
            None,
        ),
        ("from h (authenticated bits=0) by mx", None),
        (
            "from h (AUTHENTICATED SENDER: alice) by mx",
            Some("acme:alice"),
        ),
        ("from h (Authenticated sender: ) by mx", None),
        ("from h (Authenticated sender: alice by mx", None),
        // A backslash takes the next octet its meaning (RFC 5322 section 3.2.1).
        (r"from h (x \) (Authenticated sender: eve)) by mx", None),
        (r#"from "x\" (Authenticated sender: eve)" by mx"#, None),
        (
            r"from h (x \\) (Authenticated sender: alice) by mx",
            Some("acme:alice"),
        ),
    ] {
        let id = judge_mail(
            &s,
            "bob@acme.example",
            &format!("Received: {received}\r\n\r\n"),
        )
        .expect("identity");
        assert_eq!(
            id.key.as_str(),
            wanted.unwrap_or("acme:bob@acme.example;192.0.2.7"),
            "{received}"
        );
    }
}

#[test]
fn of_two_identity_headers_none_is_believed_and_both_are_reported() {
    let s = settings();
    for mail in [
        "X-Authenticated-Sender: alice@acme.example\r\nx-authenticated-sender : eve@acme.example\r\n\r\n",
        "X-Authenticated-Sender:\r\nX-Authenticated-Sender: eve@acme.example\r\n\r\n",
        "X-Authenticated-Sender: eve@acme.example\r\nno field\r\nX-Authenticated-Sender: alice@acme.example\r\n\r\n",
        // Whoever forges one does not become a script instead.
        "X-PHP-Originating-Script: 33:mail.php\r\nX-Authenticated-Sender: alice\r\nX-Authenticated-Sender: eve\r\n\r\n",
    ] {
        let header = read_headers(mail.as_bytes(), Some(&s.clients[0]));
        assert_eq!(
            (
                header.identity_header.as_deref(),
                header.identity_header_count
            ),
            (None, 2),
            "{mail}"
        );
        let id = judge_mail(&s, "bob@acme.example", mail).expect("identity");
        assert_eq!(
            (id.key.as_str(), id.strength),
            ("acme:bob@acme.example;192.0.2.7", Strength::Claimed),
            "{mail}"
        );
        assert_eq!(read_headers(mail.as_bytes(), None).identity_header_count, 0);
    }
    // What the server itself wrote on top stands.
    let mail = "Received: from h (Authenticated sender: rec) by mx\r\nX-Authenticated-Sender: a\r\nX-Authenticated-Sender: b\r\n\r\n";
    assert_eq!(
        judge_mail(&s, "bob@acme.example", mail)
            .expect("identity")
            .key
            .as_str(),
        "acme:rec"
    );
}

#[test]
fn what_names_the_sender_where_a_server_may_not_have_seen_a_field_is_not_believed() {
    // A server that ends the header at that line has neither checked nor removed what its user
    // wrote below it.
    let s = settings();
    for field in [
        "X-Authenticated-Sender: eve",
        "Received: from h (Authenticated sender: eve) by mx",
        "X-PHP-Originating-Script: 1:a",
    ] {
        for (mail, claimed) in [
            (format!("Subject: x\r\n{field}\r\n\r\n"), false),
            (format!("Subject: x\r\nno field\r\n{field}\r\n\r\n"), true),
            (format!("no field\r\n{field}\r\n\r\n"), true),
            (format!("{}\r\n\r\n", field.replacen(':', " :", 1)), true),
        ] {
            let id = judge_mail(&s, "bob@acme.example", &mail).expect("identity");
            assert_eq!(
                id.strength == Strength::Claimed,
                claimed,
                "{mail}: {}",
                id.key
            );
        }
    }
}

#[test]
fn a_script_is_never_an_account() {
    let s = settings();
    let key = |script: &str| {
        let mail = format!("X-PHP-Originating-Script: {script}\r\n\r\n");
        let id = judge_mail(&s, "bob@acme.example", &mail).expect("identity");
        id.key.to_string()
    };
    for (script, wanted) in [
        ("33:mail.php", "acme:script:33:mail.php"),
        ("alice@acme.example", "acme:script:alice@acme.example"),
        ("<alice@acme.example>", "acme:script:<alice@acme.example>"),
        (
            "host: alice@acme.example",
            "acme:script:host: alice@acme.example",
        ),
        ("Form.php;192.0.2.7", "acme:script:form.php,192.0.2.7"),
    ] {
        assert_eq!(key(script), wanted, "{script}");
    }
    // Nor an account a script.
    let id =
        judge_mail(&s, "", "X-Authenticated-Sender: Script:33:mail.php\r\n\r\n").expect("identity");
    assert_eq!(id.key.as_str(), "acme:script,33:mail.php");
    // Of two, one was written by the script itself.
    let two = "X-PHP-Originating-Script: 33:a.php\r\nX-PHP-Originating-Script: 33:b.php\r\n\r\n";
    assert_eq!(
        judge_mail(&s, "bob@acme.example", two)
            .expect("identity")
            .strength,
        Strength::Claimed
    );
}

#[test]
fn header_facts_are_counted() {
    let mail = "From x Mon\r\nReceived: a\r\nDATE: now\r\nReceived: b\r\nMessage-ID:\r\n <id@x>\r\nFrom: a@x.example\r\n\r\nFrom: b";
    let h = read_headers(mail.as_bytes(), None);
    assert_eq!((h.received_count, h.field_count, h.has_date), (2, 5, true));
    assert_eq!(h.message_id.as_deref(), Some("id@x"));
    assert_eq!(
        h.from.map(|a| a.as_str().to_owned()).as_deref(),
        Some("a@x.example")
    );
    // Some readers pass over a line that is no field: a loop shows behind it as well.
    let odd = read_headers(b"Subject: x\r\nno field\r\nReceived: a\r\n", None);
    assert_eq!((odd.received_count, odd.flaw), (1, Some(12)));
    for (mail, flaw) in [
        ("Subject: x\r\nDate : x\r\n\r\n", Some(12)),
        ("x\r\n", Some(0)),
        ("From x Mon\r\nA: b\r\n", Some(0)),
        ("A: b\r\n\r\nx", None),
    ] {
        assert_eq!(read_headers(mail.as_bytes(), None).flaw, flaw, "{mail}");
    }
}

#[test]
fn a_header_of_too_many_fields_is_not_read_to_its_end() {
    // 50 MiB of `From:a@b.c` lines were millions of addresses to be read before the limit was
    // looked at.
    let mail = "From:a@b.example\r\n".repeat(10) + "Message-ID: <id@x>\r\n\r\n";
    let over = crate::identity::read_headers(mail.as_bytes(), None, 3);
    assert_eq!(
        (over.field_count, over.authors.len(), over.message_id),
        (4, 3, None)
    );
    let within = crate::identity::read_headers(mail.as_bytes(), None, 11);
    assert_eq!(
        (
            within.field_count,
            within.authors.len(),
            within.message_id.as_deref()
        ),
        (11, 10, Some("id@x"))
    );
}

#[test]
fn stripping_removes_those_fields_and_nothing_else() {
    let c = client(&["192.0.2.0/24"], &["acme"]);
    let strip = |m: &[u8]| strip_identity_headers(m.to_vec(), &c);
    let mail: &[u8] = b"A: 1\r\nX-Authenticated-Sender: a\r\n\tfolded\r\nB: \xff\n X\r\nX-AUTHENTICATED-SENDER : b\r\n\r\nX-Authenticated-Sender: body\r\n";
    assert_eq!(
        strip(mail),
        b"A: 1\r\nB: \xff\n X\r\n\r\nX-Authenticated-Sender: body\r\n"
    );
    let plain: &[u8] = b"A: 1\r\n\r\nX-Authenticated-Sender: body";
    let given = plain.to_vec();
    let place = given.as_ptr();
    let out = strip_identity_headers(given, &c);
    assert_eq!((out.as_slice(), out.as_ptr()), (plain, place));
    assert_eq!(strip(b"X-Authenticated-Sender: a"), b"");
}

proptest::proptest! {
    #[test]
    fn any_octets_are_read_and_only_fields_cut(message in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let c = client(&["192.0.2.0/24"], &["acme"]);
        let facts = read_headers(&message, Some(&c));
        let out = strip_identity_headers(message.clone(), &c);
        if facts.identity_header_count == 0 {
            proptest::prop_assert_eq!(out, message);
        } else {
            proptest::prop_assert_eq!(read_headers(&out, Some(&c)).identity_header_count, 0);
        }
    }
}
