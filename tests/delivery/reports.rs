//! What a sender is told.

use super::*;

#[test]
fn a_refused_recipient_is_told_to_the_sender_once_and_to_the_null_sender_never() {
    let (sink, dns) = far(|line| {
        line.contains("no@")
            .then(|| "550 5.1.1 No such user".into())
    });
    let home = Sink::start();
    let relay = relay(
        &dns,
        &home,
        sink.address.port(),
        "allow_private_addresses = true",
        "",
    );
    send(
        &relay,
        "",
        &["no@far.example"],
        &HAM.replace("m@acme", "null@acme"),
    );
    wait_empty(&relay);
    send(
        &relay,
        "alice@acme.example",
        &["no@far.example", "yes@far.example"],
        HAM,
    );
    sink.wait_for("yes@far.example");
    let fields = report_on(&home, "no@far.example");
    assert!(
        fields.contains("Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.far.example\r\n"),
        "{fields}"
    );
    assert!(
        fields.contains("Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n"),
        "{fields}"
    );
    assert!(!fields.contains("yes@far.example"), "{fields}");
    wait_empty(&relay);
    let all = home.all();
    assert_eq!(
        (all.len(), all[0].to.as_slice()),
        (1, &["alice@acme.example".to_owned()][..])
    );
    // Two messages, two refusals; each had a second line, from its report.
    let bounced = relay
        .log()
        .lines()
        .filter(|l| l.contains(" bounced id=") && l.contains(" to=no@far.example "))
        .count();
    assert_eq!(bounced, 2, "{}", relay.log());
}

#[test]
fn success_is_reported_where_the_next_hop_does_not() {
    let (sink, dns) = far(|line| {
        line.starts_with("EHLO")
            .then(|| "250-mx.far.example\r\n250 PIPELINING".into())
    });
    let home = Sink::start();
    let relay = relay(
        &dns,
        &home,
        sink.address.port(),
        "allow_private_addresses = true",
        "",
    );
    let mut client = Client::hello(relay.smtp);
    client.expect(
        "MAIL FROM:<alice@acme.example> RET=HDRS ENVID=QQ+2B1",
        "250",
    );
    client.expect(
        "RCPT TO:<x@far.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;x+2Bs@far.example",
        "250",
    );
    client.expect("RCPT TO:<y@far.example> NOTIFY=FAILURE", "250");
    client.expect(
        "RCPT TO:<z@acme.example> NOTIFY=SUCCESS ORCPT=rfc822;z@acme.example",
        "250",
    );
    client.expect("DATA", "354");
    client.expect("Subject: x\r\n\r\nx\r\n.", "250");
    let fields = report_on(&home, "x@far.example");
    assert!(
        fields.contains("Original-Envelope-Id: QQ+1\r\n"),
        "{fields}"
    );
    assert!(
        fields.contains("Original-Recipient: rfc822; x+s@far.example\r\n"),
        "{fields}"
    );
    assert!(fields.contains("Action: relayed\r\nStatus: 2."), "{fields}");
    assert!(!fields.contains("y@far.example"), "{fields}");
    // A next hop that knows DSN gets the wish itself.
    let passed = home.wait_for("z@acme.example");
    assert!(
        passed.commands[0].contains("ENVID=QQ+2B1") && passed.commands[0].contains("RET=HDRS"),
        "{:?}",
        passed.commands
    );
    assert!(
        passed.commands[1].contains("NOTIFY=SUCCESS ORCPT=rfc822;z@acme.example"),
        "{:?}",
        passed.commands
    );
    wait_empty(&relay);
    assert_eq!(
        home.all()
            .iter()
            .filter(|mail| mail.from.is_empty())
            .count(),
        1,
        "one report"
    );
}

#[test]
fn a_delay_is_told_and_its_end_as_well() {
    let (sink, dns) = far(|line| {
        line.starts_with("RCPT")
            .then(|| "452 4.2.2 Mailbox full".into())
    });
    let home = Sink::start();
    let delivery =
        "allow_private_addresses = true\nretry = [\"1s\"]\ndelay_notice = \"4h\"\nexpire = \"1d\"";
    let relay = relay(&dns, &home, sink.address.port(), delivery, "");
    // One after the other, however long each takes: the first answer, the notice, the end of its
    // time.
    let change = |from: &str, to: &str| {
        let file = common::path(&relay, "outgate.toml");
        let config = std::fs::read_to_string(&file).expect("config");
        std::fs::write(&file, config.replace(from, to)).expect("written");
        relay.signal("HUP");
    };
    send(&relay, "alice@acme.example", &["x@far.example"], HAM);
    relay.until("the first answer", |_| {
        relay.log().contains(" deferred id=").then_some(())
    });
    change("delay_notice = \"4h\"", "delay_notice = \"1s\"");
    let notice = home.wait_count(1).pop().expect("a notice");
    let delayed = fields(&notice);
    assert!(
        delayed.contains("Action: delayed\r\nStatus: 4.2.2\r\n")
            && delayed.contains("Will-Retry-Until: "),
        "{delayed}"
    );
    // The report has as long to arrive.
    change("expire = \"1d\"", "expire = \"10s\"");
    let failed = fields(&home.wait_count(2).pop().expect("a report"));
    assert!(
        failed.contains("Action: failed\r\nStatus: 4.4.7\r\n"),
        "{failed}"
    );
    assert!(failed.contains("452 4.2.2 Mailbox full"), "{failed}");
    wait_empty(&relay);
    assert_eq!(home.all().len(), 2, "one notice and one report");
}
