//! Replies as receivers publish them or are seen to give them, with documentation addresses in
//! place of real ones.

use super::*;

/// What each says, with whether it came after the message.
const REPLIES: &[(bool, &str, Option<Blame>)] = &[
    // Gmail
    (
        true,
        "Our system has detected that this message is likely unsolicited mail. To reduce the amount of spam sent to Gmail, this message has been blocked. - gsmtp",
        Some(Blame::Sender),
    ),
    (
        true,
        "[192.0.2.1] Our system has detected that this message is suspicious due to the nature of the content and/or the links within. To best protect our users from spam, the message has been blocked.",
        Some(Blame::Sender),
    ),
    (
        true,
        "Our system has detected that this message is likely suspicious due to the very low reputation of the sending IP address. To best protect our users from spam, the message has been blocked.",
        Some(Blame::Reputation),
    ),
    (
        true,
        "This message is suspicious due to the very low reputation of the sending domain.",
        Some(Blame::Reputation),
    ),
    (
        true,
        "There is an unusual rate of unsolicited mail originating from your IP address. To protect our users from spam, mail sent from your IP address has been blocked.",
        Some(Blame::Reputation),
    ),
    (
        true,
        "Gmail has detected an unusual rate of mail containing one of your URL domains example.com.",
        Some(Blame::Sender),
    ),
    (
        true,
        "This mail has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate with either SPF or DKIM.",
        Some(Blame::Authentication),
    ),
    (
        true,
        "Unauthenticated email from example.com is not accepted due to domain's DMARC policy.",
        Some(Blame::Authentication),
    ),
    (
        true,
        "The IP address sending this message does not have a PTR record setup, or the corresponding forward DNS entry does not point to the sending IP.",
        Some(Blame::Authentication),
    ),
    (
        true,
        "This message was blocked because its content presents a potential security issue.",
        Some(Blame::Sender),
    ),
    // Outlook.com and Exchange Online
    (
        false,
        "Unfortunately, messages from [192.0.2.1] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).",
        Some(Blame::Reputation),
    ),
    (
        false,
        "The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. (S775)",
        Some(Blame::Reputation),
    ),
    (
        false,
        "Access denied, banned sending IP [192.0.2.1]. To request removal from this list please visit https://sender.office.com/",
        Some(Blame::Reputation),
    ),
    (
        false,
        "Service unavailable, Client host [192.0.2.1] blocked by example.com using Customer Block list (AS16012607)",
        Some(Blame::Reputation),
    ),
    (
        true,
        "Access denied, bad outbound sender. AS(42004)",
        Some(Blame::Sender),
    ),
    (
        true,
        "Access denied, sending domain [example.com] does not pass DMARC verification",
        Some(Blame::Authentication),
    ),
    (
        false,
        "Access denied, the sending IPv6 address [2001:db8::1] must have a reverse DNS record",
        Some(Blame::Authentication),
    ),
    (
        true,
        "SC-001 Mail rejected by Outlook.com for policy reasons. Reasons for rejection may be related to content with spam-like characteristics.",
        Some(Blame::Sender),
    ),
    // Yahoo and AOL
    (
        false,
        "[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1",
        Some(Blame::Reputation),
    ),
    (
        false,
        "[TSS09] All messages from 192.0.2.1 will be permanently deferred; Retrying will NOT succeed.",
        Some(Blame::Reputation),
    ),
    (
        true,
        "Message not allowed - [PH01] Email not accepted for policy reasons.",
        Some(Blame::Sender),
    ),
    (
        false,
        "[BL21] Connections will not be accepted from 192.0.2.1, because the ip is in Spamhaus's list",
        Some(Blame::Reputation),
    ),
    (
        true,
        "This mail has been blocked because the sender is unauthenticated. Yahoo requires all senders to authenticate with either SPF or DKIM.",
        Some(Blame::Authentication),
    ),
    (
        true,
        "5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes",
        Some(Blame::Sender),
    ),
    // iCloud and Proofpoint
    (
        true,
        "[HM08] Message rejected due to local policy.",
        Some(Blame::Sender),
    ),
    (
        true,
        "[CS01] Message rejected due to local policy. Please visit https://support.apple.com/en-us/HT204137",
        Some(Blame::Sender),
    ),
    (
        true,
        "[HME1] This message was blocked for failing both SPF and DKIM authentication checks.",
        Some(Blame::Authentication),
    ),
    (
        false,
        "Mail from IP 192.0.2.1 was rejected due to listing in Spamhaus SBL.",
        Some(Blame::Reputation),
    ),
    (
        true,
        "Your email was rejected due to having a domain present in the Spamhaus DBL -- see https://www.spamhaus.org/dbl/",
        Some(Blame::Sender),
    ),
    (
        false,
        "Blocked - see https://support.proofpoint.com/dnsbl-lookup.cgi?ip=192.0.2.1",
        Some(Blame::Reputation),
    ),
    (
        false,
        "Blocked - see https://ipcheck.proofpoint.com/?ip=192.0.2.1",
        Some(Blame::Reputation),
    ),
    // GMX and web.de
    (
        false,
        "Transaction failed Reject due to policy restrictions. For explanation visit https://postmaster.gmx.net/",
        Some(Blame::Reputation),
    ),
    (
        false,
        "Requested action aborted Reject due to policy violations.",
        Some(Blame::Reputation),
    ),
    (
        false,
        "No SMTP service Bad DNS PTR resource record.",
        Some(Blame::Authentication),
    ),
    // Orange and Laposte
    (
        false,
        "mwinf5c04 ME Adresse IP source bloquee pour incident de spam. Client host blocked for spamming issues. OFR006_102",
        Some(Blame::Reputation),
    ),
    (
        true,
        "Mail rejete. Mail rejected. OFR_506 [506]",
        Some(Blame::Sender),
    ),
    (
        true,
        "Message refused, DMARC verification Failed. Message refuse, verification DMARC en echec LPN007_517",
        Some(Blame::Authentication),
    ),
    // Comcast, Cox, Spectrum
    (
        false,
        "resimta-po-01v.sys.comcast.net comcast 192.0.2.1 found on one or more DNSBLs, see http://postmaster.comcast.net/smtp-error-codes.php#BL000001",
        Some(Blame::Reputation),
    ),
    (
        false,
        "192.0.2.1 Comcast requires that all mail servers must have a PTR record with a valid Reverse DNS entry. PTR000001",
        Some(Blame::Authentication),
    ),
    (
        true,
        "impin01 cox 192.0.2.1 rejected. A URL in your message was found on a list. AUP#URLBL011",
        Some(Blame::Sender),
    ),
    (
        false,
        "cox 192.0.2.1 blocked. Error Code: IPBL0001. AUP#IPBL0001",
        Some(Blame::Reputation),
    ),
    // Mimecast, Barracuda and others
    (
        true,
        "Email rejected due to security policies - MCSpamSignature.sa.1.1 - https://community.mimecast.com/docs/DOC-1369#554",
        Some(Blame::Sender),
    ),
    (
        false,
        "Poor Reputation Sender. - https://community.mimecast.com/docs/DOC-1369#550",
        Some(Blame::Reputation),
    ),
    (
        false,
        "Service unavailable; Client host [192.0.2.1] blocked using b.barracudacentral.org; http://www.barracudanetworks.com/reputation/?pr=1&ip=192.0.2.1",
        Some(Blame::Reputation),
    ),
    (
        true,
        "permanent failure for one or more recipients (bob:blocked)",
        Some(Blame::Sender),
    ),
    (
        false,
        "Service unavailable; client host blocked using zen.spamhaus.org",
        Some(Blame::Reputation),
    ),
    (
        true,
        "Message rejected as spam by Content Filtering",
        Some(Blame::Sender),
    ),
    (
        true,
        "This message contains a virus (Eicar-Test-Signature)",
        Some(Blame::Sender),
    ),
    (
        true,
        "message classified as spam (Nachricht als Spam eingestuft)",
        Some(Blame::Sender),
    ),
    (
        true,
        "message rejected due to content restrictions",
        Some(Blame::Sender),
    ),
    (false, "Go away, spammer", Some(Blame::Reputation)),
    (
        false,
        "Sender address blocked by the recipient",
        Some(Blame::Sender),
    ),
    (
        true,
        "Your email to group x was rejected due to spam classification. To address this issue: Set up SPF records for your sending domain",
        Some(Blame::Sender),
    ),
    (
        false,
        "Ip frequency limited [... Blocked IP 192.0.2.1]. http://service.mail.qq.com/cgi-bin/help?subtype=1",
        Some(Blame::Reputation),
    ),
    (
        false,
        "Access denied. IP name lookup failed [192.0.2.1]",
        Some(Blame::Authentication),
    ),
    // About something else
    (
        false,
        "[x]: Recipient address rejected: Access denied [BL2NAM02FT061.eop-nam02.prod.protection.outlook.com]",
        None,
    ),
    (
        false,
        "Le compte du destinataire est bloque. The recipient account is blocked. LPN007_426",
        None,
    ),
    (
        true,
        "This message is not RFC 5322 compliant. To reduce the amount of spam sent to Gmail, this message has been blocked.",
        None,
    ),
    (
        true,
        "Transaction failed: Duplicate header 'DKIM-Signature'.",
        None,
    ),
    (false, "User unknown in virtual alias table", None),
    (true, "The recipient's inbox is out of storage space", None),
    (false, "Relaying denied", None),
    (false, "Too many connections, slow down", None),
    (true, "Message too large", None),
];

#[test]
fn published_replies_blame_whom_they_blame() {
    let wrong: Vec<String> = REPLIES
        .iter()
        .filter_map(|(seen, text, expected)| {
            let found = blame(&text.to_lowercase(), *seen);
            (found != *expected).then(|| format!("{found:?} instead of {expected:?}: {text}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
