//! Any octets are scored, with bounded output.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static SCORER: LazyLock<outgate::exports::Scorer> = LazyLock::new(|| outgate::exports::Scorer::shipped().expect("the shipped model is sound"));

fuzz_target!(|message: &[u8]| {
    let score = SCORER.score(message);
    assert!(score.llr.is_finite() && score.symbols.len() <= 12 && score.link_hosts.len() <= 64);
});
