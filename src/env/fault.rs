//! Faults at will, in debug builds only: the tests see what becomes of the relay when a part of it
//! panics. `OUTGATE_FAULT` names a file; the part whose name stands in it panics at its next step.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

static FILE: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("OUTGATE_FAULT").map(PathBuf::from));
/// How often a task looks.
const LOOK: Duration = Duration::from_millis(20);

/// Panics if it is this part's turn.
pub(super) fn strike_now(name: &str) {
    let due = FILE
        .as_ref()
        .is_some_and(|file| std::fs::read_to_string(file).is_ok_and(|text| text.trim() == name));
    assert!(!due, "a fault that a test asked for");
}

/// Panics when it is this part's turn; returns never.
pub(super) async fn strike(name: &str) {
    if FILE.is_none() {
        std::future::pending::<()>().await;
    }
    loop {
        strike_now(name);
        tokio::time::sleep(LOOK).await;
    }
}
