//! Any octets that somebody mails to us as a report are read, with bounded output.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outgate::exports::{FeedbackReport as Report, feedback_report as report};

fuzz_target!(|message: &[u8]| {
    if let Report::Delivery(fates) = report::read(message) {
        assert!(fates.iter().all(|fate| fate.recipients.len() <= 2));
    }
});
