//! The writer thread: takes all waiting commands, makes them durable with one sync, answers. During
//! the sync, the next batch forms.

use super::store::SpoolStore;
use super::{Waiter, WriterCommand};
use crate::env::vitals::Pulse;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

/// Octets of bodies that close a batch, so that its first message does not wait long under load.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Records that close a batch.
const BATCH_RECORDS_MAX: usize = 4096;

/// Runs until the spool is closed or its last handle is dropped; then releases the lock.
pub(super) fn run(
    mut store: SpoolStore,
    inbox: &Receiver<WriterCommand>,
    lock: Box<dyn Send>,
    pulse: Pulse,
) {
    let closing = loop {
        let first = match store.sleep() {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(wait) => inbox.recv_timeout(wait),
        };
        match first {
            Ok(first) => {
                pulse.beat();
                // Lets other threads hand in their commands first. If all processors are busy, this
                // makes batches larger; on an idle machine it costs nothing.
                std::thread::yield_now();
                let (batch, closing) = gather(first, inbox);
                store.commit(batch);
                if let Some(waiter) = closing {
                    break Some(waiter);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break None,
        }
        store.tick();
    };
    store.finish();
    drop(lock);
    pulse.over();
    if let Some(waiter) = closing {
        let _ = waiter.send(Ok(()));
    }
}

/// The waiting commands, up to the bounds of a batch, and the caller that asked for the end, if
/// any.
fn gather(
    first: WriterCommand,
    inbox: &Receiver<WriterCommand>,
) -> (Vec<WriterCommand>, Option<Waiter>) {
    let (mut batch, mut bytes, mut next) = (Vec::new(), 0usize, Some(first));
    while let Some(command) = next {
        match command {
            WriterCommand::Close { waiter } => return (batch, Some(waiter)),
            WriterCommand::Accept { ref body, .. } => bytes = bytes.saturating_add(body.len()),
            _ => {}
        }
        batch.push(command);
        next = if bytes < BATCH_BYTES_MAX && batch.len() < BATCH_RECORDS_MAX {
            inbox.try_recv().ok()
        } else {
            None
        };
    }
    (batch, None)
}
