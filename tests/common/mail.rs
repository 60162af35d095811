//! Made-up mail for the scorer: what nobody minds, and what everybody knows for spam. The bodies of
//! all `ham`, and of all `spam`, are those of near-duplicates; the Message-ID makes each a message
//! of its own.

/// The n-th ordinary message.
pub(crate) fn ham(n: usize) -> String {
    format!(
        "From: Alice <alice@acme.example>\nSubject: Minutes {n}\nMessage-ID: <ham{n}@acme.example>\n\nHi Bob,\n\nplease find \
         the minutes of meeting {n} below. We agreed to move the review to Thursday.\n\nRegards, Alice\n"
    )
}

/// The n-th message of a campaign.
pub(crate) fn spam(n: usize) -> String {
    format!(
        "From: Alice <alice@acme.example>\nSubject: URGENT: Your account will be suspended, verify now!!!\n\
         Message-ID: <spam{n}@acme.example>\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n\
         <html><body><h1>CONGRATULATIONS WINNER #{n}!!!</h1><p>Dear friend, you have WON $1,500,000.00 USD in our lottery \
         promotion. To claim your FREE cash prize click here immediately and verify your password and bank account: \
         <a href=\"http://203.0.113.9/login/verify.php?id={n}\">https://www.paypal.com/</a></p><p>Act now! 100% guaranteed, \
         no risk, limited time offer. Buy viagra cheap. Make money fast, work from home.</p></body></html>\n"
    )
}
