//! What the people of the demo write.

/// Sender and recipient of the ordinary messages.
pub(super) const MORNING: [(&str, &str); 6] = [
    ("alice@acme.example", "bob@partner.example"),
    ("carol@acme.example", "orders@supplier.example"),
    ("dave@acme.example", "erin@customer.example"),
    ("alice@acme.example", "bob@partner.example"),
    ("carol@acme.example", "frank@customer.example"),
    ("dave@acme.example", "erin@customer.example"),
];

const BODIES: [(&str, &str); 4] = [
    (
        "Minutes of Tuesday",
        "Hi Bob,\n\nplease find the minutes below. We agreed to move the review to Thursday, and Erin\n\
      will send the updated drawings by then. Tell me if I missed anything.\n\nRegards\nAlice\n",
    ),
    (
        "Order 4711",
        "Hello,\n\nwe would like to order 40 more of the brackets from our last delivery. Could you confirm the\n\
      delivery date and send the invoice to accounting as usual?\n\nThanks, Carol\n",
    ),
    (
        "Question about the drawings",
        "Hi Erin,\n\nin the second drawing the hole pattern does not match the list of parts. Which of\n\
      the two is right? We can wait with the cutting until tomorrow.\n\nBest, Dave\n",
    ),
    (
        "Re: Thursday",
        "Thursday at ten works for us. We will bring the samples.\n\nAlice\n",
    ),
];

/// The n-th ordinary message.
pub(super) fn ordinary(n: usize) -> String {
    let (subject, body) = BODIES.get(n % BODIES.len()).copied().unwrap_or_default();
    format!(
        "From: Acme <office@acme.example>\nSubject: {subject}\nMessage-ID: <ham{n}@acme.example>\n\n{body}"
    )
}

/// The n-th message of the campaign.
pub(super) fn spam(n: usize) -> String {
    format!(
        "From: Alice <alice@acme.example>\nSubject: URGENT: Your account will be suspended - verify now!!!\n\
         Message-ID: <spam{n}@acme.example>\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n\
         <html><body><h1>CONGRATULATIONS WINNER #{n}!!!</h1><p>Dear friend, you have WON $1,500,000.00 USD in our \
         lottery promotion. To claim your FREE cash prize click here immediately and verify your password and bank \
         account: <a href=\"http://203.0.113.9/login/verify.php?id={n}\">https://www.paypal.com/</a></p>\
         <p>Act now! 100% guaranteed, no risk, limited time offer. Buy viagra cheap. Make money fast, work from home. \
         Remove here to unsubscribe.</p></body></html>\n"
    )
}

/// Strangers, some of whom do not exist.
pub(super) fn victims(n: usize) -> Vec<String> {
    let mut to: Vec<String> = (0..4)
        .map(|i| format!("stranger{n}{i}@somewhere{i}.example"))
        .collect();
    to.push(format!("nobody{n}@nowhere.example"));
    to
}
