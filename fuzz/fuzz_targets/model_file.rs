//! Any octets, with the right beginning and checksum put around them, are refused or read; what was
//! read can score.
#![no_main]

use libfuzzer_sys::fuzz_target;
use outgate::exports::{Scorer, Model};

fuzz_target!(|octets: &[u8]| {
    let _ = Model::from_bytes(octets);
    if let Ok(model) = Model::from_unsigned(octets) {
        let score = Scorer::new(model).score(b"From: a@b.example\r\nSubject: x\r\n\r\nhello");
        assert!(score.llr.is_finite());
    }
});
