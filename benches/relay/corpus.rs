//! Mail that looks like business mail: plain or plain with HTML, varied, made up from word lists.
//! The same seed gives the same mail, so that every relay gets the same load.

use std::fmt::Write as _;

const SUBJECTS: &[&str] = &[
    "Minutes of the meeting",
    "Offer for the new office",
    "Question about the invoice",
    "Delivery next week",
    "Your visit",
    "Draft of the contract",
    "Travel plans",
    "Figures of the quarter",
    "Training dates",
    "Change of the schedule",
];
const OPENERS: &[&str] = &[
    "thank you for your message of yesterday.",
    "as agreed on the telephone I send you the papers.",
    "we have looked at your proposal and have some questions.",
    "attached you find what we talked about.",
    "I hope you had a good journey back.",
    "the committee has met and decided as follows.",
];
const SUBJECT_WORDS: &[&str] = &[
    "the project",
    "our department",
    "the supplier",
    "the customer",
    "the warehouse",
    "the committee",
    "the report",
    "the second draft",
    "the budget",
    "the workshop",
    "the survey",
    "our partner",
    "the installation",
    "the test run",
    "the machine",
    "the schedule",
    "the agreement",
    "the board",
    "the new colleague",
    "the laboratory",
];
const VERBS: &[&str] = &[
    "will be ready",
    "needs a decision",
    "was discussed at length",
    "has to wait",
    "can begin",
    "was moved",
    "depends on the delivery",
    "goes back for review",
    "is nearly finished",
    "takes longer than planned",
    "was approved",
    "should be checked again",
    "is on its way",
    "costs a little more",
    "stays as it is",
];
const TIMES: &[&str] = &[
    "by the end of the month",
    "next Tuesday",
    "in the afternoon",
    "after the holidays",
    "before the audit",
    "this week",
    "in the third quarter",
    "as soon as the parts arrive",
    "when everybody has answered",
    "on the fourteenth",
];
const TAILS: &[&str] = &[
    "Please tell me whether that suits you.",
    "I will call you about it.",
    "Could you send me the numbers?",
    "We should talk about it at lunch.",
    "Nothing else has changed.",
    "The details are in the appendix.",
    "Let me know if something is missing.",
    "I copy the colleagues concerned.",
];

/// A small, quick generator of numbers (xorshift64*).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn pick<'w>(&mut self, words: &[&'w str]) -> &'w str {
        let at = usize::try_from(self.next() >> 33).unwrap_or(0) % words.len().max(1);
        words.get(at).copied().unwrap_or_default()
    }
}

/// Bodies of about one size, to be sent again and again with headers and a last line of their own.
pub(crate) struct Corpus {
    bodies: Vec<Body>,
    size: usize,
}

struct Body {
    html: bool,
    text: String,
}

impl Corpus {
    /// Messages of about `size` octets.
    pub(crate) fn new(size: usize) -> Self {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let count = (4 << 20) / size.max(1);
        let room = size.saturating_sub(900);
        let bodies = (0..count.clamp(16, 400))
            .map(|i| body(&mut dice, room, i % 2 == 1))
            .collect();
        Self { bodies, size }
    }

    /// Message `n` as it goes over the wire, with the final dot: never two alike.
    pub(crate) fn message(&self, n: usize, run: u64, sender: &str, recipient: &str) -> Vec<u8> {
        let mut dice = Dice(0xd1b5_4a32_d192_ed03 ^ (n as u64 + 1).wrapping_mul(0x9e37_79b9));
        let Some(body) = self.bodies.get(n % self.bodies.len().max(1)) else {
            return Vec::new();
        };
        let mut out = String::with_capacity(self.size + 1024);
        let host = n % 250 + 1;
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "Received: from [10.1.2.{host}] (unknown [10.1.2.{host}])\r\n\
             \t(Authenticated sender: {sender})\r\n\
             \tby mail.bench.example (Postfix) with ESMTPSA id {run:08X}{n:06X}\r\n\
             \tfor <{recipient}>; Sun, 22 Nov 2026 14:00:00 +0000 (UTC)\r\n\
             From: {sender}\r\nTo: {recipient}\r\nSubject: {} ({n})\r\nMessage-ID: <{run:x}.{n}@mail.bench.example>\r\n\
             Date: Sun, 22 Nov 2026 14:00:00 +0000\r\nMIME-Version: 1.0\r\n",
            dice.pick(SUBJECTS)
        );
        if body.html {
            out.push_str(
                "Content-Type: multipart/alternative; boundary=\"=-bench\"\r\n\r\n--=-bench\r\n",
            );
        }
        out.push_str("Content-Type: text/plain; charset=utf-8\r\n\r\nDear colleague,\r\n\r\n");
        let _ = write!(
            out,
            "{} {} {} ",
            dice.pick(OPENERS),
            dice.pick(TAILS),
            dice.pick(TAILS)
        );
        let _ = write!(
            out,
            "(our reference {n}-{:x})\r\n\r\n{}",
            dice.next(),
            body.text
        );
        out.push_str(".\r\n");
        out.into_bytes()
    }
}

fn body(dice: &mut Dice, room: usize, html: bool) -> Body {
    let half = if html { room / 2 } else { room };
    let mut text = String::with_capacity(room + 200);
    while text.len() < half {
        let _ = write!(
            text,
            "{} {} {},\r\nand {} {}. {}\r\n",
            dice.pick(SUBJECT_WORDS),
            dice.pick(VERBS),
            dice.pick(TIMES),
            dice.pick(SUBJECT_WORDS),
            dice.pick(VERBS),
            dice.pick(TAILS)
        );
    }
    if html {
        text.push_str(
            "\r\n--=-bench\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>\r\n",
        );
        while text.len() < room {
            let _ = write!(
                text,
                "<p>{} {}\r\n<b>{}</b>. <a href=\"https://intranet.bench.example/page/{}\">{}</a></p>\r\n",
                dice.pick(SUBJECT_WORDS),
                dice.pick(VERBS),
                dice.pick(TIMES),
                dice.next() % 97,
                dice.pick(SUBJECT_WORDS)
            );
        }
        text.push_str("</body></html>\r\n--=-bench--\r\n");
    }
    Body { html, text }
}
