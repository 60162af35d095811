//! First messages of a newcomer, and mail that nobody should doubt: by the shipped model, nothing
//! learned.

/// Ordinary mail: what it is, and the message.
pub(super) const ORDINARY: &[(&str, &str)] = &[
    (
        "one line without From and To",
        r##"Subject: hello

hello
"##,
    ),
    (
        "the default message of swaks",
        r##"Date: Sun, 22 Nov 2026 14:00:00 +0000
To: bob@partner.example
From: carol@acme.example
Subject: test Sun, 22 Nov 2026 14:00:00 +0000
Message-Id: <20261122140000.012345@host.acme.example>
X-Mailer: swaks v20240103.0 jetmore.org/john/code/swaks/

This is a test mailing
"##,
    ),
    (
        "the least a Python script sends",
        r##"Subject: x

hi
"##,
    ),
    (
        "a script with a From",
        r##"From: root@acme.example
Subject: Test

This message was sent from Python.
"##,
    ),
    (
        "an empty message",
        r##"Subject: test

"##,
    ),
    (
        "no subject",
        r##"
hello
"##,
    ),
    (
        "output of cron",
        r##"From: root@db1.acme.example (Cron Daemon)
To: root@db1.acme.example
Subject: Cron <root@db1> /usr/local/bin/backup --daily
Content-Type: text/plain; charset=UTF-8
Auto-Submitted: auto-generated

backup: 1204 files, 33.1 GB written in 812 s
backup: 2 files changed while being read
"##,
    ),
    (
        "an alarm",
        r##"From: monitoring@acme.example
To: ops@acme.example
Subject: PROBLEM: disk full on host db1

Host: db1
Service: Disk /var
State: CRITICAL
Info: 98% used, 1.2 GB free of 64 GB
Time: 2026-06-01 10:00:00
"##,
    ),
    (
        "an alarm without From and To",
        r##"Subject: PROBLEM: disk full on host db1

Host: db1
Service: Disk /var
State: CRITICAL
Info: 98% used
https://monitor.acme.example/host/db1
"##,
    ),
    (
        "a password reset",
        r##"From: Acme Portal <no-reply@acme.example>
To: bob@partner.example
Subject: Reset your password
Date: Mon, 1 Jun 2026 10:00:00 +0000
Message-ID: <1@acme.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

Hello Bob,

someone asked to reset the password of your account at the Acme portal. If it was you, choose a new password here:

https://portal.acme.example/reset?token=7f3a9c1e

The link works for one hour. If it was not you, you need not do anything.

The Acme team
"##,
    ),
    (
        "a newsletter",
        r##"From: Garden Club <news@garden.example>
To: bob@partner.example
Subject: What grows in June
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=b1

--b1
Content-Type: text/plain; charset=utf-8

What grows in June

Read this month's issue: https://www.garden.example/june
Unsubscribe: https://www.garden.example/leave
--b1
Content-Type: text/html; charset=utf-8

<html><body><h1>What grows in June</h1><p>The beans are up, the roses are in bloom and the first strawberries are ripe. In this issue we show how to water in a dry month, which herbs to sow now, and what members have planted.</p><p><a href="https://www.garden.example/june">Read the whole issue</a></p><p>Our next meeting is on Saturday in the town hall; tea and cake as always.</p><p>You get this letter as a member of the Garden Club. <a href="https://www.garden.example/leave">Unsubscribe</a></p></body></html>
--b1--
"##,
    ),
    (
        "an invitation",
        r##"From: Carol Jones <carol@acme.example>
To: Bob Meyer <bob@partner.example>
Subject: Invitation: Budget review
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=b1

--b1
Content-Type: text/plain; charset=utf-8

You have been invited to Budget review

When: Thursday 4 June 2026, 14:00 - 15:00
Where: Room 2.12
Organiser: Carol Jones
--b1
Content-Type: text/calendar; charset=utf-8; method=REQUEST

BEGIN:VCALENDAR
VERSION:2.0
METHOD:REQUEST
BEGIN:VEVENT
UID:77@acme.example
DTSTART:20260604T140000Z
DTEND:20260604T150000Z
SUMMARY:Budget review
ORGANIZER:mailto:carol@acme.example
ATTENDEE:mailto:bob@partner.example
END:VEVENT
END:VCALENDAR
--b1--
"##,
    ),
    (
        "an invoice as PDF",
        r##"From: Accounts <accounts@acme.example>
To: bob@partner.example
Subject: Invoice 2026-0117
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b1

--b1
Content-Type: text/plain; charset=utf-8

Dear Mr Meyer,

please find attached our invoice 2026-0117 for the work in May. Payment is due within 30 days to the account named on the invoice.

Kind regards
Susan Clark, accounts
--b1
Content-Type: application/pdf; name="invoice-2026-0117.pdf"
Content-Disposition: attachment; filename="invoice-2026-0117.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQKJeLjz9MKMSAwIG9iago8PC9UeXBlL0NhdGFsb2c+PgplbmRvYmoK
--b1--
"##,
    ),
    (
        "a scanner",
        r##"From: Scanner <scan@acme.example>
To: carol@acme.example
Subject: Scanned document
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b1

--b1
Content-Type: text/plain

Scanned at 10:02.
--b1
Content-Type: application/pdf; name="scan0001.pdf"
Content-Disposition: attachment; filename="scan0001.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQKJeLjz9MKMSAwIG9iago8PC9UeXBlL0NhdGFsb2c+PgplbmRvYmoK
--b1--
"##,
    ),
    (
        "German",
        r##"From: Anna Vogel <anna@acme.example>
To: tom@partner.example
Subject: Samstag
Date: Mon, 1 Jun 2026 10:00:00 +0000
Message-ID: <1@acme.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

Hallo Tom,

kommst du am Samstag mit an den See? Wir wollen gegen zehn losfahren und nehmen Kuchen mit. Sag mir kurz Bescheid, dann reserviere ich dir einen Platz im Auto.

Liebe Grüße
Anna
"##,
    ),
    (
        "French",
        r##"From: Claire Morel <claire@acme.example>
To: paul@partner.example
Subject: Dîner de vendredi
Date: Mon, 1 Jun 2026 10:00:00 +0000
Message-ID: <1@acme.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

Salut Paul,

on se retrouve vendredi soir chez nous vers vingt heures. Tu peux apporter une bouteille de vin ? Les enfants seront contents de te voir.

À bientôt,
Claire
"##,
    ),
    (
        "Spanish",
        r##"From: Lucía Ramos <lucia@acme.example>
To: pablo@partner.example
Subject: Fotos del viaje
Date: Mon, 1 Jun 2026 10:00:00 +0000
Message-ID: <1@acme.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

Hola Pablo:

ya he subido las fotos del viaje. Mañana te llamo y hablamos de la comida del domingo. Mi madre pregunta si vienes con los niños.

Un abrazo,
Lucía
"##,
    ),
    (
        "a shop order",
        r##"From: Acme Shop <shop@acme.example>
To: bob@partner.example
Subject: Your order 4711 has been shipped
Date: Mon, 1 Jun 2026 10:00:00 +0000
Message-ID: <1@acme.example>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8

Dear Bob Meyer,

your order 4711 left our warehouse today. You can follow the parcel here:
https://shop.acme.example/orders/4711

2 x garden hose, 20 m     39.80 EUR
1 x watering can          12.50 EUR

Thank you for shopping with us.
Acme Shop
"##,
    ),
];

/// Plain spam and fraud.
pub(super) const BAD: &[(&str, &str)] = &[
    (
        "credential phishing",
        r##"From: "Mail Administrator" <helpdesk@office-mail.top>
To: bob@partner.example
Subject: Your mailbox storage is full
MIME-Version: 1.0
Content-Type: text/html; charset=utf-8

<html><body><p>Dear user,</p><p>your mailbox storage is full and incoming messages are on hold. Your password expires today. To keep the same password you must verify your account within 24 hours, or your mailbox will be deactivated.</p><p><a href="http://portal-check.pages.dev/login?u=bob%40partner.example">https://webmail.partner.example/keep-password</a></p><p>Mail Administrator</p></body></html>
"##,
    ),
    (
        "advance fee",
        r##"From: Barrister James Okoro <office@mail.example>
Reply-To: james.okoro.chambers@gmail.com
To: undisclosed-recipients:;
Subject: Confidential business proposal

Dear friend,

I am a barrister in Lagos. My late client died in a plane crash and left the sum of $12,500,000.00 (twelve million five hundred thousand US dollars) in a bank without any next of kin. I seek your consent to present you as the beneficiary, so that the fund transfer can be made to you. Your share will be 40 percent. This is strictly confidential. Please send me your full name, address and telephone number to my private email.

God bless you,
Barrister James Okoro
"##,
    ),
    (
        "doubling of coins",
        r##"From: "Coinbase Giveaway" <promo@coin-double.xyz>
To: bob@partner.example
Subject: We double your Bitcoin today only!

Congratulations! You have been selected for our crypto giveaway. Send between 0.1 and 5 bitcoin to the address below and we send back twice the amount immediately. Limited time, act now, the airdrop ends in 2 hours!

Bitcoin address: 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa

https://coin-double.xyz/claim
"##,
    ),
    (
        "an HTML file as invoice",
        r##"From: "DocuSign Billing" <billing293847561029@invoices.click>
To: undisclosed-recipients:;
Subject: RE: Overdue invoice - final notice
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b1

--b1
Content-Type: text/plain; charset=utf-8

Dear customer,

your payment is overdue. Open the attached invoice immediately and sign in to view the document. Failure to pay within 24 hours leads to legal action.
--b1
Content-Type: text/html; name="Invoice_88213.pdf.html"
Content-Disposition: attachment; filename="Invoice_88213.pdf.html"
Content-Transfer-Encoding: base64

PGh0bWw+PGZvcm0gYWN0aW9uPSJodHRwOi8vZXZpbC5leGFtcGxlIj48aW5wdXQgdHlwZT1wYXNzd29yZD48L2Zvcm0+PC9odG1sPg==
--b1--
"##,
    ),
    (
        "pharmacy",
        r##"From: "Best Meds" <sales@meds4u.shop>
To: bob@partner.example
Subject: Viagra & Cialis - 80% OFF - no prescription!
MIME-Version: 1.0
Content-Type: text/html; charset=utf-8

<html><body><p>Online pharmacy: Viagra, Cialis and more at the lowest prices, no prescription needed. Save up to 80% off, free samples with every order, satisfaction guaranteed.</p><p><a href="http://meds4u.shop/order">Click here to order now!</a></p><p>To be removed from our list click here to unsubscribe.</p></body></html>
"##,
    ),
    (
        "lottery",
        r##"From: International Lottery Board <notify@lotto-board.example>
Reply-To: claims.agent@yahoo.com
To: undisclosed-recipients:;
Subject: CONGRATULATIONS YOU HAVE WON!!!

ATTN: WINNER

Your email address has won the sum of $2,500,000.00 in the international lottery draw. To claim your winning contact our claims agent with your full name, address, age and telephone number. The prize is sent by courier company as an ATM card. Reply immediately.

Congratulations once again!
"##,
    ),
    (
        "gift cards for the chief",
        r##"From: "Susan Clark, CEO susan.clark@acme.example" <ceo.office.desk1@gmail.com>
Reply-To: exec.moderation.private@outlook.com
To: bob@acme.example
Subject: URGENT REQUEST

Hi Bob,

are you available? I am in a meeting and can't talk. I need you to buy gift cards for some clients urgently, 10 Apple gift cards at $100 each. Scratch the back, take pictures and send me the codes as soon as possible. Keep it strictly confidential, I will reimburse you today.

Sent from my iPhone
"##,
    ),
    (
        "a parcel that waits",
        r##"From: "DHL Express" <noreply@parcel-moderation.live>
To: bob@partner.example
Subject: Your parcel is waiting: action required
MIME-Version: 1.0
Content-Type: text/html; charset=utf-8

<html><body><p>Dear customer,</p><p>your package could not be delivered because of an unpaid customs fee of $1.99. Update your payment details within 24 hours or your parcel will be returned.</p><p><a href="https://bit.ly/3xParcel">https://www.dhl.com/track</a></p></body></html>
"##,
    ),
];
