use super::*;

fn bodies(raw: &[u8]) -> Vec<(LeafKind, String)> {
    let text = |p: &Part<'_>| String::from_utf8_lossy(p.body.trim_ascii()).into_owned();
    walk(raw, false, 0)
        .parts
        .iter()
        .map(|p| (p.kind, text(p)))
        .collect()
}

#[test]
fn a_mixed_message_gives_its_leaves() {
    let raw = b"Content-Type: multipart/mixed;\r\n boundary=\"a b\"\r\n\r\nignored\r\n--a b\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n\
        --in\r\n\r\nplain\r\n--in\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<b>x</b>\r\n--in--\r\n--a b\r\n\
        Content-Disposition: attachment; filename*=utf-8''a%20b.pdf\r\nContent-Type: application/pdf\r\n\r\nxx\r\n--a b--\r\nlast\r\n";
    let tree = walk(raw, false, 0);
    let seen: Vec<_> = tree
        .parts
        .iter()
        .map(|p| {
            (
                p.kind,
                p.body.trim_ascii(),
                p.alternative,
                p.file_name.as_str(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (LeafKind::Plain, &b"plain"[..], Some(1), ""),
            (LeafKind::Html, &b"<b>x</b>"[..], Some(1), ""),
            (LeafKind::Other, &b"xx"[..], None, "a b.pdf")
        ]
    );
    assert_eq!(
        (tree.depth, tree.is_report, tree.ambiguous),
        (3, false, false)
    );
    assert_eq!(tree.outside, [&b"ignored"[..], b"last"]);
}

#[test]
fn the_returned_message_of_a_report_is_left_out_for_the_null_sender_alone() {
    let raw = b"Content-Type: multipart/report; boundary=r\n\n--r\n\nfailed\n--r\nContent-Type: message/delivery-status\n\nx\n--r\n\
        Content-Type: message/rfc822\n\nSubject: buy\n\nviagra\n--r\nContent-Type: message/rfc822\n\nSubject: second\n\nmore\n--r--\n";
    let leaves = |null| {
        walk(raw, null, 0)
            .parts
            .iter()
            .map(|p| p.body.trim_ascii().to_vec())
            .collect::<Vec<_>>()
    };
    assert!(walk(raw, true, 0).is_report && walk(raw, false, 0).is_report);
    assert_eq!(
        leaves(true),
        [&b"failed"[..], b"more"],
        "one status and one message, no more"
    );
    assert_eq!(leaves(false), [&b"failed"[..], b"x", b"viagra", b"more"]);
    let below = [
        b"Content-Type: multipart/mixed; boundary=q\n\n--q\n",
        &raw[..],
    ]
    .concat();
    assert_eq!(
        walk(&below, true, 0).parts.len(),
        4,
        "a report within a message is not one"
    );
}

#[test]
fn nesting_and_missing_delimiters_are_bounded() {
    let bomb = |n: usize| {
        (0..n)
            .map(|i| format!("Content-Type: multipart/mixed; boundary=b{i}\n\n--b{i}\n"))
            .collect::<String>()
    };
    let deep = walk(bomb(2_000).as_bytes(), false, 0).depth;
    assert!(
        deep > 1000 || walk(bomb(2_000).as_bytes(), false, 0).too_many,
        "{deep}"
    );
    assert_eq!(walk(bomb(60).as_bytes(), false, 0).depth, 61);
    let nested = |n: usize| "Content-Type: message/rfc822\n\n".repeat(n);
    assert_eq!(walk(nested(60).as_bytes(), false, 0).depth, 61);
    assert!(walk(nested(5_000).as_bytes(), false, 0).too_many);
    assert_eq!(
        bodies(b"Content-Type: multipart/mixed; boundary=x\n\nthe text\n"),
        [(LeafKind::Plain, "the text".to_owned())]
    );
    let flat = format!(
        "Content-Type: multipart/mixed; boundary=x\n\n{}",
        "--x\n\n1\n".repeat(5_000)
    );
    let tree = walk(flat.as_bytes(), false, 0);
    assert!(tree.too_many && tree.parts.len() == MAX_MIME_PARTS - 1);
    // Parts without a blank line must not make each look for one to the end of the message.
    let headless = format!(
        "Content-Type: multipart/mixed; boundary=x\n\n{}",
        "--x\nA: b\n".repeat(500_000)
    );
    assert!(walk(headless.as_bytes(), false, 0).too_many);
}

/// Messages side by side are not within each other.
#[test]
fn a_digest_is_not_deep() {
    let digest = format!(
        "Content-Type: multipart/mixed; boundary=x\n\n{}",
        "--x\nContent-Type: message/rfc822\n\nSubject: y\n\n1\n".repeat(60)
    );
    let tree = walk(digest.as_bytes(), false, 0);
    assert_eq!(
        (
            tree.depth,
            tree.messages.len(),
            tree.parts.last().map(|p| p.message)
        ),
        (3, 60, Some(60))
    );
}

#[test]
fn a_part_without_a_blank_line_has_no_body_unless_a_line_is_no_field() {
    let part = |inner: &str| {
        bodies(
            format!(
                "Content-Type: multipart/mixed; boundary=x\n\n--x\n{inner}--x\n\nplain\n--x--\n"
            )
            .as_bytes(),
        )
    };
    let plain = (LeafKind::Plain, "plain".to_owned());
    assert_eq!(
        part("Content-Type: text/html\n"),
        [(LeafKind::Html, String::new()), plain.clone()]
    );
    assert_eq!(
        part("Buy this now\n"),
        [(LeafKind::Plain, "Buy this now".to_owned()), plain.clone()]
    );
    assert_eq!(
        part(" folded\n"),
        [(LeafKind::Plain, "folded".to_owned()), plain.clone()]
    );
    assert_eq!(
        part("Content-Type: text/html\nBuy <b>this\n"),
        [(LeafKind::Html, "Buy <b>this".to_owned()), plain]
    );
    assert_eq!(
        walk(b"Subject: x\nno field here\nFrom: y\n\nbody\n", false, 0).outside,
        [b"no field here\nFrom: y"]
    );
    assert!(
        walk(b"From me Thu Jan  1 1970\nSubject: x\n\nbody\n", false, 0)
            .outside
            .is_empty()
    );
}

/// Each of these kept the text of a part from being read.
#[test]
fn delimiters_are_found_however_they_are_announced() {
    for (announced, line) in [
        ("multipart/mixed; boundary*0=a; boundary*1=b", "ab"),
        ("multipart/mixed (x); boundary=ab", "ab"),
        ("multipart/mixed boundary=ab", "ab"),
        ("multipart/mixed; boundary=\"ab \"", "ab"),
        ("multipart/x-unknown; boundary=ab", "ab\t "),
        ("multipart/mixed; boundary=\"ab--\"", "ab--"),
    ] {
        let raw =
            format!("Content-Type: {announced}\n\n--{line}\nContent-Type: text/html\n\nbad\n");
        assert_eq!(
            bodies(raw.as_bytes()),
            [(LeafKind::Html, "bad".to_owned())],
            "{announced}"
        );
    }
    let reopened =
        b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\ngood\n--x--\n--x\nContent-Type: text/html\n\nbad\n--x--\n";
    assert_eq!(
        bodies(reopened).last(),
        Some(&(LeafKind::Html, "bad".to_owned()))
    );
    let inner = b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b--\n\n--b--\n\nbad\n--b----\n--b\n\nmore\n";
    assert_eq!(
        bodies(inner)
            .into_iter()
            .map(|(_, text)| text)
            .collect::<Vec<_>>(),
        ["bad", "more"]
    );
}

#[test]
fn what_programs_read_differently_is_noted() {
    for raw in [
        "Content-Type: multipart/mixed; boundary=a; boundary=b\n\n--a\n\nx\n",
        "Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n",
        "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n",
    ] {
        assert!(walk(raw.as_bytes(), false, 0).ambiguous, "{raw}");
    }
    let twice = b"Content-Type: text/plain\nContent-Type: text/html; charset=x\nContent-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\nx\n";
    let tree = walk(twice, false, 0);
    let rival = tree
        .parts
        .first()
        .and_then(|p| p.rival.clone())
        .expect("another reading");
    assert_eq!(
        (rival.kind, rival.encoding, tree.ambiguous),
        (LeafKind::Html, Encoding::Identity, false)
    );
    assert!(
        walk(
            b"Content-Type: message/partial; id=x; number=1\n\nx\n",
            false,
            0
        )
        .in_pieces
    );
}

#[test]
fn the_direct_parts_of_a_message_are_not_taken_apart() {
    let inner = "--b 1\nContent-Type: multipart/mixed; boundary=in\n\n--in\n\nx\n--in--\n";
    let returned = "--b 1\nContent-Type: message/rfc822\n\nSubject: y\n\nz\n";
    for (body, expected) in [
        (
            "--b 1\n\none\n--b 1\r\nX: y\r\n\r\ntwo\r\n\r\n--b 1--\nafter\n",
            vec!["one", "two"],
        ),
        (
            "before --b 1\n--b 12\n--b 1 \t\n\none\n--b 1--x\n--b 1--",
            vec!["one\n--b 1--x"],
        ),
        ("--b 1\n\ncut of", vec!["cut of"]),
        ("--b 1\n--b 1--\n", vec![""]),
        (inner, vec!["--in\n\nx\n--in--"]),
        (returned, vec!["Subject: y\n\nz"]),
        // Without a delimiter there is the message alone.
        ("none", vec!["none"]),
    ] {
        let raw = format!("Content-Type: multipart/mixed; boundary=\"b 1\"\n\n{body}");
        let tree = direct_parts(raw.as_bytes());
        let bodies: Vec<_> = tree
            .parts
            .iter()
            .map(|part| String::from_utf8_lossy(part.body.trim_ascii()).into_owned())
            .collect();
        assert_eq!(bodies, expected, "{body}");
        assert_eq!(tree.content_type, b"multipart/mixed; boundary=\"b 1\"");
    }
}
