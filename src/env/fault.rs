//! Faults on demand, in debug builds only, so that tests see how the relay handles a panic of one
//! part. `OUTGATE_FAULT` names a file; a part whose name is in it panics at its next step.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

static FILE: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os("OUTGATE_FAULT").map(PathBuf::from));
/// How often a task reads the file.
const LOOK: Duration = Duration::from_millis(20);

/// Panics if the file names this part.
pub(super) fn strike_now(name: &str) {
    let due = FILE
        .as_ref()
        .is_some_and(|file| std::fs::read_to_string(file).is_ok_and(|text| text.trim() == name));
    assert!(!due, "a fault that a test asked for");
}

/// Panics once the file names this part; never returns.
pub(super) async fn strike(name: &str) {
    if FILE.is_none() {
        std::future::pending::<()>().await;
    }
    loop {
        strike_now(name);
        tokio::time::sleep(LOOK).await;
    }
}
