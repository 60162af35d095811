//! What made-up senders hand in.

/// What a made-up sender hands in.
pub(super) struct Step {
    pub(super) seconds: i64,
    pub(super) sender: &'static str,
    /// Named by XCLIENT before MAIL; else by the identity header, which is known only after the
    /// dot.
    pub(super) early: bool,
    pub(super) to: Vec<String>,
    pub(super) text: String,
}

impl Step {
    pub(super) fn address(&self) -> String {
        if self.sender.is_empty() {
            String::new()
        } else {
            format!("{}@acme.example", self.sender)
        }
    }
}

/// Numbers that look random and are the same in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

/// The stream under construction.
pub(super) struct Script {
    steps: Vec<Step>,
    dice: Dice,
}

impl Script {
    pub(super) fn new(dice: u64) -> Self {
        Self {
            steps: Vec::new(),
            dice: Dice(dice),
        }
    }

    /// The steps in the order of their times.
    pub(super) fn sorted(mut self) -> Vec<Step> {
        self.steps.sort_by_key(|s| s.seconds);
        self.steps
    }

    pub(super) fn add(&mut self, seconds: i64, sender: &'static str, to: Vec<String>, body: &str) {
        let number = self.steps.len();
        let address = if sender.is_empty() {
            String::new()
        } else {
            format!("{sender}@acme.example")
        };
        let early = matches!(sender, "ivy" | "carl" | "");
        let header = if early {
            String::new()
        } else {
            format!("X-Authenticated-Sender: {address}\n")
        };
        let from = if sender.is_empty() {
            "From: Mail delivery <mailer-daemon@acme.example>".to_owned()
        } else {
            format!("From: {sender} <{address}>")
        };
        let text = format!(
            "{header}{from}\nTo: {}\nMessage-ID: <{number}.made-up@acme.example>\n{body}",
            to[0]
        );
        self.steps.push(Step {
            seconds,
            sender,
            early,
            to,
            text,
        });
    }

    /// A person's hours of one day: letters to few people, mostly known ones.
    pub(super) fn person(&mut self, day: i64, sender: &'static str) {
        let mut seconds = day * 86_400 + self.dice.roll(1800) as i64;
        while seconds < day * 86_400 + 9 * 3600 {
            let mut to = Vec::new();
            for _ in 0..[1, 1, 1, 2, 3][self.dice.roll(5)] {
                to.push(match self.dice.roll(12) {
                    0 => format!("new{}.{sender}@far.example", self.dice.roll(10_000)),
                    1 | 2 => "ben@acme.example".to_owned(),
                    n => format!("friend{}.{sender}@partner.example", n % 5),
                });
            }
            to.sort();
            to.dedup();
            let body = letter(&mut self.dice, sender);
            self.add(seconds, sender, to, &body);
            seconds += 900 + self.dice.roll(3600) as i64;
        }
    }

    /// An account that was taken over writes to strangers, a quarter of whom do not exist.
    pub(super) fn campaign(&mut self, from: i64, gap: i64, messages: usize, sender: &'static str) {
        for n in 0..messages {
            let to = (0..3)
                .map(|i| {
                    let who = self.dice.roll(1_000_000);
                    if (n + i) % 4 == 0 {
                        format!("unknown{who}@elsewhere.example")
                    } else {
                        format!("victim{who}@elsewhere.example")
                    }
                })
                .collect();
            let body = lure(self.dice.roll(100_000));
            self.add(from + n as i64 * gap, sender, to, &body);
        }
    }

    /// What is ordinary on a day: people, a shop, a newsletter, an intern and a report.
    fn day(&mut self, day: i64) {
        for sender in ["anna", "ben", "carl", "dora", "emma"] {
            self.person(day, sender);
        }
        let morning = day * 86_400;
        for n in 0..24 {
            let who = self.dice.roll(100_000);
            self.add(
                morning + n * 1300,
                "shop",
                vec![format!("customer{who}@mail.example")],
                &order(who),
            );
        }
        let text = format!(
            "Subject: What is new in week {}\n\nDear readers,\n\nour new hall is open on Saturdays. Come and see it.\n",
            47 + day
        );
        for n in 0..25 + 3 * day {
            self.add(
                morning + 7200 + n * 20,
                "news",
                vec![format!("reader{n}@list.example")],
                &text,
            );
        }
        for n in 0..6 {
            let body = letter(&mut self.dice, "ivy");
            self.add(
                morning + 10_000 + n * 60,
                "ivy",
                vec![format!("guest{n}@partner.example")],
                &body,
            );
        }
        let report =
            "Subject: Undelivered mail\n\nThe mail to this address could not be delivered.\n";
        self.add(
            morning + 12_000,
            "",
            vec!["sender@outside.example".to_owned()],
            report,
        );
    }

    /// What is not ordinary.
    fn troubles(&mut self) {
        // Carl, twice: the first block ends after an hour, and mail within the house goes on meanwhile.
        self.campaign(6 * 3600 + 60, 30, 14, "carl");
        let body = letter(&mut self.dice, "carl");
        self.add(
            6 * 3600 + 1800,
            "carl",
            vec!["anna@acme.example".to_owned()],
            &body,
        );
        self.campaign(86_400 + 4 * 3600, 30, 12, "carl");
        // Dora to a hundred strangers at once; Emma to her own contacts, one of whom refuses it as
        // spam.
        let crowd = (0..100)
            .map(|n| format!("crowd{n}@elsewhere.example"))
            .collect();
        self.add(86_400 + 3 * 3600 + 7, "dora", crowd, &lure(1));
        for n in 0..8 {
            let to = if n % 2 == 0 {
                "refuser.emma@partner.example".to_owned()
            } else {
                format!("friend{}.emma@partner.example", n % 5)
            };
            self.add(
                86_400 + 5 * 3600 + 11 * n as i64,
                "emma",
                vec![to],
                &lure(n),
            );
        }
        // Ivy passes on what she was sent; what looks bad of an intern is held.
        let passed_on = "Subject: Fwd: cheap pills\n\nBuy Viagra and Cialis online without prescription, lowest prices, 80% off!!!\n\
                     Order now at http://203.0.113.77/pharmacy and get a free bonus. Unsubscribe: reply REMOVE.\n";
        self.add(
            86_400 + 8 * 3600,
            "ivy",
            vec!["guest9@partner.example".to_owned()],
            passed_on,
        );
    }

    /// Anna's client did not hear our 250 and brings a message again.
    fn again(&mut self) {
        let again = self
            .steps
            .iter()
            .find(|s| s.sender == "anna")
            .map(|s| (s.to.clone(), s.text.clone()))
            .expect("she wrote");
        self.steps.push(Step {
            seconds: 5 * 3600,
            sender: "anna",
            early: false,
            to: again.0,
            text: again.1,
        });
    }
}

pub(super) fn letter(dice: &mut Dice, sender: &str) -> String {
    let greeting = dice.pick(&["Hi", "Hello", "Dear all", "Good morning"]);
    let subject = dice.pick(&[
        "Minutes",
        "Offer for the roof",
        "Lunch on Friday",
        "Delivery dates",
        "Holiday plan",
        "Question",
    ]);
    let mut text = format!("Subject: {subject} {}\n\n{greeting},\n\n", dice.roll(90));
    for _ in 0..2 + dice.roll(4) {
        text += dice.pick(&[
            "The drawings of the second floor are in the folder we share, please have a look before Thursday.\n",
            "I spoke to the carpenter and he can start on Monday if the wood arrives in time.\n",
            "Could you send me the list of what we ordered in October, I cannot find mine.\n",
            "We agreed to move the review to next week since half of the team is away.\n",
            "Thank you for the quick answer, that helps a lot with the planning.\n",
            "The numbers look fine to me, only the third row should be checked again.\n",
        ]);
    }
    text + &format!("\nRegards\n{sender}\n")
}

fn order(number: usize) -> String {
    format!(
        "Subject: Your order {number} is on its way\n\nHello,\n\nyour order {number} left our warehouse today and will be with \
         you within two days.\n\nYour shop\n"
    )
}

fn lure(number: usize) -> String {
    format!(
        "Subject: URGENT: your mailbox will be suspended, verify now!!!\nMIME-Version: 1.0\nContent-Type: text/html; \
         charset=utf-8\n\n<html><body><h1>CONGRATULATIONS WINNER #{number}!!!</h1><p>Dear friend, you have WON $1,500,000.00 USD \
         in our lottery promotion. To claim your FREE cash prize click here immediately and verify your password and bank \
         account: <a href=\"http://203.0.113.9/login/verify.php?id={number}\">https://www.bank.example/</a></p><p>Act now! 100% \
         guaranteed, no risk, limited time offer. Make money fast, work from home.</p></body></html>\n"
    )
}

/// Two days.
pub(super) fn script() -> Vec<Step> {
    let mut script = Script::new(7);
    script.day(0);
    script.day(1);
    script.troubles();
    script.again();
    script.sorted()
}
